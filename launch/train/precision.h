// SPDX-License-Identifier: Apache-2.0
// From the configuration's precision section to the number formats of a run's linear layers.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/dist/communicator.h"
#include "launch/config/config.h"
#include "launch/metrics/step_record.h"
#include "launch/train/run_state.h"
#include "precision/delayed_scales.h"
#include "precision/quantization_counters.h"
#include "precision/quantized_linear_op.h"
#include "precision/recipe.h"

namespace strata {

// Throws Error(usage) for a product there is not, and for a table that cannot be followed.
RecipeOptions recipe_options(const Config& config);

// Tokens that a rank multiplies at once.
int64_t product_tokens(const Config& config);

// With precision.follow, what became of each layer's products: "layers.*.mlp.down" "forward, backward_input
// in 8 bits", those of a kind together, in the model's order.
std::vector<std::string> followed(const Config& config, const Model& model);

// Whether a tensor of a checkpoint is a history of delayed scales: "layers.3.mlp.down" (amax) f32 [2, steps],
// the largest magnitudes of a layer's input and of its gradient, the latest step first.
bool is_scale_history(const TensorSpec& tensor);

// The tables of a run that computes in 8 bits, beside its streams.
class RunPrecision {
 public:
  // All outlive this; the model has its recipes.
  RunPrecision(const PrecisionConfig& precision, const Model& model, Allocator& memory, Stream& stream);

  const LinearOp* linear() const { return op_.get(); }  // null: products are plain
  DelayedScales* delayed() { return delayed_.get(); }   // null: nothing is delayed

  void begin_step(Stream& stream);
  // The largest magnitudes of all ranks, on `host`.
  void end_step(Stream& stream, Communicator& everyone, Stream& host);

  // The histories of delayed scales, which every rank has whole, in memory of this object until the next
  // call.
  std::vector<SaveItem> save_items();
  // Collective over the peers. Layers whose history the checkpoint has not begin anew: what it returns says
  // so to people, or is "". Throws Error(model) for a history of another form.
  std::string restore(const TensorSource& checkpoint, const Loading& loading);

  // Of what this rank quantized since the last call; empty without precision.counters.
  std::map<std::string, std::map<std::string, QuantizedShare>> shares(Stream& stream);

 private:
  std::vector<std::string> layers_;  // by site
  std::vector<int> delayed_sites_;
  std::vector<std::vector<float>> saved_;
  std::unique_ptr<DelayedScales> delayed_;
  std::unique_ptr<QuantizationCounters> counters_;
  std::unique_ptr<QuantizedLinearOp> op_;
};

}  // namespace strata
