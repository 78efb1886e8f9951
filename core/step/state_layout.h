// SPDX-License-Identifier: Apache-2.0
// Where the parts of every parameter lie inside the planned values of its block: weight and gradient on each
// level of the partition, packed layouts, and each array of optimizer state (in its block's master or
// moments). A parameter's elements are padded with zeros to equal shards; every value holds one shard of each
// of the block's parameters.
#pragma once

#include <span>
#include <vector>

#include "core/nn/model.h"
#include "core/program/update_rule.h"
#include "core/program/value.h"
#include "core/step/partition.h"

namespace strata {

// Byte offsets inside the block's values.
struct ParameterPlace {
  int64_t elements = 0;                      // padded
  WeightFormat format = WeightFormat::none;  // of the weight
  std::vector<int64_t> weight;               // by level
  std::vector<int64_t> grad;                 // by level; empty: frozen
  // Level 0 of a weight that is gathered as codes (LinearRecipe::gather_codes) is f8e4m3, with its factors
  // here; -1: of values.
  int64_t scales = -1;
  int64_t packed = -1;         // -1: not multiplied, or in blocks
  std::vector<int64_t> state;  // by slot, on the state's level: in the slot's class of values
};

// Which of a block's values an array of state is a part of: what refines the weight is its master.
ValueClass class_of(const StateSlot& slot);

// What a rule that sees matrices whole is told of a parameter, which must not be split: the logical matrices
// of a layer between embedding and head, each for itself where several are fused. Nothing for others.
std::vector<MatrixSpan> matrices_of(const Model& model, int block, size_t parameter);

class StateLayout {
 public:
  // `rule` null: weights only, for evaluation. `target` is the device whose packed layouts are meant.
  StateLayout(const Model& model, const UpdateRule* rule, const LinearOp& linear, Device target,
              const Partition& partition = {});

  const Partition& partition() const { return partition_; }
  DType weight_dtype() const { return weight_dtype_; }
  bool trains() const { return trains_; }                      // made with a rule
  std::span<const StateSlot> slots() const { return slots_; }  // empty without a rule
  // Bytes of a block's value; cls is weight, packed, grad, master or moments.
  int64_t bytes(ValueClass cls, int block, int level) const;
  const ParameterPlace& place(int block, size_t parameter) const {
    return places_[static_cast<size_t>(block)][parameter];
  }
  int64_t shard_elements(int block, size_t parameter, int level) const {
    return place(block, parameter).elements / partition_.shards(level);
  }

 private:
  struct BlockBytes {
    std::vector<int64_t> weight, grad;  // by level
    int64_t packed = 0, master = 0, moments = 0;
  };
  Partition partition_;
  DType weight_dtype_;
  bool trains_;
  std::vector<StateSlot> slots_;
  std::vector<std::vector<ParameterPlace>> places_;
  std::vector<BlockBytes> bytes_;
};

}  // namespace strata
