// SPDX-License-Identifier: Apache-2.0
// StepRunner and the tiers: where values are worked on, what loads and stores do in a step, and how a block's
// values come and go between steps.
#include <algorithm>
#include <cstring>

#include "core/step/step_runner.h"

namespace strata {
namespace {

Value on(Tier tier, Value value) {
  value.tier = tier;
  return value;
}

}  // namespace

std::vector<Value> StepRunner::values_away(int block) const {
  std::vector<Value> values;
  for (const Value& value : plan_.main().program.initial)
    if (value.block == block && value.tier != Tier::device && persistent(value.cls))
      values.push_back(on(Tier::device, value));
  return values;
}

// A copy that an update works on is that of the step's last load; what no update touches may have any.
const PlannedBuffer* StepRunner::working_buffer(const Value& value) const {
  const LinkedProgram& linked = plan_.main();
  const auto& list = linked.program.list;
  for (int32_t i = 0; i < static_cast<int32_t>(list.size()); ++i)
    if (list[static_cast<size_t>(i)].kind == Kind::update &&
        list[static_cast<size_t>(i)].block == value.block)
      for (const Operand& operand : linked.operands_of(i))
        if (operand.value == value) return &linked.buffers[static_cast<size_t>(operand.buffer)];
  const auto at = std::find_if(linked.buffers.begin(), linked.buffers.end(),
                               [&](const PlannedBuffer& buffer) { return buffer.value == value; });
  return at == linked.buffers.end() ? nullptr : &*at;
}

std::byte* StepRunner::bytes_at(const PlannedBuffer& buffer) const {
  const BufferRef& arena = buffer.value.tier == Tier::host ? host_arena_ : arena_;
  return arena->data() + buffer.offset;
}

std::byte* StepRunner::place(ValueClass cls, int block) const {
  const BlockInfo& info = plan_.main().program.blocks[static_cast<size_t>(block)];
  const PlannedBuffer* const buffer =
      working_buffer({.cls = cls,
                      .block = static_cast<int16_t>(block),
                      .level = cls == ValueClass::weight ? info.weight_level : info.state_level});
  return buffer ? bytes_at(*buffer) : nullptr;
}

void StepRunner::read_stored(const Value& value, OperandBytes into) const {
  if (into.bytes > 0) store_->wait(store_->read(value, 0, {into.data, static_cast<size_t>(into.bytes)}));
}

void StepRunner::write_stored(const Value& value, OperandBytes from) const {
  if (from.bytes > 0) store_->wait(store_->write(value, 0, {from.data, static_cast<size_t>(from.bytes)}));
}

// What drives move has begun when this returns; end_move() waits for it.
void StepRunner::move(const Invocation& invocation) {
  const Action& action = invocation.action();
  const Value from = moved_from(action), to = moved_to(action);
  const OperandBytes source = invocation.bytes_of(from);
  std::byte* const target = invocation.bytes_of(to).data;
  if (from.tier != Tier::nvme && to.tier != Tier::nvme) {
    const BlockInfo& block = plan_.main().program.blocks[static_cast<size_t>(action.block)];
    if (block.is_quantized(from) || block.is_quantized(to)) return move_quantized(invocation);
    return stream_of(invocation.lane()).copy_bytes(source.data, target, source.bytes);
  }
  if (source.bytes == 0) return;
  const auto bytes = static_cast<size_t>(source.bytes);
  OnTheirWay& lane = from.tier == Tier::nvme ? reads_ : writes_;
  lane.ring[(lane.first + lane.count) % lane.ring.size()] = from.tier == Tier::nvme
                                                                ? store_->read(from, 0, {target, bytes})
                                                                : store_->write(to, 0, {source.data, bytes});
  ++lane.count;
}

// Between host and device: codes there, values here.
void StepRunner::move_quantized(const Invocation& invocation) {
  const Action& action = invocation.action();
  Stream& stream = stream_of(invocation);
  const Tensor x = activation(invocation, ValueClass::x, action.block);
  std::byte* const host = invocation.bytes_of(ValueClass::x, action.block, Tier::host).data;
  const QuantizedActivation& codes = plan_.costs().quantized_activation();
  action.kind == Kind::store ? codes.store(stream, x, host) : codes.load(stream, host, x);
}

void StepRunner::end_move(const Invocation& invocation) {
  const Action& action = invocation.action();
  if (!is_move(action) || invocation.bytes_of(moved_from(action)).bytes == 0 || left_out(invocation)) return;
  OnTheirWay& lane = moved_from(action).tier == Tier::nvme ? reads_ : writes_;
  const BackingStore::Ticket ticket = lane.ring[lane.first];
  lane.first = (lane.first + 1) % lane.ring.size();
  --lane.count;
  store_->wait(ticket);
}

// What is on nvme passes through the host's copy of it where a step makes one.
void StepRunner::fetch(int block) const {
  for (const Value& value : values_away(block)) {
    const PlannedBuffer& here = *working_buffer(value);
    const PlannedBuffer* const in_host_memory = working_buffer(on(Tier::host, value));
    const Tier home = plan_.main().program.blocks[static_cast<size_t>(block)].home(value.cls);
    if (home == Tier::nvme) {
      const PlannedBuffer& first = in_host_memory ? *in_host_memory : here;
      // Its memory is the host's, or a CPU's.
      if (was_put_back_[static_cast<size_t>(block)])
        read_stored(on(Tier::nvme, value), {bytes_at(first), first.bytes});
      else
        std::memset(bytes_at(first), 0, static_cast<size_t>(first.bytes));
    }
    if (in_host_memory) stream_.copy_bytes(bytes_at(*in_host_memory), bytes_at(here), here.bytes);
    stream_.synchronize();
  }
}

std::optional<StepRunner::StoredRange> StepRunner::stored_range(const Tensor& tensor, int block) const {
  for (const Value& value : values_away(block)) {
    if (plan_.main().program.blocks[static_cast<size_t>(block)].home(value.cls) != Tier::nvme) continue;
    const PlannedBuffer& here = *working_buffer(value);
    const int64_t offset = tensor.raw() - bytes_at(here);
    if (offset >= 0 && offset < here.bytes)
      return StoredRange{on(Tier::nvme, value), offset, tensor.numel() * size_of(tensor.dtype())};
  }
  return std::nullopt;
}

bool StepRunner::is_away_on_nvme(int block) const {
  const std::vector<Value> away = values_away(block);
  return !away.empty() && std::all_of(away.begin(), away.end(), [&](const Value& value) {
    return plan_.main().program.blocks[static_cast<size_t>(block)].home(value.cls) == Tier::nvme;
  });
}

bool StepRunner::lives_in_store() const {
  const auto& initial = plan_.main().program.initial;
  return store_ && std::all_of(initial.begin(), initial.end(), [&](const Value& value) {
           const bool outlives = value.cls == ValueClass::weight || value.cls == ValueClass::master ||
                                 value.cls == ValueClass::moments;
           return !outlives || value.tier == Tier::nvme || plan_.costs().bytes(value) == 0;
         });
}

void StepRunner::take_from_store() {
  check(lives_in_store() && store_->committed_step() >= 0, "[step] the store does not have all of the state");
  std::fill(was_put_back_.begin(), was_put_back_.end(), true);
  resume_after(store_->committed_step());
}

void StepRunner::put_back(int block) const {
  was_put_back_[static_cast<size_t>(block)] = true;
  stream_.synchronize();
  for (const Value& value : values_away(block)) {
    const PlannedBuffer& here = *working_buffer(value);
    const PlannedBuffer* const in_host_memory = working_buffer(on(Tier::host, value));
    const Tier home = plan_.main().program.blocks[static_cast<size_t>(block)].home(value.cls);
    if (in_host_memory) stream_.copy_bytes(bytes_at(here), bytes_at(*in_host_memory), here.bytes);
    stream_.synchronize();
    if (home != Tier::nvme) continue;
    const PlannedBuffer& last = in_host_memory ? *in_host_memory : here;
    write_stored(on(Tier::nvme, value), {bytes_at(last), last.bytes});
  }
}

}  // namespace strata
