// SPDX-License-Identifier: Apache-2.0
// Runs a model token by token, for generating text: one sequence, keys and values of earlier tokens kept.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/step/step_runner.h"

namespace strata {

class TextModel {
 public:
  // Uses the runner's weights where they lie; all references must outlive this.
  TextModel(const Model& model, const StepRunner& weights, Stream& stream, Allocator& allocator);
  ~TextModel();

  // Appends `ids` to the sequence and returns the logits of what follows the last one: [vocab], valid until
  // the next call. ContractError when the sequence would grow past the model's positions.
  std::span<const float> feed(std::span<const int32_t> ids);

  int64_t length() const;
  int64_t max_length() const { return model_.spec.max_positions; }
  void reset();

 private:
  class Cache;
  const Model& model_;
  const StepRunner& weights_;
  Stream& stream_;
  std::unique_ptr<Cache> cache_;
  BoundarySet boundaries_;
  std::vector<float> logits_;
};

}  // namespace strata
