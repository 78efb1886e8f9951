// SPDX-License-Identifier: Apache-2.0
// Whole optimizer steps of a small model under a layout, one thread a rank: losses, norms, first-step
// gradients and final parameters of the logical tensors, put together from what the ranks hold.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/nn/model.h"
#include "parallel/rank_place.h"

namespace strata {

struct StepLayout {
  MeshSizes mesh;
  bool sequence = false;
  std::string schedule = "1f1b";
  int virtual_stages = 1;
  PartitionWays partition;
  bool tree = false;
  bool recompute = false;
  int gather_ahead = 1;
  int64_t max_delay_us = 0;  // random sleeps before every action, on every lane
  int threads = 1;           // of each rank

  int ranks() const { return mesh.pp * mesh.dp * mesh.cp * mesh.tp; }
};
std::string to_string(const StepLayout& layout);

struct StepRun {
  ModelSpec spec;
  DType compute = DType::f32;
  std::string state = "fp32";
  int64_t seq_len = 16, rows = 1;
  int samples = 8;  // micro-batches of a step, over all data ranks
  int steps = 3;
  float grad_clip = 1.0f;
  bool evaluate = false;  // the last step's samples once more, without gradients
};

struct StepOutcome {
  std::vector<double> losses, norms;
  double valid_loss = 0;
  using Tensors = std::map<std::string, std::vector<float>>;
  Tensors gradients;  // of the first step, unclipped
  Tensors initial, parameters;
  std::vector<int64_t> arena_bytes;  // by rank
};

// Small specs that every layout below fits: 4 layers, 4 heads.
ModelSpec small_llama(bool tied = false);
ModelSpec small_gpt2();

StepOutcome run_steps(const StepRun& run, const StepLayout& layout);

// The largest distance of a tensor, |a - b| / |b| in norm; a tensor whose norm is below a hundredth of the
// largest is measured against that.
double farthest(const StepOutcome::Tensors& a, const StepOutcome::Tensors& b);
// Of the change from `initial`.
double farthest_change(const StepOutcome& a, const StepOutcome& b);

}  // namespace strata
