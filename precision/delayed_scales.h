// SPDX-License-Identifier: Apache-2.0
// Delayed factors (arXiv:2209.05433, section 3.2): what a tensor is scaled by comes from its largest
// magnitudes in earlier steps, so that it is read once. Two tensors a site: the layer's input and its
// gradient. Their magnitudes of a step are the largest over all ranks; the history is state of the run, the
// same on every rank whatever the layout.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/device/buffer.h"
#include "core/device/stream.h"
#include "core/nn/linear_recipe.h"
#include "core/tensor/tensor.h"

namespace strata {

struct DelayedOptions {
  int64_t history = 1024;  // steps that are remembered
  int margin = 0;          // factors leave room for 2^margin times the largest magnitude
};

class DelayedScales {
 public:
  // `gradients[i]` is the format of dy at site i. The tables lie in `memory`, which outlives this.
  DelayedScales(const DelayedOptions& options, std::vector<Fp8Format> gradients, Allocator& memory,
                Stream& stream);

  // Of the device: the factor to use (f32 [1]; absent where no remembered step saw anything: then a tensor's
  // own magnitude serves), and where its magnitude goes.
  Tensor factor(int site, LinearSide side) const;
  Tensor amax(int site, LinearSide side) const;

  // Before a step: forgets what evaluations have seen.
  void begin_step(Stream& stream);
  // After a step whose work on `stream` is done: remembers its magnitudes, once `reduce` has made them the
  // largest of all ranks, and makes the next factors. What a step did not touch, or saw infinite, keeps its
  // history.
  void end_step(Stream& stream, const std::function<void(std::span<float>)>& reduce);

  int num_sites() const { return static_cast<int>(largest_.size() / 2); }
  int64_t steps() const { return std::ssize(history_) / width(); }  // remembered
  // Of checkpoints: [2, steps()], magnitudes of a site's input and of its gradient, the latest step first.
  std::vector<float> history(int site) const;
  // By site, each of as many steps as it has; empty: it remembers nothing. What is beyond the options'
  // history is dropped.
  void restore(Stream& stream, std::span<const std::vector<float>> histories);

 private:
  size_t at(int site, LinearSide side) const {
    return 2 * static_cast<size_t>(site) + (side == LinearSide::gradient ? 1 : 0);
  }
  int64_t width() const { return std::ssize(largest_); }
  void make_factors(Stream& stream);

  DelayedOptions options_;
  std::vector<float> largest_;  // finite code of each tensor's format, [2 sites]
  BufferRef buffer_;
  Tensor factors_, amax_;       // f32 [2 sites, a cache line] on the device
  std::vector<float> history_;  // [steps, 2 sites], the latest step first
  std::vector<char> known_;     // [2 sites]: whether there is a factor
};

}  // namespace strata
