// SPDX-License-Identifier: Apache-2.0
// From the configuration's precision section to the number formats of a run's linear layers.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/dist/communicator.h"
#include "launch/config/config.h"
#include "launch/metrics/step_record.h"
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

  // The history of delayed scales in a checkpoint's description of the run. A checkpoint without one, of
  // another recipe, begins anew.
  void describe(nlohmann::json& meta) const;
  void restore(Stream& stream, const nlohmann::json& meta);

  // Of what this rank quantized since the last call; empty without precision.counters.
  std::map<std::string, std::map<std::string, QuantizedShare>> shares(Stream& stream);

 private:
  std::vector<std::string> layers_;  // by site
  std::unique_ptr<DelayedScales> delayed_;
  std::unique_ptr<QuantizationCounters> counters_;
  std::unique_ptr<QuantizedLinearOp> op_;
};

}  // namespace strata
