// SPDX-License-Identifier: Apache-2.0
// A block's parameters as tensors over the bytes of its planned values: whole for the block's own code, as
// shards for the optimizer and for what travels between ranks.
#pragma once

#include <span>
#include <vector>

#include "core/nn/model.h"
#include "core/step/state_layout.h"

namespace strata {

// First bytes of a block's whole weights and the packed layouts made of them; null on the meta device.
struct WeightBytes {
  std::byte* weight = nullptr;
  std::byte* packed = nullptr;
};

// Of block `block`, and behind them, when it is a tied head, the shared table of block 0 in `tied`.
std::vector<LinearWeight> bind_weights(const Model& model, const StateLayout& layout, const LinearOp& linear,
                                       int block, Stream& stream, const WeightBytes& own,
                                       const WeightBytes& tied);
// The same of the whole gradients; absent where a parameter is frozen.
std::vector<Tensor> bind_gradients(const Model& model, const StateLayout& layout, int block, Device device,
                                   std::byte* own, std::byte* tied);

// One parameter's shard on a level, as a flat tensor [elements / shards], or u8 of one that is kept in
// blocks, or f8e4m3 of level 0 where codes are gathered; `bytes` are those of the block's value.
Tensor weight_shard(const StateLayout& layout, int block, size_t parameter, int level, Device device,
                    std::byte* bytes);
// All of a parameter whose codes are gathered.
Quantized gathered_codes(const Parameter& parameter, const ParameterPlace& place, Device device,
                         std::byte* bytes);
// Absent when the parameter is frozen.
Tensor gradient_shard(const StateLayout& layout, int block, size_t parameter, int level, Device device,
                      std::byte* bytes);
// First bytes of a block's values of optimizer state, or of copies of them.
struct StateBytes {
  std::byte* master = nullptr;
  std::byte* moments = nullptr;
};
// State slots of one parameter, in slot order; empty for a frozen one.
std::vector<Tensor> bind_state(const StateLayout& layout, int block, size_t parameter, Device device,
                               const StateBytes& bytes);

}  // namespace strata
