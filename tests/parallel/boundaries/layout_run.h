// SPDX-License-Identifier: Apache-2.0
// A model on the ranks of a tensor and a context axis, as threads: loss and gradients of the logical tensors,
// put together from what the ranks hold.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/device/cpu/cpu_stream.h"
#include "core/models/architectures.h"
#include "tests/parallel/boundaries/rank_model.h"

namespace strata {

struct TestLayout {
  int tp = 1;
  bool sequence = false;
  int cp = 1;
  CpuStream::Mode mode = CpuStream::Mode::inline_;
};
std::string to_string(const TestLayout& layout);

struct Outcome {
  double loss = 0;  // mean over targets
  int64_t targets = 0;
  std::map<std::string, std::vector<float>> gradients;  // of whole logical tensors
  // What an unbroken run does not have: replicated gradients or losses that differ in a bit between ranks of
  // the tensor axis, memory that was planned and not used.
  std::vector<std::string> faults;
};

// Ways to break a run on purpose, on every rank.
struct Sabotage {
  // May bind other boundaries, which must live as long as the run.
  std::function<void(BoundarySet&)> boundaries = [](BoundarySet&) {};
  std::string shifted;          // RankModel::load
  bool forget_partial = false;  // partial gradients are taken from one rank
};

// Loss and gradients of the model of `spec` with weights by test_value. `batch` is whole.
Outcome run_layout(const ModelSpec& spec, DType compute, const Batch& batch, const TestLayout& layout = {},
                   const Sabotage& sabotage = {});

// What rank `rank` of a job of that layout would do, without any job.
RankPlan plan_layout(const ModelSpec& spec, DType compute, const Batch& batch, const TestLayout& layout,
                     int rank);

// Rows of packed documents of many lengths, the first of them one document; every seventh token has no
// target.
Batch packed_batch(int64_t rows, int64_t seq_len, int64_t vocab);

// The largest distance of a gradient, relative to its norm (at least a hundredth of the norm of all: some are
// nothing but rounding, as those of a key bias, which softmax does not see).
struct Distance {
  double relative = 0;
  std::string tensor;
};
Distance farthest(const Outcome& outcome, const Outcome& expected);

}  // namespace strata
