// SPDX-License-Identifier: Apache-2.0
// Whole optimizer steps of a small model under a layout, one thread a rank: losses, norms, first-step
// gradients and final parameters of the logical tensors, put together from what the ranks hold.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/nn/model.h"
#include "core/program/program.h"
#include "core/program/tiers.h"
#include "parallel/rank_place.h"
#include "tests/parallel/steps/altered_world.h"

namespace strata {

// Where a class of values lies between its uses.
inline constexpr TierHome on_device{}, on_host{.tier = Tier::host}, on_nvme{.tier = Tier::nvme};

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
  Topology topology;
  std::vector<Program> given;  // run instead of the generated programs
  int group = 1;               // micro-batches that pass a block before the next
  TierOptions tiers = {};      // every rank's values on nvme lie on a store of its own, in memory
  int64_t drive_us = 0;        // after which a store answers
  Timing timing = Timing::sync;

  int ranks() const { return mesh.pp * mesh.dp * mesh.cp * mesh.tp; }
};
std::string to_string(const StepLayout& layout);

struct StepRun {
  ModelSpec spec;
  DType compute = DType::f32;
  std::string recipe = {};  // of linear layers that multiply in 8 bits, with bf16 around them; empty: none do
  bool gather_codes = false;  // of the weights of these layers
  std::string state = "fp32";
  int64_t seq_len = 16, rows = 1;
  int samples = 8;  // micro-batches of a step, over all data ranks
  int steps = 3;
  int compared_step = 3;  // after which the parameters are compared, if there are so many
  float learning_rate = 1e-2f, grad_clip = 1.0f;
  bool evaluate = false;                     // the last step's samples once more, without gradients
  std::function<void(Model&)> prepare = {};  // what is trained, and how it begins
};

struct StepOutcome {
  std::vector<double> losses, norms;
  double valid_loss = 0;
  using Tensors = std::map<std::string, std::vector<float>>;
  Tensors gradients;            // of the first step, unclipped
  Tensors initial, parameters;  // before the first step, after the compared one

  // By rank: of one training step, what was received and what the plan says.
  struct Rank {
    std::map<std::string, int64_t> received;  // by purpose; the cuts of a partition are all "shards"
    std::array<int64_t, kNumLinkLevels> received_by_level{}, planned_by_level{};
    int64_t planned_of_layers = 0;           // of that, weights of layers between embedding and head
    size_t most_reads = 0, most_writes = 0;  // on their way at once, of a store that is slow
  };
  std::vector<Rank> ranks;
  std::vector<Program> programs;  // of training, by pipeline rank
};

// Small specs that every layout below fits: 4 layers, 4 heads.
ModelSpec small_llama(bool tied = false);
ModelSpec small_gpt2();

// Layers larger than a 128x128 block and not a multiple of it, whole and as a rank's share.
StepRun eight_bit_run(const std::string& recipe);

// What a rank's place in such a run is made of.
PlaceOptions place_options(const StepRun& run, const StepLayout& layout);

StepOutcome run_steps(const StepRun& run, const StepLayout& layout, const Alteration& alteration = {});

// How far a run is from one rank's, relative; the last three are 0 where a run has no such step.
struct Distances {
  bool same_start = true;                    // initial values and number of steps
  double loss = 0, norm = 0, gradients = 0;  // of the first step
  double change = 0;                         // of the parameters, over the compared steps
  double fifth_loss = 0, twentieth_loss = 0, valid_loss = 0;
};
Distances distances(const StepOutcome& many, const StepOutcome& one);
// The bounds of DESIGN section 9 that are broken, a line each; empty: `many` trains as one rank does.
// `rounds_apart`: sums inside a layer are split over ranks (tp or cp), later losses may drift.
std::string broken_bounds(const Distances& distances, bool rounds_apart);
inline std::string differences(const StepOutcome& many, const StepOutcome& one, bool rounds_apart) {
  return broken_bounds(distances(many, one), rounds_apart);
}
inline bool rounds_apart(const StepLayout& layout) { return layout.mesh.tp * layout.mesh.cp > 1; }
// What is not the same to the bit, a line each.
std::string different_bits(const StepOutcome& many, const StepOutcome& one);

// Where a cut changes which elements share a factor (a rank's share of a layer or of the tokens has its own),
// 8-bit products are rounded anew: `many` is then as far from `one` as two draws of the same noise are. That
// noise is known, `one` against `plain`, the same run without a recipe. Two draws are sqrt(2) of it apart:
// 1.5 times is the bound of the first gradients. Losses are means over noise that mostly cancels out: 2e-3
// relative, of every step. What is broken, a line each.
std::string beyond_noise(const StepOutcome& many, const StepOutcome& one, const StepOutcome& plain);

// The largest distance of a tensor, |a - b| / |b| in norm; a tensor whose norm is below a hundredth of the
// largest is measured against that.
double farthest(const StepOutcome::Tensors& a, const StepOutcome::Tensors& b);
// Of the change from `initial`.
double farthest_change(const StepOutcome& a, const StepOutcome& b);

}  // namespace strata
