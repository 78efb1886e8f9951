// SPDX-License-Identifier: Apache-2.0
// The table of combinations in offload/combinations.md: where state lives, how it is partitioned, how a step
// is cut into micro-batches, what is trained, by which rule, clipped or not. Every cell is run here, twice,
// and the page is what came of it. STRATA_WRITE_TABLES=1 writes the page.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>

#include "core/base/error.h"
#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

struct Place {
  const char* name;
  TierOptions tiers;
  TierOptions against = {};  // has the same bits
};
const TierOptions kIn8BitsOnHost{.activations = on_host, .activation_format = ActivationFormat::fp8};
const Place kPlaces[] = {
    {"moments: host", {.moments = on_host, .prefetch = 1}},
    {"master, moments: nvme", {.master = on_nvme, .moments = on_nvme, .prefetch = 2}},
    {"gradients: host", {.gradients = on_host, .prefetch = 1}},
    {"gradients: nvme, half kept", {.gradients = {Tier::nvme, 0.5}, .prefetch = 1}},
    {"weights: host; moments: nvme", {.weights = on_host, .moments = on_nvme, .prefetch = 2}},
    {"all: nvme",
     {.weights = on_nvme,
      .gradients = on_nvme,
      .master = on_nvme,
      .moments = on_nvme,
      .activations = on_nvme,
      .prefetch = 1}},
    {"all: nvme, activations in 8 bits",
     {.weights = on_nvme,
      .gradients = on_nvme,
      .master = on_nvme,
      .moments = on_nvme,
      .activations = on_nvme,
      .activation_format = ActivationFormat::fp8,
      .prefetch = 1},
     kIn8BitsOnHost}};

struct Cut {
  const char* name;
  int dp;
  PartitionWays ways;
};
const Cut kCuts[] = {{"one rank", 1, {1, 1, 1}},
                     {"2 ranks, state", 2, {1, 1, 2}},
                     {"2 ranks, gradients too", 2, {1, 2, 2}},
                     {"2 ranks, weights too", 2, {2, 2, 2}}};

struct Accumulation {
  const char* name;
  int micro_batches, group;
};
const Accumulation kAccumulations[] = {{"1", 1, 1}, {"3", 3, 1}, {"3 in a group", 3, 0}};

struct Training {
  const char* name;
  bool adapters;
  const char* state;
  float clip;
  Timing timing = Timing::sync;
};
const Training kTrainings[] = {
    {"all, fp32", false, "fp32", 0},
    {"all, fp32, clipped", false, "fp32", 0.1f},
    {"all, split", false, "split", 0},
    {"all, split, clipped", false, "split", 0.1f},
    {"all, split8, clipped", false, "split8", 0.1f},
    {"all, sr8, clipped", false, "sr8", 0.1f},
    {"all, split, clipped, deferred", false, "split", 0.1f, Timing::deferred},
    {"all, sr8, clipped, deferred", false, "sr8", 0.1f, Timing::deferred},
    {"adapters, fp32", true, "fp32", 0},
    {"adapters, fp32, clipped", true, "fp32", 0.1f},
    {"adapters, split", true, "split", 0},
    {"adapters, split, clipped", true, "split", 0.1f},
    {"adapters, split8, clipped, deferred", true, "split8", 0.1f, Timing::deferred}};

// Runs that others are compared with are made once for all places.
using Known = std::map<std::string, StepOutcome>;

std::string outcome(Known& known, const std::string& name, const StepRun& run, StepLayout layout,
                    const Place& place, Timing timing) {
  try {
    layout.tiers = place.against;
    if (!known.contains(name)) known[name] = run_steps(run, layout);
    const StepOutcome& here = known[name];
    layout.tiers = place.tiers;
    layout.timing = timing;
    StepOutcome away = run_steps(run, layout);
    away.gradients = here.gradients;  // cannot be looked at in the middle of a step where they are away
    return different_bits(away, here).empty() ? "same bits" : "OTHER BITS";
  } catch (const Error& error) {
    return error.fault() == Fault::usage ? "refused" : error.what();
  }
}

std::string combination_table() {
  std::string text =
      "<!-- Made by tests/parallel/steps/matrix/combinations_test.cpp, which runs every cell. -->\n# What "
      "goes with "
      "what\n\nEach cell is two runs of a small model, one with everything on the device and one with state "
      "where the row "
      "says:\n*same bits* in losses, norms and parameters. Columns: what is trained, the state format of "
      "AdamW, "
      "whether the\ngradient is clipped, and whether updates wait for the next step (against a run with all "
      "on the "
      "device in which they do not). Activations in\n8 bits are rounded for the backward pass: their rows "
      "are "
      "compared with runs that have them, and nothing else, on the host.\n\n| state | partition | "
      "micro-batches |";
  std::string line = "\n| --- | --- | --- |";
  for (const Training& training : kTrainings) text += fmt::format(" {} |", training.name), line += " --- |";
  text += line + "\n";
  Known known;
  for (const Place& place : kPlaces)
    for (const Cut& cut : kCuts)
      for (const Accumulation& accumulation : kAccumulations) {
        text += fmt::format("| {} | {} | {} |", place.name, cut.name, accumulation.name);
        for (const Training& training : kTrainings) {
          StepRun run{.spec = small_llama(), .compute = DType::bf16, .state = training.state, .seq_len = 8};
          run.spec.layers = 2;
          if (training.adapters) run.spec.lora = {.rank = 4, .scale = 2, .targets = {"*"}};
          run.samples = accumulation.micro_batches * cut.dp;
          run.steps = run.compared_step = 2;
          run.grad_clip = training.clip;
          const StepLayout layout{.mesh = {.dp = cut.dp}, .partition = cut.ways, .group = accumulation.group};
          text += fmt::format(" {} |", outcome(known,
                                               fmt::format("{}|{}|{}|{}", place.against.offloads(), cut.name,
                                                           accumulation.name, training.name),
                                               run, layout, place, training.timing));
        }
        text += "\n";
      }
  return text;
}

TEST(Combinations, ThePageIsWhatComesOfThem) {
  const std::string path = std::string(STRATA_SOURCE_DIR) + "/offload/combinations.md",
                    made = combination_table();
  EXPECT_EQ(made.find("OTHER BITS"), std::string::npos);
  if (std::getenv("STRATA_WRITE_TABLES")) std::ofstream(path, std::ios::binary) << made;
  std::ifstream file(path, std::ios::binary);
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(page == made)
      << "offload/combinations.md is not what the combinations do: STRATA_WRITE_TABLES=1 writes it";
}

}  // namespace
}  // namespace strata
