// SPDX-License-Identifier: Apache-2.0
// How a run saves itself: beside its steps, tried before the first of them, again after a failure. When it is
// due is the trainer's to say.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "checkpoint/saver.h"
#include "core/program/update_rule.h"
#include "core/step/step_runner.h"
#include "offload/tile_store.h"

namespace strata {

// Everything of a checkpoint but the tensors of its state.
struct RunSnapshot {
  int64_t step = 0;
  nlohmann::json meta;        // run_meta()
  std::vector<Asset> assets;  // configuration, tokenizer
  // What a run remembers as tensors beside its state, in memory that stays until the save has begun.
  std::vector<SaveItem> items = {};
};

// All but the accessors is collective over the peers.
class RunSaver {
 public:
  // All references outlive this. Saves a small checkpoint, reads it back and looks for room for a whole one,
  // which `replicas` ranks hold each part of. State in `store` is saved from its commits, beside the steps
  // that follow. Throws Error(environment) on all ranks when saving does not work.
  RunSaver(FileSystem& files, Peers& peers, const SaverOptions& options, const StepRunner& runner,
           const UpdateRule& rule, Stream& stream, int replicas, TileStore* store = nullptr);

  // Waits for the snapshot alone, and a while for a save before it; when that does not end, this one is left
  // out. A failure costs a checkpoint and not the run: it is told, and retry_due() says when to try again.
  void save(const RunSnapshot& snapshot);
  // At every step boundary: takes in what has ended, without waiting.
  void poll(int64_t step);
  // Saves unless this step is safe already, and returns when it is. Throws Error(environment) when it cannot
  // be made so.
  void finish(const RunSnapshot& snapshot);

  bool retry_due(int64_t step) const {
    return retry_after_ > 0 && step >= retry_after_ && !saver_->in_flight();
  }
  void resumed_after(int64_t step) { saved_step_ = step; }

 private:
  SaveResult begin(const RunSnapshot& snapshot);
  SaveResult take(SaveResult result, int64_t step);  // into the state below
  void tell(const SaveResult& result, int64_t step) const;

  Peers& peers_;
  std::string directory_;
  const StepRunner& runner_;
  const UpdateRule& rule_;
  Stream& stream_;
  TileStore* store_;
  std::unique_ptr<Saver> saver_;
  int64_t saved_step_ = -1;  // the last one that is committed
  std::string failure_;      // of the last save that failed
  // After a failed save: the step to try again behind, and the next wait, in steps.
  int64_t retry_after_ = 0, retry_wait_ = 1;
};

}  // namespace strata
