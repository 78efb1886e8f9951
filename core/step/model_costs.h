// SPDX-License-Identifier: Apache-2.0
// Sizes and work of every action of a model, measured by running the model's own code on the meta device:
// what is planned is what is used, without a second description of any layer.
#pragma once

#include <array>
#include <map>
#include <vector>

#include "core/device/meta_stream.h"
#include "core/nn/model.h"
#include "core/program/block_info.h"
#include "core/program/cost_model.h"
#include "core/program/tiers.h"
#include "core/step/geometry.h"
#include "core/step/quantized_activation.h"
#include "core/step/state_exchange.h"
#include "core/step/state_layout.h"

namespace strata {

// Rates for turning work into time.
struct Rates {
  double matmul_flops = 300e9;    // per second
  double attention_flops = 80e9;  // per second
  double bytes = 30e9;            // per second, of everything else
  // Between tiers, per second.
  double host_to_device = 20e9, device_to_host = 20e9, disk_read = 3e9, disk_write = 2e9;
  // Received per second, by the level of the link (LinkLevel).
  std::array<double, kNumLinkLevels> wire_bytes{30e9, 10e9, 10e9, 5e9, 5e9};
};

// What a rank meets others through: inside blocks, and between actions (null: there is nobody).
struct Meetings {
  const BoundarySet& boundaries;
  const KvExchange& keys;
  const StateExchange* exchange = nullptr;
};

class ModelCosts final : public CostModel {
 public:
  // `target` is the device that will run it, `rule` what updates are measured of, if it is not element-wise.
  // What is moved between ranks is counted on the communicators behind `meetings`. The references must
  // outlive this.
  ModelCosts(const Model& model, const Geometry& geometry, const StateLayout& layout, const LinearOp& linear,
             Device target, const Rates& rates, const Meetings& meetings, const TierOptions& tiers = {},
             const UpdateRule* rule = nullptr);

  int64_t bytes(const Value& value) const override;
  int64_t alignment(const Value& value) const override;
  int64_t scratch_bytes(const Action& action) const override;
  double seconds(const Action& action) const override;
  // What a load or store carries: of two ends, those of the one away from the device.
  int64_t moved_bytes(const Action& action) const;
  WorkCount work(const Action& action) const;
  // An estimate that is the same on every rank, whatever its links and its share of sums that do not divide:
  // ranks order their programs by it, apart from each other.
  double seconds_anywhere(const Action& action) const;

  // Which values the program of this model has, under a rule (null: evaluation only), and where they live.
  std::vector<BlockInfo> block_infos(bool train) const;
  // Shape of what travels between blocks.
  Shape activation_shape() const { return {rows_, model_.spec.hidden}; }
  // What stands for it away from the device, in blocks of which BlockInfo says so.
  const QuantizedActivation& quantized_activation() const { return quantized_; }

  // Matrix-product and attention FLOPs of the model itself in one step, recomputation not counted: what MFU
  // is relative to. Attention as if every sequence were one document.
  int64_t model_flops() const;

 private:
  struct Measured {
    int64_t scratch = 0;
    WorkCount work;
  };
  struct BlockSizes {
    int64_t output = 0, saved_input = 0, saved_weight = 0, deferred = 0;
    Measured forward, forward_discard, backward_input, backward_weight;  // of a block
    Measured loss, loss_only;                                            // of the head
    Measured update;                                                     // by a rule that is not element-wise
    int64_t parameters = 0, trainable = 0;                               // elements
    int64_t largest_parameter = 0;
  };
  void measure_block(int block, const Geometry& geometry, Device target);
  void measure_update(int block, const UpdateRule& rule);
  void measure_head(const Geometry& geometry, Device target);
  void measure_quantizing();
  std::vector<BlockInfo> describe(bool train) const;  // all at home on the device
  Measured measure_exchange(const Action& action) const;
  Measured measured(const Action& action) const;
  double seconds(const WorkCount& count) const;
  double move_seconds(const Action& action) const;
  bool streams(const Value& value) const;
  bool is_quantized(const Value& value) const;

  const Model& model_;
  const StateLayout& layout_;
  const LinearOp& linear_;
  Rates rates_;
  Device target_;
  Meetings meetings_;
  int micro_batches_;
  int64_t rows_;  // of an activation between blocks
  QuantizedActivation quantized_;
  Measured quantize_, dequantize_;  // beside the moves that they are part of
  std::vector<BlockSizes> sizes_;
  std::vector<BlockInfo> infos_;  // of training, if the layout trains
  // Of actions that move things between ranks: measured when first asked for, alike for all micro-batches.
  mutable std::map<uint64_t, Measured> exchanges_;
};

}  // namespace strata
