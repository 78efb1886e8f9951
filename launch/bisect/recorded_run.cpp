// SPDX-License-Identifier: Apache-2.0
#include "launch/bisect/recorded_run.h"

#include <algorithm>
#include <iterator>
#include <mutex>
#include <thread>

#include "core/device/cpu/cpu_stream.h"
#include "launch/train/build.h"
#include "launch/train/place.h"
#include "launch/train/run_data.h"
#include "launch/train/run_state.h"
#include "launch/train/temporary_folder.h"
#include "parallel/comm/thread_world.h"

namespace strata {
namespace {

// What is looked at must lie where it can be; the bits are the same.
StepPlanOptions at_home(StepPlanOptions options) {
  options.tiers = {};
  options.timing = Timing::sync;
  options.limit = {};
  return options;
}

class RankRun {
 public:
  RankRun(World& world, const Config& config, const RunData& data, const RecordedRunOptions& options)
      : rank_(world.rank()),
        config_(config),
        data_(data),
        options_(options),
        source_(data.train_source(config)),
        place_(world, place_options(config, world.size(), vocab()), config.model.tied),
        model_(build_model(config, data.tokenizer->vocab_size(), place_.split())),
        rule_(make_rule()),
        // A step that is not finite is what may be looked for: it ends like any other.
        guard_({.non_finite = OnNonFinite::skip, .spike = config.guard.spike}),
        schedule_(build_learning_rate(config)),
        plan_(model_, at_home(plan_options(config, *rule_, place_, model_))),
        recorder_(place_, plan_, rank_, config.data.seq_len, options.watch),
        pool_(threads(world.size())),
        stream_(pool_),
        alone_(1),
        communication_(alone_),
        allocator_(make_cpu_allocator()),
        runner_(plan_, {stream_, &communication_}, *allocator_, clip_rule(), hooks()) {}

  RunHeader header() const { return run_header(config_, place_, plan_); }
  StepRecorder& recorder() { return recorder_; }

  void run() {
    RunPosition position = start();
    const int64_t end = std::min(config_.run.steps, position.step + options_.steps);
    for (step_ = position.step + 1; step_ <= end; ++step_) {
      if (options_.interference.before_step) options_.interference.before_step(rank_, step_, runner_);
      const std::vector<Batch> batches = batches_at(position.cursor);
      recorder_.begin_step(step_, batches);
      const StepScalars sums = runner_.train_step(batches, [&](const Parameter& parameter) {
        return update_scalars(config_, schedule_, parameter, step_, position.updates + 1);
      });
      recorder_.end_step(runner_, sums);
      if (!sums.skip) ++position.updates;
      position.cursor += step_shape().samples();
    }
  }

 private:
  int64_t vocab() const { return config_.model.vocab ? config_.model.vocab : data_.tokenizer->vocab_size(); }
  // Ranks share the cores; bits do not depend on it.
  int threads(int ranks) const {
    const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    const int own = std::max(1, cores / ranks);
    return config_.run.threads > 0 ? std::min(own, narrow<int>(config_.run.threads)) : own;
  }
  std::unique_ptr<UpdateRule> make_rule() const {
    auto rule = build_update_rule(config_);
    return options_.interference.rule ? options_.interference.rule(rank_, std::move(rule)) : std::move(rule);
  }
  ClipRule clip_rule() {
    return [this, rule = build_clip_rule(config_, guard_, step_)](StepScalars& sums) {
      recorder_.clip(runner_);
      rule(sums);
    };
  }
  ExecutorOptions hooks() {
    return {.inspect = [this](const Invocation& invocation) {
      if (options_.interference.after_action) options_.interference.after_action(rank_, step_, invocation);
      recorder_.inspect(invocation);
    }};
  }

  RunPosition start() {
    const std::string& resume = config_.checkpoint.resume;
    if (resume != "auto" && resume != "none") {
      const auto files = make_posix_file_system();
      const auto alone = make_solo_peers();  // every rank reads for itself
      const RunPosition position =
          load_run(StrataSource(*files, find_checkpoint(*files, resume)), runner_, *rule_, data_.fingerprint,
                   {.peers = *alone, .stream = stream_, .pool = pool_, .rules = {.ignore_extra = {"*"}}});
      guard_.restore(position.guard);
      return position;
    }
    runner_.initialize(static_cast<uint64_t>(config_.run.seed));
    return {};
  }

  StepShape step_shape() const {
    return {.rows = plan_.geometry().rows, .micro_batches = place_.samples_per_step()};
  }
  std::vector<Batch> batches_at(int64_t cursor) const {
    std::vector<Batch> batches;
    for (int i = 0; i < plan_.geometry().micro_batches; ++i) {
      Batch batch;
      source_.fill(step_shape().cursor(cursor, place_.sample(i)), plan_.geometry().rows, batch);
      batches.push_back(place_.part_of(batch));
    }
    return batches;
  }

  const int rank_;
  const Config& config_;
  const RunData& data_;
  const RecordedRunOptions& options_;
  DataSource source_;
  RankPlace place_;
  Model model_;
  std::unique_ptr<UpdateRule> rule_;
  StepGuard guard_;
  LearningRateSchedule schedule_;
  StepPlan plan_;
  StepRecorder recorder_;
  WorkerPool pool_;
  CpuStream stream_;
  WorkerPool alone_;
  CpuStream communication_;
  std::shared_ptr<Allocator> allocator_;
  int64_t step_ = 0;
  StepRunner runner_;
};

}  // namespace

int num_ranks(const Config& config) {
  const ParallelConfig& p = config.parallel;
  return narrow<int>(p.pp * std::max<int64_t>(p.dp, 1) * p.cp * p.tp);
}

RecordedRun record_run(const LoadedConfig& loaded, const RecordedRunOptions& options) {
  const TemporaryFolder cache("bisect");
  const RunData data = open_run_data(loaded.config, cache.path());
  RecordedRun result;
  std::mutex mutex;
  run_ranks(
      num_ranks(loaded.config),
      [&](World& world) {
        RankRun run(world, loaded.config, data, options);
        run.run();
        const std::lock_guard lock(mutex);
        if (world.rank() == 0) result.record.header = run.header();
        for (const auto& [key, entry] : run.recorder().take()) result.record.add(key, entry);
        if (options.watch)
          std::ranges::move(run.recorder().take_watched(), std::back_inserter(result.watched));
      },
      options.interference.world);
  return result;
}

}  // namespace strata
