// SPDX-License-Identifier: Apache-2.0
// The ways to train a given model on given data with this machine, each planned by the code that would run
// it: memory is exact but for the program's own, times are estimates.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launch/finetune/data_estimate.h"
#include "launch/finetune/machine.h"
#include "launch/recipes/finetune.h"

namespace strata {

enum class Method { automatic, full, lora, qlora };

struct Way {
  Method method = Method::full;
  std::string name;          // "full", "full, state on drives", ...
  std::string toml;          // its configuration
  int64_t trained = 0;       // parameters
  int64_t device_bytes = 0;  // of a GPU; on a CPU 0: all is the host's
  int64_t host_bytes = 0;    // of the process at its most, saving included
  int64_t disk_bytes = 0;    // checkpoints that are kept, one that is written, state on drives
  double step_seconds = 0, run_seconds = 0;
  std::string binds;     // what a step waits for most
  std::string obstacle;  // why it does not fit; empty: it does
};

struct FinetuneQuestion {
  ModelSpec spec;
  FinetuneStart start;  // what all ways share
  DataEstimate data;
  FinetuneMachine machine;
  double epochs = 3;
  std::vector<std::string> overrides;  // key=value
  std::string file;                    // the configuration's name, for messages
};

// What the data say of rows, steps and the part that is held back, where `start` has 0.
FinetuneStart fitted_to_data(FinetuneStart start, const ModelSpec& spec, const DataEstimate& data,
                             double epochs);

// In the order of choice. Throws ConfigFaults for overrides that are wrong, Error(usage) when none can be
// planned.
std::vector<Way> plan_ways(const FinetuneQuestion& question);

// The first that fits, of the method when one is asked for. Null: none does.
const Way* choose_way(const std::vector<Way>& ways, Method method);
inline constexpr const char* kChoiceRule =
    "the first that fits: full training in memory, LoRA, QLoRA, then full training with state on drives";

// A table; the chosen one is marked.
std::string to_string(const std::vector<Way>& ways, const Way* chosen);

}  // namespace strata
