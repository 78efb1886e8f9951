// SPDX-License-Identifier: Apache-2.0
#include "launch/train/run_saver.h"

#include <fmt/core.h>

#include <algorithm>

#include "checkpoint/save_probe.h"
#include "core/base/error.h"
#include "launch/train/run_tensors.h"

namespace strata {

RunSaver::RunSaver(FileSystem& files, Peers& peers, const SaverOptions& options, const StepRunner& runner,
                   const UpdateRule& rule, Stream& stream, int replicas, TileStore* store)
    : peers_(peers),
      directory_(options.directory),
      runner_(runner),
      rule_(rule),
      stream_(stream),
      store_(store) {
  RunTensors tensors(runner_, rule_, stream_);
  int64_t all_bytes = 0;
  for (const int64_t bytes : peers_.all(tensors.saved_bytes())) all_bytes += bytes;
  probe_saving(files, peers_, options, all_bytes / std::max(1, replicas));
  saver_ = std::make_unique<Saver>(files, peers_, options);
  for (const std::string& name : saver_->removed_at_start())
    fmt::print("removed {}: a save that was not finished\n", name);
}

void RunSaver::save(const RunSnapshot& snapshot) {
  constexpr double kPatience = 60;  // seconds
  if (saver_->in_flight()) tell(take(saver_->finish(kPatience), snapshot.step), snapshot.step);
  tell(take(begin(snapshot), snapshot.step), snapshot.step);
}

void RunSaver::poll(int64_t step) {
  if (saver_->in_flight()) tell(take(saver_->poll(), step), step);
}

SaveResult RunSaver::begin(const RunSnapshot& snapshot) {
  RunTensors tensors(runner_, rule_, stream_);
  std::shared_ptr<SnapshotReader> drives;
  // Before the first step there is no commit.
  if (store_ && store_->committed_step() == snapshot.step)
    drives = std::make_shared<SnapshotReader>(*store_, rule_);
  std::vector<SaveItem> items = tensors.save_items(drives);
  drives = nullptr;  // the items hold it
  items.insert(items.end(), snapshot.items.begin(), snapshot.items.end());
  return saver_->begin(
      {.step = snapshot.step, .meta = snapshot.meta, .items = std::move(items), .assets = snapshot.assets});
}

SaveResult RunSaver::take(SaveResult result, int64_t step) {
  using State = SaveResult::State;
  if (result.state == State::committed || result.state == State::present) {
    saved_step_ = result.step;
    retry_after_ = 0;
    retry_wait_ = 1;
  } else if (result.state == State::failed) {
    constexpr int64_t kLongestWait = 64;
    failure_ = result.message;
    retry_after_ = step + retry_wait_;
    retry_wait_ = std::min(retry_wait_ * 2, kLongestWait);
  }
  return result;
}

void RunSaver::tell(const SaveResult& result, int64_t step) const {
  using State = SaveResult::State;
  if (!peers_.leads()) return;
  if (result.state == State::failed)
    fmt::print(
        stderr,
        "strata: the checkpoint of step {} was not saved; training goes on, next try after step {}\n{}\n",
        result.step, retry_after_, result.message);
  else if (result.state == State::busy)
    fmt::print(stderr, "strata: no checkpoint of step {}: the one before it is still being written\n", step);
}

void RunSaver::finish(const RunSnapshot& snapshot) {
  if (saver_->in_flight()) take(saver_->finish(), snapshot.step);
  if (saved_step_ == snapshot.step) return;
  take(begin(snapshot), snapshot.step);
  if (saver_->in_flight()) take(saver_->finish(), snapshot.step);
  if (saved_step_ != snapshot.step)
    throw Error(Fault::environment,
                {.what = fmt::format("the last checkpoint, of step {}, was not saved", snapshot.step),
                 .where = directory_,
                 .found = failure_,
                 .fix = "free space or mend the disk, and start the same command again"});
}

}  // namespace strata
