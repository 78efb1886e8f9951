// SPDX-License-Identifier: Apache-2.0
// Everything a run holds, in the order in which it is made. run.cpp makes it, run_start.cpp fills it with
// what it begins from, trainer.cpp runs it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/step/step_runner.h"
#include "launch/bisect/record_writer.h"
#include "launch/train/announce.h"
#include "launch/train/base_model.h"
#include "launch/train/build.h"
#include "launch/train/due.h"
#include "launch/train/job.h"
#include "launch/train/lane_tally.h"
#include "launch/train/memory_advice.h"
#include "launch/train/place.h"
#include "launch/train/precision.h"
#include "launch/train/reporter.h"
#include "launch/train/roofline_watch.h"
#include "launch/train/run_account.h"
#include "launch/train/run_data.h"
#include "launch/train/run_device.h"
#include "launch/train/run_folder.h"
#include "launch/train/run_saver.h"
#include "launch/train/run_store.h"
#include "launch/train/stop_request.h"
#include "offload/pinned_memory.h"
#include "parallel/watchdog.h"

namespace strata {

class Run {
 public:
  Run(const LoadedConfig& loaded, const Job& job);

  // Steps until the last one, or until a signal asks to stop. The process's exit code.
  int run();

 private:
  // Making it.
  RunFolder open_folder();
  RunData open_data();
  int64_t model_vocab() const {
    return config_.model.vocab ? config_.model.vocab : data_.tokenizer->vocab_size();
  }
  bool leads() const { return job_.world.rank() == 0; }
  std::vector<int64_t> of_all_ranks(int64_t own);
  PlanOptionsOf planning() const;
  Rates find_rates();
  int find_prefetch();
  std::shared_ptr<PinnedAllocator> check_and_open_memory();
  RunStore open_drives();
  StepStreams streams();
  ClipRule clip_rule();
  ExecutorOptions hooks();

  // Its start.
  void start();
  void load_start(const Loading& loading);
  void know_reference(const Loading& loading);
  void go_on_from_store();
  void go_on_from(const std::string& checkpoint, const Loading& loading);
  RunFacts facts() const;
  void print_tiers();

  // Its steps.
  void watch();
  int stop_signal(const StopRequest& stop);
  bool is_due(Due& due);
  std::span<const Batch> batches_of(std::span<const Batch> samples);
  MemoryUse memory_use() const;
  // One rank's model has its share of every layer and all of them; the data ranks do the same for other
  // tokens.
  double job_flops() const {
    const Mesh& mesh = place_.mesh();
    return static_cast<double>(plan_.costs().model_flops()) * mesh.size(Axis::tp) * mesh.size(Axis::dp) *
           mesh.size(Axis::cp);
  }
  std::optional<double> joules_since(const std::optional<double>& before) const;
  StepRecord train_one_step(std::span<const Batch> batches);
  double evaluate();
  RunSnapshot snapshot();
  void open_saver();
  void save(bool last);
  int finish(int signal, const std::optional<double>& valid_loss);

  const LoadedConfig& loaded_;
  const Config& config_;
  const Job& job_;
  std::unique_ptr<Communicator> everyone_;
  std::unique_ptr<Communicator> savers_;  // of saving alone
  std::unique_ptr<Peers> peers_;
  std::unique_ptr<FileSystem> files_;
  RunFolder folder_;
  RunData data_;
  std::vector<Asset> tokenizer_files_;  // of the checkpoints
  DataSource train_source_;
  RunDevice device_;
  std::string device_communication_;     // what was chosen for GPUs, for people
  std::unique_ptr<World> device_world_;  // of GPUs; null: the job's serves
  RankPlace place_;
  Model model_;
  std::unique_ptr<UpdateRule> rule_;
  StepGuard guard_;
  LearningRateSchedule schedule_;
  RunAccount account_;
  BaseModel base_;            // of adapters
  std::vector<Batch> parts_;  // of the step that runs
  RunPrecision precision_;
  std::vector<DriveProbe> drives_;  // that this rank's state lies on
  Rates rates_;                     // as found here, the same on every rank
  int prefetch_ = 0;
  StepPlan plan_;
  std::unique_ptr<RecordWriter> record_;          // null: nothing is recorded
  std::shared_ptr<PinnedAllocator> host_memory_;  // of runs with state away; null: memory as others have it
  RunStore run_store_;
  TileStore* store_;  // in it
  LaneTally lanes_;   // of this rank's steps
  StepRunner runner_;
  std::string registered_;  // why drives copy, if they do
  RooflineWatch watch_;
  std::unique_ptr<Reporter> reporter_;  // of the rank that leads
  double peak_flops_ = 0;               // of all ranks
  Progress progress_;
  std::unique_ptr<Watchdog> watchdog_;  // of several ranks
  std::unique_ptr<RunSaver> saver_;
};

}  // namespace strata
