// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>

#include "core/base/error.h"
#include "launch/train/initial_weights.h"
#include "launch/train/loading_rules.h"
#include "launch/train/offload.h"
#include "launch/train/preference_reference.h"
#include "launch/train/run.h"
#include "launch/train/step_load.h"

namespace strata {

// The model that the run begins with; adapters that change nothing yet.
void Run::load_start(const Loading& loading) {
  runner_.initialize(static_cast<uint64_t>(config_.run.seed));
  if (trains_adapters(config_))
    base_ = load_base(*files_, config_, std::nullopt, runner_, *rule_, loading);
  else if (!config_.model.from.empty())
    load_initial_weights(*files_, config_.model.from, runner_, *rule_, loading);
}

// What that model says of the pairs of responses. All ranks work it out or none.
void Run::know_reference(const Loading& loading) {
  const std::string path = folder_.path() + "/reference.bin";
  const std::vector<int64_t> known = of_all_ranks(load_reference(*files_, path, data_) ? 1 : 0);
  if (std::count(known.begin(), known.end(), 0) > 0) {
    load_start(loading);
    const auto list = [&](const std::vector<std::shared_ptr<const Dataset>>& pairs) {
      if (pairs.empty()) return std::shared_ptr<const std::vector<float>>();
      return std::make_shared<const std::vector<float>>(reference_log_probabilities(
          runner_, pairs[0], data_.tokenizer->vocab_size(), place_.mesh().size(Axis::dp), {}));
    };
    if (leads()) {
      fmt::print("reference  {} pairs of responses, by the model that the run begins with\n",
                 data_.train[0]->num_samples());
      std::fflush(stdout);
    }
    data_.train_reference = list(data_.train);
    data_.valid_reference = list(data_.valid);
    if (leads()) save_reference(*files_, path, data_);
  }
  train_source_ = data_.train_source(config_);
}

void Run::go_on_from_store() {
  const nlohmann::json meta = nlohmann::json::parse(store_->committed_note());
  account_.go_on_from(position_of(meta, *rule_, data_.fingerprint, "the last commit of the state on drives"));
  runner_.take_from_store();
  guard_.restore(account_.position().guard);
  if (leads())
    fmt::print("resuming after step {}, the last one committed to the drives\n", account_.position().step);
}

void Run::go_on_from(const std::string& path, const Loading& loading) {
  const StrataSource checkpoint(*files_, path);
  Loading resuming = loading;
  if (applied_before(config_.checkpoint, checkpoint)) resuming.rules = {};
  if (has_rules(config_.checkpoint)) runner_.initialize(static_cast<uint64_t>(config_.run.seed));
  if (trains_adapters(config_)) {
    base_ = load_base(*files_, config_, base_of(checkpoint.metadata()), runner_, *rule_, loading);
    resuming.rules = rules_about(LoadedPart::adapters, resuming.rules, model_);
  }
  account_.go_on_from(load_run(checkpoint, runner_, *rule_, data_.fingerprint, resuming));
  guard_.restore(account_.position().guard);
  runner_.resume_after(account_.position().step);
  const std::string anew = precision_.restore(checkpoint, loading);
  if (leads()) {
    for (const std::string& damaged : folder_.choice().passed_over) fmt::print("passed over {}\n", damaged);
    const std::string& why = folder_.choice().why;
    fmt::print("resuming after step {} from {}{}\n", account_.position().step, path,
               why.empty() ? "" : ", " + why);
    fmt::print("{}", anew);
  }
}

void Run::start() {
  if (store_) registered_ = store_->register_memory(runner_.memory_of_drives());
  RestoreReport report;
  const Loading loading{.peers = *peers_,
                        .stream = device_.stream(),
                        .pool = device_.pool(),
                        .rules = loading_rules(config_.checkpoint),
                        .report = &report};
  check_slots(config_, runner_, precision_);
  if (config_.offload.slots > 1)
    runner_.keep_with_commits([this](int64_t, const StepScalars& sums) {
      return account_.note_of(sums, memory_use(), *rule_, data_.fingerprint);
    });
  if (config_.loss.kind == LossKind::dpo) know_reference(loading);
  std::optional<int64_t> resumed_after;
  if (run_store_.goes_on) {
    go_on_from_store();
    resumed_after = account_.position().step;
  } else if (const auto& path = folder_.resume_from()) {
    go_on_from(*path, loading);
    resumed_after = account_.position().step;
  } else {
    load_start(loading);
    if (trains_adapters(config_) && !config_.adapter.from.empty())
      load_adapters(*files_, config_.adapter, runner_, *rule_, loading);
  }
  if (leads()) fmt::print("{}", let_through(report.match));
  peak_flops_ = device_.peak_flops(model_.compute) * job_.world.size();
  account_.know_speed(job_flops(), peak_flops_);
  if (!leads()) return;
  announce(facts());
  print_tiers();
  reporter_ = std::make_unique<Reporter>(*files_, folder_, loaded_, summary_of(facts()), resumed_after,
                                         job_.world.size() > 1);
  // A run that was killed between the commit of a step and its line.
  if (run_store_.goes_on) reporter_->complete(RunAccount::record_in(store_->committed_note()));
}

RunFacts Run::facts() const {
  return {.loaded = loaded_,
          .data = data_,
          .place = place_,
          .device = device_,
          .model = model_,
          .rule = *rule_,
          .plan = plan_,
          .ranks = job_.world.size(),
          .communication = device_communication_,
          .peak_flops = peak_flops_,
          .step_flops = job_flops()};
}

// Of a run with state away: drives as found, memory, and the roofline.
void Run::print_tiers() {
  if (!plan_.offloads()) return;
  for (size_t i = 0; i < drives_.size(); ++i)
    fmt::print("drive      {}: {}{}, reads {:.2f} GB/s, writes {:.2f}, both at once {:.2f}\n", i,
               drives_[i].engine, drives_[i].direct ? "" : " through the page cache",
               drives_[i].read_gb_per_s, drives_[i].write_gb_per_s, drives_[i].mixed_gb_per_s);
  if (config_.offload.prefetch < 0) fmt::print("prefetch   {} blocks, as rates suggest\n", prefetch_);
  std::vector<std::string> notes =
      memory_notes(look_at_host_memory(), {.arena_bytes = plan_.arena_bytes(Tier::host)});
  if (host_memory_)
    for (const std::string& note : host_memory_->report().notes) notes.push_back(note);
  if (store_) notes.insert(notes.end(), store_->notes().begin(), store_->notes().end());
  if (!registered_.empty()) notes.push_back(registered_);
  for (const std::string& note : notes) fmt::print("note       {}\n", note);
  fmt::print("roofline   {}\n\n",
             to_text(roofline(step_load(plan_), stream_rates(rates_)), drive_endurance(config_.offload)));
  std::fflush(stdout);
}

}  // namespace strata
