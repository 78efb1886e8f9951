// SPDX-License-Identifier: Apache-2.0
#include "launch/train/run_tensors.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/tensor/bf16.h"
#include "core/tensor/transfer.h"

namespace strata {
namespace {

// Slots that hold the value itself, or a part of it: their content is in "param".
bool holds_value(const StateSlot& slot) { return class_of(slot) == ValueClass::master; }

// What checkpoints call a slot.
std::string state_name(const StateSlot& slot) {
  if (slot.name == "moment1") return "m";
  if (slot.name == "moment2") return "v";
  return slot.name;
}

std::string_view name_of(Role role) {
  switch (role) {
    case Role::embedding:
      return "embedding";
    case Role::linear:
      return "linear";
    case Role::bias:
      return "bias";
    case Role::norm:
      return "norm";
    case Role::adapter:
      return "adapter";
  }
  return "";
}

TensorSpec spec_of(const LogicalState& state, std::string name, ElementType type) {
  return {.name = state.name,
          .state = std::move(name),
          .type = type,
          .shape = state.shape,
          .role = std::string(name_of(state.role))};
}

Tensor flat(const Tensor& tensor) { return tensor.view({tensor.numel()}); }

bool on_the_host(const Tensor& tensor) { return tensor.device() == Device{}; }

}  // namespace

RunTensors::RunTensors(const StepRunner& runner, const UpdateRule& rule, Stream& stream)
    : runner_(runner),
      rule_(rule),
      stream_(stream),
      memory_(runner.memory()),
      adapters_(runner.plan().model().spec.lora.rank > 0),
      states_(in_pieces(runner.logical_states(), runner)) {}

// Frozen weights have no state and are what they are; f32 weights without a master are the values.
bool RunTensors::keeps_values_apart(const LogicalState& state) const {
  return !state.state.empty() && state.weight.dtype() != DType::f32;
}

Tensor RunTensors::in_host_memory(DType dtype, const Shape& shape) {
  return copies_.emplace_back(make_tensor(*make_cpu_allocator(), dtype, shape, "checkpoint"));
}

std::vector<RunTensors::Part> RunTensors::parts(Wanted wanted) const {
  std::vector<Part> parts;
  for (const LogicalState& state : states_) {
    // Where adapters are trained, what else is trained goes with them; it begins as the model has it.
    const bool kept = !adapters_ || state.trained;
    const bool is_wanted = wanted == Wanted::model      ? state.role != Role::adapter
                           : wanted == Wanted::adapters ? adapters_ && kept
                                                        : kept;
    if (!is_wanted) continue;
    const bool apart = keeps_values_apart(state) || state.format != WeightFormat::none;
    parts.push_back({&state,
                     spec_of(state, "param", apart ? ElementType::f32 : element_type(state.weight.dtype())),
                     apart ? Tensor() : state.weight});
    for (size_t slot = 0; wanted == Wanted::everything && slot < state.state.size(); ++slot) {
      const StateSlot& kind = rule_.slots()[slot];
      if (holds_value(kind) || kind.per > 1) continue;
      const DType type = kind.codec ? kDecodedType : kind.dtype;
      parts.push_back({&state, spec_of(state, state_name(kind), element_type(type)),
                       kind.codec ? Tensor() : state.state[slot], narrow<int>(static_cast<int64_t>(slot))});
    }
  }
  return parts;
}

int64_t RunTensors::saved_bytes() const {
  int64_t bytes = 0;
  for (const Part& part : parts(Wanted::everything))
    bytes += part.state->held.numel() * size_of(part.spec.type);
  return bytes;
}

// What of it is not on nvme is copied now: the next step changes it.
SaveItem RunTensors::late_item(const Part& part, const std::shared_ptr<SnapshotReader>& drives) {
  const LogicalState& state = *part.state;
  const auto source = [&](const Tensor& tensor) {
    SnapshotReader::Source from{.stored = runner_.stored_range(tensor, state.block), .dtype = tensor.dtype()};
    if (from.stored) {
      drives->expect(from.stored->value);
      return from;
    }
    from.here = make_tensor(*make_cpu_allocator(), tensor.dtype(), tensor.shape(), "checkpoint");
    transfer(stream_, tensor, from.here);
    return from;
  };
  SaveItem item{.tensor = part.spec, .rect = state.held};
  if (part.tensor) {
    item.read = [drives, from = source(part.tensor)](std::span<std::byte> into) { drives->read(from, into); };
    return item;
  }
  if (part.slot >= 0) {
    const CodedPiece piece = coded(part);
    item.read = [drives, piece, codes = source(piece.codes),
                 shared = source(piece.shared)](std::span<std::byte> into) {
      std::vector<uint8_t> of_elements(static_cast<size_t>(piece.codes.numel())),
          of_blocks(static_cast<size_t>(piece.shared.numel()));
      drives->read(codes, std::as_writable_bytes(std::span(of_elements)));
      drives->read(shared, std::as_writable_bytes(std::span(of_blocks)));
      decode_piece(piece, of_elements.data(), of_blocks.data(), into);
    };
    return item;
  }
  std::vector<SnapshotReader::Source> slots;
  for (size_t slot = 0; slot < state.state.size(); ++slot) {
    const StateSlot& kind = rule_.slots()[slot];
    slots.push_back(holds_value(kind) ? source(state.state[slot])
                                      : SnapshotReader::Source{.dtype = kind.dtype, .per = kind.per});
  }
  item.read = [drives, weight = source(state.weight), slots = std::move(slots)](std::span<std::byte> into) {
    drives->export_values(weight, slots, into);
  };
  return item;
}

std::vector<SaveItem> RunTensors::save_items(const std::shared_ptr<SnapshotReader>& drives) {
  copies_.clear();
  fetched_ = -1;
  std::vector<SaveItem> items;
  for (Part& part : parts(Wanted::everything)) {
    // (A frozen weight that is kept in blocks is put together as before.)
    if (drives && runner_.is_away_on_nvme(part.state->block) && part.state->format == WeightFormat::none) {
      items.push_back(late_item(part, drives));
      continue;
    }
    fetch(part.state->block);
    Tensor host = part.tensor;
    if (part.slot >= 0 && !part.tensor) {
      host = in_host_memory(kDecodedType, part.state->held.extent);
      read_piece(stream_, coded(part), host);
    } else if (!part.tensor) {
      host = in_host_memory(DType::f32, part.state->held.extent);
      export_values(*part.state, host);
    } else if (!on_the_host(part.tensor) || runner_.is_away(part.state->block)) {
      host = in_host_memory(part.tensor.dtype(), part.tensor.shape());
      transfer(stream_, part.tensor, host);
    }
    items.push_back({std::move(part.spec), part.state->held, host.raw()});
  }
  stream_.synchronize();
  return items;
}

void RunTensors::fetch(int block) {
  if (!runner_.is_away(block) || block == fetched_) return;
  stream_.synchronize();
  runner_.fetch(block);
  fetched_ = block;
}

void RunTensors::export_values(const LogicalState& state, const Tensor& host) {
  // What does not hold the value is not looked at, and may be of other elements.
  std::vector<Tensor> slots;
  for (size_t slot = 0; slot < state.state.size(); ++slot)
    if (const StateSlot& kind = rule_.slots()[slot]; holds_value(kind))
      slots.push_back(state.state[slot]);
    else
      slots.push_back(
          Tensor::borrow(nullptr, kind.dtype, {kind.entries(state.weight.numel())}, state.weight.device()));
  if (on_the_host(state.weight)) return rule_.export_values(stream_, state.weight, slots, host);
  const Tensor values = make_tensor(memory_, DType::f32, host.shape(), "checkpoint values");
  rule_.export_values(stream_, state.weight, slots, values);
  transfer(stream_, values, host);
  stream_.synchronize();  // `values` goes
}

RestoreReport RunTensors::restore(const TensorSource& source, Peers& peers, WorkerPool& pool,
                                  const RestoreRules& rules, Wanted wanted) {
  copies_.clear();
  // Evaluation has no state: values of a bf16 weight come as f32, unless the checkpoint has them as they are.
  const auto stored_type = [&](const TensorSpec& wanted) {
    for (const TensorSpec& stored : source.tensors())
      if (stored.name == wanted.name && stored.state == wanted.state) return stored.type;
    return wanted.type;
  };
  // What arrives, and how it gets where it belongs.
  struct Arrival {
    const LogicalState* state = nullptr;
    Tensor target;  // absent: the rule makes the state of values
    DType dtype = DType::f32;
    bool direct = false;  // into the target itself
    bool spoken = false;  // into the model's digest
    int slot = -1;        // of moments
    Tensor host;          // while its group is there
  };
  std::vector<RestoreItem> items;
  std::vector<Arrival> arrivals;
  for (Part& part : parts(wanted)) {
    const LogicalState& state = *part.state;
    Arrival arrival{.state = &state, .target = part.tensor, .slot = part.slot};
    const ElementType stored = stored_type(part.spec);
    if (part.spec.state == "param" && part.tensor && state.state.empty() &&
        state.weight.dtype() != DType::f32 && stored != part.spec.type) {
      part.spec.type = ElementType::f32;
      arrival.target = {};
    }
    // Moments of another state format are converted.
    const bool number = stored == ElementType::f32 || stored == ElementType::bf16;
    const bool converted = part.slot >= 0 && number && stored != part.spec.type;
    if (converted) part.spec.type = stored;
    arrival.dtype = part.slot >= 0   ? dtype_of(part.spec.type).value()
                    : arrival.target ? arrival.target.dtype()
                                     : DType::f32;
    arrival.direct =
        arrival.target && !converted && on_the_host(arrival.target) && !runner_.is_away(state.block);
    arrival.spoken = wanted == Wanted::model && state.speaks && arrival.dtype == DType::f32;
    items.push_back({std::move(part.spec), state.held, nullptr, group_of(state)});
    arrivals.push_back(std::move(arrival));
  }
  model_digest_ = 0;
  fetched_ = -1;
  const auto memory = [&](size_t i) {
    Arrival& arrival = arrivals[i];
    arrival.host = arrival.direct ? arrival.target
                                  : make_tensor(*make_cpu_allocator(), arrival.dtype,
                                                arrival.state->held.extent, "checkpoint");
    return arrival.host.raw();
  };
  // By block: whoever is away comes once.
  const auto leave = [&] {
    if (fetched_ < 0) return;
    stream_.synchronize();
    runner_.put_back(std::exchange(fetched_, -1));
  };
  const auto arrived = [&](int64_t group) {
    for (size_t i = 0; i < items.size(); ++i) {
      auto& [state, target, dtype, direct, spoken, slot, host] = arrivals[i];
      if (items[i].group != group || !host) continue;
      if (spoken)
        model_digest_ += (hash_name(state->name) | 1) *
                         digest_of(state->shape, state->held, size_of(ElementType::f32), host.raw()).low;
      if (!direct) {
        if (fetched_ != state->block) leave();
        fetch(state->block);
        if (slot >= 0 && !target)
          write_piece(stream_, coded(*state, slot), host);
        else if (target && host.dtype() != target.dtype())
          take_moments(host, target);
        else if (target)
          transfer(stream_, host, target);
        else
          take_values(*state, host);
      }
      stream_.synchronize();
      host = {};
    }
  };
  RestoreReport report =
      strata::restore(source, peers, items, pool, rules, {.memory = memory, .arrived = arrived});
  leave();
  return report;
}

// Of another type.
void RunTensors::take_moments(const Tensor& numbers, const Tensor& target) {
  const Tensor converted = make_tensor(*make_cpu_allocator(), target.dtype(), target.shape(), "moments");
  for (int64_t i = 0; i < numbers.numel(); ++i)
    if (numbers.dtype() == DType::bf16)
      converted.data<float>()[i] = to_float(numbers.data<const bf16>()[i]);
    else
      converted.data<bf16>()[i] = to_bf16(numbers.data<const float>()[i]);
  transfer(stream_, converted, target);
  stream_.synchronize();  // `converted` goes
}

// By block, then by piece. A twin of the table comes with the table.
int64_t RunTensors::group_of(const LogicalState& state) const {
  constexpr int64_t kMostPieces = 1024;  // beyond, several come together
  const Model& model = runner_.plan().model();
  int64_t block = state.block;
  if (model.twin_table() && block + 1 == model.num_blocks()) {
    const auto& pieces = model.parameters(state.block).back().pieces;
    if (std::any_of(pieces.begin(), pieces.end(),
                    [&](const auto& piece) { return piece.name == state.name; }))
      block = 0;
  }
  const int64_t rows = state.held.extent.rank() > 0 ? state.held.extent[0] : 1;
  const int64_t piece = state.held.begin.rank() > 0 && rows > 0 ? state.held.begin[0] / rows : 0;
  return block * kMostPieces + std::min(piece, kMostPieces - 1);
}

// The rule makes weight and masters of the values as it did at the start of training; it also clears the
// moments, which were loaded: those it gets elsewhere.
void RunTensors::take_values(const LogicalState& state, const Tensor& values) {
  if (state.format != WeightFormat::none) {
    std::vector<std::byte> blocks(static_cast<size_t>(state.weight.numel()));
    encode_blocks(state.format, values.data<const float>(), values.numel(), blocks.data());
    transfer(stream_, Tensor::borrow(blocks.data(), DType::u8, state.weight.shape()), state.weight);
    stream_.synchronize();  // `blocks` go
    return;
  }
  const Shape elements{state.weight.numel()};
  Tensor here = flat(values);
  if (!on_the_host(state.weight)) {
    here = make_tensor(memory_, DType::f32, elements, "checkpoint values");
    transfer(stream_, values, here);
  }
  std::vector<Tensor> slots;
  for (size_t slot = 0; slot < rule_.slots().size(); ++slot) {
    const StateSlot& kind = rule_.slots()[slot];
    slots.push_back(slot < state.state.size() && holds_value(kind)
                        ? flat(state.state[slot])
                        : make_tensor(memory_, kind.dtype, {kind.entries(elements[0])}, "unused moments"));
  }
  rule_.initialize(stream_, here, flat(state.weight), slots);
  stream_.synchronize();  // `here` and `slots` go
}

}  // namespace strata
