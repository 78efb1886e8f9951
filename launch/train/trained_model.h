// SPDX-License-Identifier: Apache-2.0
// A checkpoint opened for use: model, weights and tokenizer, no optimizer state.
#pragma once

#include <memory>
#include <string>

#include "core/data/tokenizer.h"
#include "core/step/step_runner.h"
#include "launch/config/load.h"
#include "launch/train/run_device.h"

namespace strata {

class TrainedModel {
 public:
  // `path`: a run's OUT or a checkpoint file. `threads` as run.threads. `rows`: sequences per evaluation
  // batch.
  TrainedModel(const std::string& path, int threads, int64_t rows = 1);

  const std::string& path() const { return path_; }
  int64_t step() const { return step_; }
  // With the checkpoint's own tokenizer and chat template for those the run was started with.
  const Config& config() const { return loaded_.config; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Model& model() const { return model_; }
  StepRunner& runner() { return *runner_; }
  Stream& stream() { return device_.stream(); }
  Allocator& allocator() { return device_.memory(); }

 private:
  std::string path_;
  int64_t step_ = 0;
  LoadedConfig loaded_;
  std::unique_ptr<Tokenizer> tokenizer_;
  RunDevice device_;
  Model model_;
  std::unique_ptr<StepPlan> plan_;
  std::unique_ptr<StepRunner> runner_;
};

}  // namespace strata
