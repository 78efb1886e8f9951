// SPDX-License-Identifier: Apache-2.0
#include "launch/train/run.h"

#include <algorithm>

#include "launch/config/print.h"
#include "launch/train/agreement.h"
#include "launch/train/build_identity.h"
#include "launch/train/offload.h"
#include "launch/train/step_load.h"
#include "launch/train/tokenizer_files.h"

namespace strata {

Run::Run(const LoadedConfig& loaded, const Job& job)
    : loaded_(loaded),
      config_(loaded.config),
      job_(job),
      everyone_(make_everyone(job.world, "run")),
      savers_(make_everyone(job.world, "checkpoint")),
      peers_(make_peers(*savers_)),
      files_(make_posix_file_system()),
      folder_(open_folder()),
      data_(open_data()),
      tokenizer_files_(tokenizer_files(*files_, config_.data.tokenizer, config_.data.chat_template)),
      train_source_(data_.train_source(config_)),
      device_(choose_device(config_.run.device, rank_on_machine(*everyone_, job.world)),
              narrow<int>(config_.run.threads)),
      device_world_(make_device_world(job, device_.device(), device_.host_memory(),
                                      config_.run.mode == RunMode::ordered, &device_communication_)),
      place_(device_world_ ? *device_world_ : job.world,
             place_options(config_, job.world.size(), model_vocab()), config_.model.tied),
      model_(build_model(config_, data_.tokenizer->vocab_size(), place_.split())),
      rule_(build_update_rule(config_)),
      guard_({.non_finite = config_.guard.nan == NanAction::skip ? OnNonFinite::skip : OnNonFinite::stop,
              .spike = config_.guard.spike}),
      schedule_(build_learning_rate(config_)),
      account_(config_, guard_, schedule_),
      precision_(config_.precision, model_, device_.memory(), device_.stream()),
      drives_(probe_drives(*files_, config_, 8 * model_.num_parameters())),
      rates_(find_rates()),
      prefetch_(find_prefetch()),
      plan_(plan_within_limits(config_, model_, planning())),
      record_(config_.log.record.empty()
                  ? nullptr
                  : std::make_unique<RecordWriter>(*files_, config_, place_, plan_, *everyone_)),
      host_memory_(check_and_open_memory()),
      run_store_(open_drives()),
      store_(run_store_.store.get()),
      runner_(plan_, streams(), host_memory_ && !device_.is_gpu() ? *host_memory_ : device_.memory(),
              clip_rule(), hooks(), store_),
      watch_(step_load(plan_), stream_rates(rates_)) {}

// Rank 0 looks first: whoever follows finds what it decided.
RunFolder Run::open_folder() {
  preflight(*everyone_, {.build = build_identity(),
                         .configuration = effective_toml(loaded_),
                         .isa = std::string(name(active_isa())),
                         .isa_matters = config_.run.mode == RunMode::ordered});
  if (!leads()) everyone_->barrier();
  RunFolder folder(*files_, loaded_, leads());
  if (leads()) everyone_->barrier();
  return folder;
}

RunData Run::open_data() {
  if (!leads()) everyone_->barrier();  // the text is tokenized once
  RunData data = open_run_data(config_, folder_.cache());
  if (leads()) everyone_->barrier();
  require_same(*everyone_, "training data", fmt::format("tokens with fingerprint {:016x}", data.fingerprint));
  return data;
}

std::vector<int64_t> Run::of_all_ranks(int64_t own) {
  return strata::of_all_ranks(*everyone_, device_.host_stream(), own);
}

// What the run's plan and its variants are made of.
PlanOptionsOf Run::planning() const {
  return [this](const Config& config) {
    StepPlanOptions options = plan_options(config, *rule_, place_, model_, device_.device(), rates_);
    if (config.offload.prefetch < 0) options.tiers.prefetch = prefetch_;
    options.linear = precision_.linear();
    return options;
  };
}

// Ranks plan apart from each other: of every rate the slowest rank's.
Rates Run::find_rates() {
  Rates rates;
  if (!tier_options(config_.offload).offloads()) return rates;
  rates = with_drives(rates, drives_);
  // Of what products cannot exceed, a step of a small model reaches about so much.
  if (const double peak = device_.peak_flops(model_.compute); peak > 0)
    rates.matmul_flops = 0.6 * peak, rates.attention_flops = 0.3 * peak;
  for (double* rate : {&rates.matmul_flops, &rates.attention_flops, &rates.disk_read, &rates.disk_write}) {
    const std::vector<int64_t> all = of_all_ranks(static_cast<int64_t>(*rate));
    *rate = static_cast<double>(*std::min_element(all.begin(), all.end()));
  }
  return rates;
}

int Run::find_prefetch() {
  if (config_.offload.prefetch >= 0) return narrow<int>(config_.offload.prefetch);
  int chosen = 0;
  if (tier_options(config_.offload).offloads() && config_.run.program.empty())
    chosen = choose_prefetch(model_, planning()(config_));
  const std::vector<int64_t> all = of_all_ranks(chosen);
  return static_cast<int>(*std::max_element(all.begin(), all.end()));
}

// Memory that drives read into and write from without copies, of exact size. Everything is resident from the
// start: what does not fit is said here.
std::shared_ptr<PinnedAllocator> Run::check_and_open_memory() {
  if (!plan_.offloads()) return nullptr;
  require_fits(look_at_host_memory(), plan_, ranks_on_machine(*everyone_, job_.world), config_, planning());
  return device_.is_gpu() ? nullptr : make_pinned_allocator();
}

RunStore Run::open_drives() {
  return open_run_store(*files_, config_, plan_, job_.world.rank(), drives_, folder_,
                        [this](int64_t own) { return of_all_ranks(own); });
}

StepStreams Run::streams() {
  StepStreams streams = device_.streams();
  if (host_memory_) streams.host_memory = host_memory_.get();
  return streams;
}

// The executor's view of the run, for status line and trace. Reporter exists by the time a step runs.
ExecutorOptions Run::hooks() {
  ExecutorOptions options;
  options.progress = [this](int64_t done, int64_t total) {
    progress_.tick();
    if (reporter_) reporter_->progress("step", static_cast<double>(done) / static_cast<double>(total));
  };
  const bool traced = leads() && config_.log.trace_steps > 0;
  if (traced || (leads() && plan_.offloads()))
    options.trace = [this, traced](const ActionEvent& event) {
      lanes_.add(event);
      if (traced)
        reporter_->action(event, to_string(plan_.train().program.list[static_cast<size_t>(event.position)]));
    };
  if (record_) options.inspect = [this](const Invocation& i) { record_->recorder().inspect(i); };
  return options;
}

ClipRule Run::clip_rule() {
  ClipRule rule = build_clip_rule(config_, guard_, account_.step());
  if (!record_) return rule;
  return [this, rule = std::move(rule)](StepScalars& sums) {
    record_->recorder().clip(runner_);
    rule(sums);
  };
}

}  // namespace strata
