// SPDX-License-Identifier: Apache-2.0
// Runs a model token by token, for generating text: one sequence or several beside each other, keys and
// values of earlier tokens kept.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/step/step_runner.h"

namespace strata {

struct TextModelOptions {
  int sequences = 1;       // that are kept at the same time
  int64_t max_length = 0;  // tokens of a sequence, at most the model's positions; 0: as many
};

class TextModel {
 public:
  // Uses the runner's weights where they lie; all references must outlive this. Keys and values take
  // 2 x layers x sequences x max_length x kv_heads x head_dim elements of the device's memory.
  TextModel(const Model& model, const StepRunner& weights, Stream& stream, Allocator& allocator,
            const TextModelOptions& options = {});
  ~TextModel();

  // What is appended to one sequence: at least one token.
  struct Append {
    int sequence = 0;
    std::span<const int32_t> ids;
  };
  // Appends to each of some sequences, in one pass through the model. Returns the logits of what follows the
  // last token of each: [appends, vocab], valid until the next call. ContractError when a sequence is named
  // twice, or would grow past max_length().
  std::span<const float> feed(std::span<const Append> appends);
  // To the first sequence alone: [vocab].
  std::span<const float> feed(std::span<const int32_t> ids);

  int64_t length(int sequence = 0) const;
  int64_t max_length() const;
  void reset(int sequence = 0);  // the sequence is empty again

 private:
  class Cache;
  Tensor last_rows(const Tensor& x, std::span<const Append> appends, Scratch& scratch) const;

  const Model& model_;
  const StepRunner& weights_;
  Stream& stream_;
  std::unique_ptr<Cache> cache_;
  BoundarySet boundaries_;
  std::vector<float> logits_;
};

}  // namespace strata
