// SPDX-License-Identifier: Apache-2.0
// What `strata plan` finds out about a step: plain figures, as text or JSON.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/dist/mesh.h"
#include "core/program/link.h"
#include "core/program/program.h"
#include "core/step/model_costs.h"
#include "core/step/partition.h"
#include "launch/config/load.h"
#include "offload/roofline.h"

namespace strata {

// Ranks with the same place in the pipeline run the same program; these are the figures of the first of them.
struct PipelineRankFigures {
  int64_t parameters = 0;  // held here before they are sharded over data ranks, with their padding
  int64_t actions = 0;     // that run; frees do not
  int64_t stored = 0;      // bytes of values on drives
  MemoryReport memory;
  std::optional<MemoryReport>
      in_bf16;  // with precision.compute = "fp8": what bf16 would need, where that fits
  std::array<int64_t, kNumLinkLevels> received{};  // bytes of a step, by link
  std::array<int64_t, kNumLanes> moved{};          // bytes of a step between tiers, by lane
};

struct PlanFigures {
  int ranks = 1;
  DeviceKind device = DeviceKind::cpu;  // of every rank
  MeshSizes mesh;
  bool sequence = false;
  PartitionWays partition;
  int micro_batches = 1;
  int64_t micro_batch = 1, seq_len = 1;  // sequences, and tokens of each
  std::string schedule;                  // its name or file; empty with one stage
  std::string picture;
  int64_t parameters = 0;  // of the model
  int64_t trained = 0;     // of them
  double flops = 0;        // of the model's step, all ranks
  double step_seconds = 0;
  // Of the rank whose moves take longest; absent when nothing is away from the device. At the same rates.
  std::optional<StreamRoofline> roofline;
  double endurance_bytes = 0;            // of the drives; 0: not known
  int prefetch = 0;                      // blocks that state is loaded ahead
  double bubble = 0;                     // share of the step that compute idles, mean over pipeline ranks
  std::array<double, kNumLanes> busy{};  // seconds a step, of the first pipeline rank
  std::vector<PipelineRankFigures> pipeline;
  std::vector<Program> programs;  // of training, by pipeline rank
};

// Plans the configuration for `ranks` ranks; 0: as few as its sizes take. Throws Error(usage) when there is
// no such layout. `rates` turn work into time.
PlanFigures plan_figures(const Config& config, int ranks, const Rates& rates = {});

std::string to_string(const PlanFigures& figures);
nlohmann::json to_json(const PlanFigures& figures);  // all but the programs

}  // namespace strata
