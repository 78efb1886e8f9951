// SPDX-License-Identifier: Apache-2.0
#include "launch/train/trainer.h"

#include <fmt/core.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <iostream>
#include <utility>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/data/prefetch.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/step/step_runner.h"
#include "launch/bench/matmul_peak.h"
#include "launch/config/print.h"
#include "launch/metrics/humanize.h"
#include "launch/train/build.h"
#include "launch/train/due.h"
#include "launch/train/evaluate.h"
#include "launch/train/process_memory.h"
#include "launch/train/reporter.h"
#include "launch/train/run_data.h"
#include "launch/train/run_folder.h"
#include "launch/train/run_state.h"
#include "launch/train/stop_request.h"
#include "optim/parameter_group.h"
#include "optim/schedule.h"

namespace strata {
namespace {

Schedule make_schedule(const Config& config) {
  return Schedule({.type = config.schedule.type,
                   .peak = config.optimizer.lr,
                   .steps = config.run.steps,
                   .warmup = config.schedule.warmup,
                   .decay = config.schedule.decay,
                   .min_lr = config.schedule.min_lr});
}

// Everything a run holds, in the order it is made; the loop is run().
class Trainer {
 public:
  explicit Trainer(const LoadedConfig& loaded)
      : loaded_(loaded),
        config_(loaded.config),
        files_(make_posix_file_system()),
        folder_(*files_, loaded),
        data_(open_run_data(config_, folder_.cache())),
        train_source_(data_.train_source(config_)),
        pool_(narrow<int>(config_.run.threads)),
        stream_(pool_),
        allocator_(make_cpu_allocator()),
        model_(build_model(config_, data_.tokenizer->vocab_size())),
        rule_(build_update_rule(config_)),
        guard_({.non_finite = config_.guard.nan == NanAction::skip ? OnNonFinite::skip : OnNonFinite::stop,
                .spike = config_.guard.spike}),
        schedule_(make_schedule(config_)),
        plan_(model_, plan_options(config_, *rule_)),
        runner_(plan_, {stream_}, *allocator_, build_clip_rule(config_, guard_, step_), hooks()) {}

  int run();

 private:
  ExecutorOptions hooks();
  void start();
  void print_summary() const;
  RunSummary summary() const;
  StepRecord train_one_step(std::span<const Batch> batches);
  double evaluate();
  void save();

  const LoadedConfig& loaded_;
  const Config& config_;
  std::unique_ptr<FileSystem> files_;
  RunFolder folder_;
  RunData data_;
  DataSource train_source_;
  WorkerPool pool_;
  CpuStream stream_;
  std::shared_ptr<Allocator> allocator_;
  Model model_;
  std::unique_ptr<UpdateRule> rule_;
  StepGuard guard_;
  Schedule schedule_;
  RunPosition position_;
  int64_t step_ = 0;  // the one that runs, for messages
  StepPlan plan_;
  StepRunner runner_;
  std::unique_ptr<Reporter> reporter_;
  double peak_flops_ = 0;
};

// The executor's view of the run, for status line and trace. Reporter exists by the time a step runs.
ExecutorOptions Trainer::hooks() {
  ExecutorOptions options;
  options.progress = [this](int64_t done, int64_t total) {
    reporter_->progress("step", static_cast<double>(done) / static_cast<double>(total));
  };
  if (config_.log.trace_steps > 0)
    options.trace = [this](const ActionEvent& event) {
      reporter_->action(event, to_string(plan_.train().program.list[static_cast<size_t>(event.position)]));
    };
  return options;
}

void Trainer::start() {
  std::optional<int64_t> resumed_after;
  if (const auto& path = folder_.resume_from()) {
    position_ = load_run(LocalCheckpoint(*files_, *path), runner_, *rule_, data_.fingerprint);
    guard_.restore(position_.guard);
    resumed_after = position_.step;
    fmt::print("resuming after step {} from {}\n", position_.step, *path);
  } else {
    runner_.initialize(static_cast<uint64_t>(config_.run.seed));
  }
  peak_flops_ = measure_matmul_peak(pool_, model_.compute).flops_per_s;
  print_summary();
  reporter_ = std::make_unique<Reporter>(*files_, folder_, loaded_, summary(), resumed_after);
}

void Trainer::print_summary() const {
  const Geometry& geometry = plan_.geometry();
  const auto& memory = plan_.train().memory;
  fmt::print("\n{}", effective_toml(loaded_));
  fmt::print("\nmodel      {} parameters, {} layers, vocabulary {}\n", model_.num_parameters(),
             model_.spec.layers, model_.spec.vocab);
  fmt::print("data       {} tokens to train on, {} to validate\n",
             data_.train->num_samples() * data_.train->seq_len(),
             data_.valid ? data_.valid->num_samples() * data_.valid->seq_len() : 0);
  fmt::print("step       {} tokens = {} micro-batches of {} x {}, {} actions, {:.2f} GFLOP\n",
             config_.batch.tokens_per_step, geometry.micro_batches, geometry.rows, geometry.seq_len,
             plan_.train().program.list.size(), static_cast<double>(plan_.costs().model_flops()) * 1e-9);
  fmt::print("machine    {} threads, {:.0f} GFLOP/s of {} products\n", pool_.threads(), peak_flops_ * 1e-9,
             name(model_.compute));
  fmt::print("\n{}\n", to_string(memory));
  std::cout << std::flush;
  std::fflush(stdout);
}

RunSummary Trainer::summary() const {
  return {.name = config_.run.name,
          .model = fmt::format("{}, {} layers, hidden {}, {}", model_.spec.arch, model_.spec.layers,
                               model_.spec.hidden, name(model_.compute)),
          .parameters = model_.num_parameters(),
          .machine = fmt::format("CPU, {} threads", pool_.threads()),
          .facts = {{"optimizer", rule_->name()},
                    {"tokens per step", std::to_string(config_.batch.tokens_per_step)},
                    {"planned memory", human_bytes(plan_.arena_bytes())}},
          .config_text = effective_toml(loaded_)};
}

StepRecord Trainer::train_one_step(std::span<const Batch> batches) {
  const auto begin = std::chrono::steady_clock::now();
  const double rate = schedule_.rate(step_);
  const StepScalars sums = runner_.train_step(batches, [&](const Parameter& parameter) {
    return UpdateScalars{
        .learning_rate = static_cast<float>(rate),
        .weight_decay = weight_decay_of(parameter, static_cast<float>(config_.optimizer.weight_decay)),
        .step = position_.updates + 1,
        .key = {.seed = static_cast<uint64_t>(config_.run.seed),
                .stream = hash_name(parameter.name),
                .step = static_cast<uint32_t>(step_)}};
  });
  position_.step = step_;
  if (!sums.skip) ++position_.updates;
  position_.tokens_seen += sums.loss.targets;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const auto flops = static_cast<double>(plan_.costs().model_flops());
  return {.step = step_,
          .steps_total = config_.run.steps,
          .loss = sums.loss.mean(),
          .grad_norm = sums.grad_norm,
          .lr = rate,
          .tokens = sums.loss.targets,
          .tokens_seen = position_.tokens_seen,
          .step_seconds = seconds,
          .mfu = flops / seconds / peak_flops_,
          .flops = flops,
          .memory = {.host = process_memory()},
          .skipped = sums.skip,
          .phase = step_ <= config_.schedule.warmup ? "warmup" : ""};
}

double Trainer::evaluate() {
  const DataSource source = data_.valid_source(config_);
  int64_t samples = source.dataset().num_samples();
  if (config_.eval.tokens > 0) samples = std::min(samples, div_up(config_.eval.tokens, config_.data.seq_len));
  const LossSum sum = evaluate_samples(runner_, source, plan_.geometry().rows, samples,
                                       [this](double fraction) { reporter_->progress("eval", fraction); });
  return sum.mean();
}

void Trainer::save() {
  position_.guard = guard_.state();
  save_run(*files_, checkpoint_path(folder_.checkpoints(), position_.step), runner_, *rule_, position_,
           effective_toml(loaded_), data_.fingerprint);
  prune_checkpoints(*files_, folder_.checkpoints(), config_.checkpoint.keep);
}

int Trainer::run() {
  start();
  const StopRequest stop;
  Due eval_due(config_.eval.every), save_due(config_.checkpoint.every);
  const Geometry& geometry = plan_.geometry();
  std::vector<int64_t> micro_batches(static_cast<size_t>(geometry.micro_batches));
  for (size_t i = 0; i < micro_batches.size(); ++i) micro_batches[i] = static_cast<int64_t>(i);
  Prefetcher prefetch(train_source_,
                      {.step = {.rows = geometry.rows, .micro_batches = geometry.micro_batches},
                       .micro_batches = micro_batches,
                       .cursor = position_.cursor,
                       .steps = config_.run.steps - position_.step});
  std::optional<double> valid_loss;
  bool saved = true;
  while (position_.step < config_.run.steps && stop.signal() == 0) {
    step_ = position_.step + 1;
    StepRecord record = train_one_step(prefetch.next());
    position_.cursor = prefetch.cursor();
    const bool last = step_ == config_.run.steps;
    const bool eval = data_.valid && (eval_due.after(step_) || last);
    if (eval) record.valid_loss = valid_loss = evaluate();
    reporter_->step(record);
    if (eval) reporter_->write_page("running");
    saved = save_due.after(step_) || last;
    if (saved) save();
  }
  if (!saved) save();
  if (position_.step < config_.run.steps) {
    reporter_->finish(fmt::format("stopped after step {} by signal {}", position_.step, stop.signal()));
    fmt::print("saved after step {} ({}); start the same command again to go on\n", position_.step,
               strsignal(stop.signal()));
    return kExitRequeue;
  }
  reporter_->finish("finished");
  if (valid_loss)
    fmt::print("validation loss {:.4f} nats per token, perplexity {:.2f}\n", *valid_loss,
               std::exp(*valid_loss));
  fmt::print("run        {}\nreport     {}\n", folder_.path(), folder_.report());
  return 0;
}

}  // namespace

int train(const LoadedConfig& loaded) {
  if (loaded.config.run.device == DeviceChoice::cuda)
    throw Error(Fault::environment, {.what = "this build has no CUDA device",
                                     .found = "run.device = \"cuda\"",
                                     .fix = "use run.device = \"cpu\" or \"auto\""});
  return Trainer(loaded).run();
}

}  // namespace strata
