// SPDX-License-Identifier: Apache-2.0
#include "core/step/state_layout.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/device/meta_stream.h"

namespace strata {
namespace {

// Shards begin on a cache line in every type, and a whole vector at a time can be summed.
constexpr int64_t kShardMultiple = 32;

// Places `size` bytes behind what is there already.
int64_t append(int64_t& total, int64_t size) {
  const int64_t offset = total;
  total += round_up(size, kTensorAlignment);
  return offset;
}

}  // namespace

ValueClass class_of(const StateSlot& slot) {
  return slot.name.starts_with("master") ? ValueClass::master : ValueClass::moments;
}

StateLayout::StateLayout(const Model& model, const UpdateRule* rule, const LinearOp& linear, Device target,
                         const Partition& partition)
    : partition_(partition),
      weight_dtype_(rule ? rule->weight_dtype() : model.compute),
      trains_(rule != nullptr) {
  check(weight_dtype_ == model.compute, "[state] rule '{}' keeps {} weights, the model computes in {}",
        rule ? rule->name() : "", name(weight_dtype_), name(model.compute));
  if (rule) slots_.assign(rule->slots().begin(), rule->slots().end());
  const int levels = partition.num_levels(), ways = partition.shards(levels - 1);
  // Shards are whole blocks of state, too.
  const int64_t multiple = std::max(kShardMultiple, block_of(slots_));
  MetaStream stream(target);
  for (int block = 0; block < model.num_blocks(); ++block) {
    auto& places = places_.emplace_back();
    BlockBytes& bytes = bytes_.emplace_back();
    bytes.weight.resize(static_cast<size_t>(levels));
    bytes.grad.resize(static_cast<size_t>(levels));
    for (const Parameter& parameter : model.parameters(block)) {
      ParameterPlace& place = places.emplace_back();
      const int64_t count = parameter.shape.numel();
      place.format = parameter.format;
      const bool in_blocks = place.format != WeightFormat::none;
      check(!in_blocks || !parameter.trainable, "[state] '{}' is trained and kept in blocks", parameter.name);
      place.elements =
          ways == 1 ? count : round_up(count, ways * (in_blocks ? kBlockElements : multiple));
      const auto on_level = [&](int level, DType dtype) {
        return place.elements / partition.shards(level) * size_of(dtype);
      };
      const OperandRecipe& codes = parameter.recipe.forward.right;
      const bool gathers_codes = parameter.recipe.gather_codes && parameter.recipe.weight_has_one_code() &&
                                 partition.weight_level() > 0;
      for (int level = 0; level < levels; ++level)
        place.weight.push_back(append(
            bytes.weight[static_cast<size_t>(level)],
            in_blocks
                ? encoded_bytes(place.format, place.elements / partition.shards(level))
                : on_level(level, level == 0 && gathers_codes ? dtype_of(codes.format) : weight_dtype_)));
      if (gathers_codes)
        place.scales = append(
            bytes.weight[0],
            scales_shape(codes.shape, parameter.shape[0], parameter.shape[1]).numel() * size_of(DType::f32));
      if (parameter.multiplied && !in_blocks)
        place.packed = append(bytes.packed,
                              linear.packed_bytes(stream, weight_dtype_, parameter.shape, parameter.recipe));
      if (!rule || !parameter.trainable) continue;
      for (int level = 0; level < levels; ++level)
        place.grad.push_back(append(bytes.grad[static_cast<size_t>(level)], on_level(level, DType::f32)));
      const int64_t elements = place.elements / partition.shards(partition.state_level());
      for (const StateSlot& slot : slots_)
        place.state.push_back(append(class_of(slot) == ValueClass::master ? bytes.master : bytes.moments,
                                     slot.entries(elements) * size_of(slot.dtype)));
    }
  }
}

int64_t StateLayout::bytes(ValueClass cls, int block, int level) const {
  const BlockBytes& bytes = bytes_.at(static_cast<size_t>(block));
  switch (cls) {
    case ValueClass::weight:
      return bytes.weight.at(static_cast<size_t>(level));
    case ValueClass::packed:
      return bytes.packed;
    case ValueClass::grad:
      return bytes.grad.at(static_cast<size_t>(level));
    case ValueClass::master:
      return bytes.master;
    case ValueClass::moments:
      return bytes.moments;
    default:
      fail_contract(fmt::format("[state] {} is not state", name(cls)));
  }
}

std::vector<MatrixSpan> matrices_of(const Model& model, int block, size_t parameter) {
  const Parameter& p = model.parameters(block)[parameter];
  if (block == 0 || block + 1 == model.num_blocks() || p.role != Role::linear || p.shape.rank() != 2 ||
      !p.trainable)
    return {};
  std::vector<MatrixSpan> matrices;
  int64_t covered = 0;
  for (const LogicalTensor& piece : p.pieces) {
    check(piece.held.extent == piece.shape, "[step] a part of {} is here, and it is wanted whole",
          piece.name);
    matrices.push_back(
        {.begin = piece.first_row * p.shape[1], .rows = piece.shape[0], .columns = p.shape[1]});
    covered += piece.shape[0];
  }
  check(covered == p.shape[0], "[step] {} has {} rows of no matrix", p.name, p.shape[0] - covered);
  return matrices;
}

}  // namespace strata
