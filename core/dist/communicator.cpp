// SPDX-License-Identifier: Apache-2.0
#include "core/dist/communicator.h"

#include <algorithm>
#include <cstring>

#include "core/device/cpu/cpu_stream.h"
#include "core/device/meta_stream.h"

namespace strata {
namespace {

static_assert(std::tuple_size_v<decltype(WorkCount::wire_bytes)> == kNumLinkLevels);

void check_operand(const Stream& stream, CollectiveKind kind, std::string_view what, const Tensor& x) {
  check(static_cast<bool>(x), "[{}] {} is absent", name(kind), what);
  const bool host_of_gpu = x.device() == Device{} && stream.device().kind == DeviceKind::cuda;
  check(x.device().kind == stream.device().kind || host_of_gpu, "[{}] {} is on {}, the stream on {}",
        name(kind), what, to_string(x.device()), to_string(stream.device()));
  check(x.contiguous(), "[{}] {}: expected a contiguous tensor, got a strided {}", name(kind), what,
        x.shape());
}

void check_same_type(CollectiveKind kind, const Tensor& from, const Tensor& to) {
  check(from.dtype() == to.dtype(), "[{}] expected one type, got {} and {}", name(kind), name(from.dtype()),
        name(to.dtype()));
}

bool overlap(const Tensor& a, const Tensor& b) {
  return a.raw() && a.raw() < b.raw() + b.bytes() && b.raw() < a.raw() + a.bytes();
}

// A part may lie apart from the whole or be this member's own place in it, nothing between.
void check_place(CollectiveKind kind, const Tensor& part, const Tensor& whole, int rank) {
  check(!overlap(part, whole) || part.raw() == whole.raw() + rank * part.bytes(),
        "[{}] the part overlaps the whole, but is not the place of member {} in it", name(kind), rank);
}

void copy_on(Stream& stream, const Tensor& from, const Tensor& to) {
  stream.copy_bytes(from.raw(), to.raw(), from.bytes());
}

// What an operation of one member comes to.
void run_alone(Stream& stream, const Collective& op) {
  if (op.kind != CollectiveKind::exchange) return copy_on(stream, op.from, op.to);
  for (size_t i = 0; i < op.sends.size(); ++i) copy_on(stream, op.sends[i].tensor, op.receives[i].tensor);
}

}  // namespace

int place_in(const GroupSpec& spec, int rank, int world_size) {
  std::vector<int> sorted = spec.members;
  std::ranges::sort(sorted);
  for (const int member : sorted)
    check(member >= 0 && member < world_size, "[group] \"{}\" names rank {} of a job of {}", spec.purpose,
          member, world_size);
  const auto twice = std::ranges::adjacent_find(sorted);
  check(twice == sorted.end(), "[group] \"{}\" names rank {} twice", spec.purpose,
        twice == sorted.end() ? 0 : *twice);
  const auto own = std::ranges::find(spec.members, rank);
  check(own != spec.members.end(), "[group] \"{}\" does not hold rank {} which makes it", spec.purpose, rank);
  return static_cast<int>(own - spec.members.begin());
}

Communicator::Communicator(GroupSpec spec, int rank) : spec_(std::move(spec)), rank_(rank) {
  check(rank_ >= 0 && rank_ < size(), "[communicator] \"{}\": place {} of {}", spec_.purpose, rank_, size());
}

void Communicator::all_gather(Stream& stream, const Tensor& part, const Tensor& whole) {
  enqueue(stream, {.kind = CollectiveKind::all_gather, .from = part, .to = whole, .note = note_});
}
void Communicator::reduce_scatter(Stream& stream, const Tensor& whole, const Tensor& part) {
  enqueue(stream, {.kind = CollectiveKind::reduce_scatter, .from = whole, .to = part, .note = note_});
}
void Communicator::all_reduce(Stream& stream, const Tensor& values, Reduction reduction) {
  enqueue(stream, {.kind = CollectiveKind::all_reduce,
                   .from = values,
                   .to = values,
                   .reduction = reduction,
                   .note = note_});
}
void Communicator::all_to_all(Stream& stream, const Tensor& from, const Tensor& to) {
  enqueue(stream, {.kind = CollectiveKind::all_to_all, .from = from, .to = to, .note = note_});
}
void Communicator::broadcast(Stream& stream, const Tensor& values, int root) {
  enqueue(stream,
          {.kind = CollectiveKind::broadcast, .from = values, .to = values, .root = root, .note = note_});
}
void Communicator::exchange(Stream& stream, std::span<const Message> sends,
                            std::span<const Message> receives) {
  enqueue(stream, {.kind = CollectiveKind::exchange, .sends = sends, .receives = receives, .note = note_});
}
void Communicator::barrier() {
  if (size() > 1) run_barrier();
}

void Communicator::enqueue(Stream& stream, const Collective& op) {
  check_operands(stream, op);
  if (stream.device().kind == DeviceKind::meta) {
    if (size() == 1) return;
    MetaStream& meta = meta_stream(stream);
    meta.count.wire_bytes[static_cast<size_t>(spec_.level)] += received_bytes(op, rank_, size());
    Scratch::Scope scope(stream.scratch());
    stream.scratch().take(scratch_bytes(op, meta.target().kind));
    return;
  }
  if (size() == 1) return run_alone(stream, op);
  Scratch::Scope scope(stream.scratch());
  const int64_t bytes = scratch_bytes(op, stream.device().kind);
  run(stream, op, bytes > 0 ? stream.scratch().take(bytes) : nullptr);
}

void Communicator::check_operands(const Stream& stream, const Collective& op) const {
  const auto sized = [&](const Tensor& part, const Tensor& whole) {
    check(whole.numel() == part.numel() * size(), "[{}] {} parts of {} elements do not make a whole of {}",
          name(op.kind), size(), part.numel(), whole.numel());
  };
  const auto typed = [&](std::initializer_list<DType> types) {
    check(std::ranges::find(types, op.from.dtype()) != types.end(), "[{}] has no {} of {}", name(op.kind),
          name(op.reduction), name(op.from.dtype()));
  };
  if (op.kind == CollectiveKind::exchange) {
    for (const auto& messages : {op.sends, op.receives})
      for (const Message& message : messages) {
        check(message.peer >= 0 && message.peer < size(), "[exchange] message with member {} of {}",
              message.peer, size());
        check_operand(stream, op.kind, "message", message.tensor);
      }
    const auto to_itself = [&](const Message& message) { return message.peer == rank_; };
    const auto sent = std::ranges::count_if(op.sends, to_itself);
    const auto received = std::ranges::count_if(op.receives, to_itself);
    check(sent == received, "[exchange] member {} sends itself {} messages and receives {}", rank_, sent,
          received);
    // The messages of a member with itself match in order, as those of two do.
    auto send = std::ranges::find_if(op.sends, to_itself);
    for (const Message& receive : op.receives) {
      if (receive.peer != rank_) continue;
      check(send->tensor.bytes() == receive.tensor.bytes(),
            "[exchange] member {} sends itself {} bytes and receives {}", rank_, send->tensor.bytes(),
            receive.tensor.bytes());
      send = std::find_if(send + 1, op.sends.end(), to_itself);
    }
    return;
  }
  check_operand(stream, op.kind, "source", op.from);
  check_operand(stream, op.kind, "destination", op.to);
  check_same_type(op.kind, op.from, op.to);
  switch (op.kind) {
    case CollectiveKind::all_gather:
      sized(op.from, op.to);
      check_place(op.kind, op.from, op.to, rank_);
      break;
    case CollectiveKind::reduce_scatter:
      sized(op.to, op.from);
      check_place(op.kind, op.to, op.from, rank_);
      typed({DType::f32, DType::bf16});
      break;
    case CollectiveKind::all_reduce:
      check(op.from.raw() == op.to.raw(), "[all_reduce] works in place");
      if (op.reduction == Reduction::sum)
        typed({DType::f32, DType::bf16, DType::i64});
      else
        typed({DType::f32, DType::bf16});
      break;
    case CollectiveKind::all_to_all:
      check(op.from.numel() == op.to.numel() && op.from.numel() % size() == 0,
            "[all_to_all] {} and {} elements among {} members", op.from.numel(), op.to.numel(), size());
      check(!overlap(op.from, op.to), "[all_to_all] source and destination overlap");
      break;
    case CollectiveKind::broadcast:
      check(op.from.raw() == op.to.raw(), "[broadcast] works in place");
      check(op.root >= 0 && op.root < size(), "[broadcast] root {} of {} members", op.root, size());
      break;
    default:
      fail_contract(fmt::format("[communicator] {} is not enqueued", name(op.kind)));
  }
}

}  // namespace strata
