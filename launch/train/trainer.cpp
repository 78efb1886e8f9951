// SPDX-License-Identifier: Apache-2.0
#include "launch/train/trainer.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "core/data/prefetch.h"
#include "core/program/simulate.h"
#include "launch/config/print.h"
#include "launch/train/evaluate.h"
#include "launch/train/process_memory.h"
#include "launch/train/run.h"

namespace strata {

// What a rank of a context axis works on of its samples.
std::span<const Batch> Run::batches_of(std::span<const Batch> samples) {
  if (place_.mesh().size(Axis::cp) == 1) return samples;
  parts_.clear();
  for (const Batch& sample : samples) parts_.push_back(place_.part_of(sample));
  return parts_;
}

MemoryUse Run::memory_use() const {
  MemoryUse use{.device = device_.memory_use(), .host = process_memory()};
  if (store_) use.nvme = {store_->plan().disk_bytes(), store_->plan().disk_bytes()};
  return use;
}

// Whether any rank was asked to stop: all of them save at the same step.
int Run::stop_signal(const StopRequest& stop) {
  const std::vector<int64_t> signals = of_all_ranks(stop.signal());
  return static_cast<int>(*std::max_element(signals.begin(), signals.end()));
}

// What all ranks do together is due when rank 0's clock says so: theirs differ.
bool Run::is_due(Due& due) {
  const bool own = due.after(account_.step());
  return due.by_clock() ? of_all_ranks(own ? 1 : 0)[0] == 1 : own;
}

void Run::watch() {
  if (job_.world.size() == 1) return;
  const double planned_s = simulate_job(plan_.train_job(), plan_.costs(), 2).step_seconds;
  const auto timeout =
      config_.guard.stall_timeout > 0
          ? std::chrono::milliseconds(static_cast<int64_t>(config_.guard.stall_timeout * 1000))
          : default_stall_timeout(planned_s);
  watchdog_ = std::make_unique<Watchdog>(job_.world, progress_, &job_.recorder, timeout);
}

// Of all ranks, taken to be alike.
std::optional<double> Run::joules_since(const std::optional<double>& before) const {
  const std::optional<double> now = device_.joules();
  if (!before || !now) return std::nullopt;
  return (*now - *before) * job_.world.size();
}

StepRecord Run::train_one_step(std::span<const Batch> batches) {
  progress_.enter(account_.step(), "step");
  if (record_) record_->recorder().begin_step(account_.step(), batches);
  const std::optional<double> joules = device_.joules();
  precision_.begin_step(device_.stream());
  const StepScalars sums = runner_.train_step(batches, [&](const Parameter& parameter) {
    return update_scalars(config_, schedule_, parameter, account_.step(), account_.position().updates + 1);
  });
  if (record_) {
    record_->recorder().end_step(runner_, sums);
    record_->write();
  }
  precision_.end_step(device_.stream(), *everyone_, device_.host_stream());
  StepRecord record = account_.record_of(sums, memory_use());
  record.joules = joules_since(joules);
  record.quantized = precision_.shares(device_.stream());
  const LaneTimes lanes = lanes_.take();
  record.waits_ms = waits_ms(lanes);
  if (reporter_ && plan_.offloads())
    if (const auto slow = watch_.step(record.step_seconds, lanes))
      reporter_->message(fmt::format("step {}: {}", account_.step(), *slow));
  account_.end_step(sums);
  return record;
}

double Run::evaluate() {
  progress_.enter(account_.step(), "evaluation");
  const DataSource source = data_.valid_source(config_);
  int64_t samples = source.num_samples();
  if (config_.eval.tokens > 0) samples = std::min(samples, div_up(config_.eval.tokens, config_.data.seq_len));
  const Mesh& mesh = place_.mesh();
  const LossSum sum = evaluate_samples(runner_, source, plan_.geometry().rows, samples,
                                       [this](double fraction) {
                                         progress_.tick();
                                         if (reporter_) reporter_->progress("eval", fraction);
                                       },
                                       {.parts = mesh.size(Axis::dp),
                                        .part = mesh.coordinate(job_.world.rank(), Axis::dp),
                                        .cut = [this](const Batch& batch) { return place_.part_of(batch); }});
  return sum.mean();
}

RunSnapshot Run::snapshot() {
  RunPosition position = account_.position();
  position.guard = guard_.state();
  const std::string config = effective_toml(loaded_);
  std::vector<Asset> assets = tokenizer_files_;
  assets.push_back({"config.toml", config});
  nlohmann::json meta =
      run_meta(position, *rule_, config, data_.fingerprint,
               to_string(place_.options().mesh, narrow<int>(config_.parallel.virtual_stages)));
  if (trains_adapters(config_)) describe_adapters(meta, config_, base_);
  return {.step = position.step,
          .meta = std::move(meta),
          .assets = std::move(assets),
          .items = precision_.save_items()};
}

void Run::open_saver() {
  constexpr int64_t kPool = int64_t{2} << 30;  // of a rank; what is beyond is written while the step waits
  saver_ =
      std::make_unique<RunSaver>(*files_, *peers_,
                                 SaverOptions{.directory = folder_.checkpoints(),
                                              .keep = config_.checkpoint.keep,
                                              .pool_bytes = kPool,
                                              .writer = "strata train"},
                                 runner_, *rule_, device_.stream(), place_.mesh().size(Axis::dp), store_);
  if (folder_.resume_from() && !run_store_.goes_on) saver_->resumed_after(account_.position().step);
}

void Run::save(bool last) {
  progress_.enter(account_.position().step, "save");
  const Progress::StorageWait storage(progress_);
  runner_.settle();
  if (last)
    saver_->finish(snapshot());
  else
    saver_->save(snapshot());
}

int Run::run() {
  start();
  open_saver();
  const StopRequest stop(job_.world.size() == 1);
  watch();
  Due eval_due(config_.eval.every), save_due(config_.checkpoint.every);
  const Geometry& geometry = plan_.geometry();
  std::vector<int64_t> micro_batches(static_cast<size_t>(geometry.micro_batches));
  for (size_t i = 0; i < micro_batches.size(); ++i) micro_batches[i] = place_.sample(static_cast<int>(i));
  Prefetcher prefetch(train_source_,
                      {.step = {.rows = geometry.rows, .micro_batches = place_.samples_per_step()},
                       .micro_batches = micro_batches,
                       .cursor = account_.position().cursor,
                       .steps = config_.run.steps - account_.position().step});
  std::optional<double> valid_loss;
  int signal = 0;
  while (account_.position().step < config_.run.steps && (signal = stop_signal(stop)) == 0) {
    const std::span<const Batch> samples = prefetch.next();
    account_.begin_step(prefetch.cursor());
    StepRecord record = train_one_step(batches_of(samples));
    const bool last = account_.step() == config_.run.steps;
    const bool eval = !data_.valid.empty() && (is_due(eval_due) || last);
    if (eval) record.valid_loss = valid_loss = evaluate();
    if (reporter_) reporter_->step(record);
    if (reporter_ && eval) reporter_->write_page("running");
    saver_->poll(account_.step());
    if (is_due(save_due) || saver_->retry_due(account_.step())) save(false);
  }
  save(true);
  return finish(signal, valid_loss);
}

// What people read at the end; the exit code.
int Run::finish(int signal, const std::optional<double>& valid_loss) {
  if (account_.position().step < config_.run.steps) {
    if (!reporter_) return kExitRequeue;
    reporter_->finish(fmt::format("stopped after step {} by signal {}", account_.position().step, signal));
    fmt::print("saved after step {} ({}); start the same command again to go on\n", account_.position().step,
               strsignal(signal));
    return kExitRequeue;
  }
  if (!reporter_) return 0;
  reporter_->finish("finished");
  if (valid_loss && config_.loss.kind == LossKind::dpo)
    fmt::print("validation loss {:.4f} nats per pair, {:.4f} of a model that has learned nothing\n",
               *valid_loss, std::log(2.0));
  else if (valid_loss)
    fmt::print("validation loss {:.4f} nats per token, perplexity {:.2f}\n", *valid_loss,
               std::exp(*valid_loss));
  fmt::print("run        {}\nreport     {}\n", folder_.path(), folder_.report());
  return 0;
}

namespace {

// What this rank's communicators did last, beside the run: the message names one rank, this all of them.
void write_flight_record(const std::string& out, const Job& job) {
  std::ofstream(fmt::format("{}/flight-record-{}.txt", out, job.world.rank())) << job.recorder.dump();
}

}  // namespace

int train(const LoadedConfig& loaded, const Job& job) {
  try {
    return Run(loaded, job).run();
  } catch (...) {
    if (job.world.size() > 1) write_flight_record(loaded.config.run.out, job);
    throw;
  }
}

int train(const LoadedConfig& loaded) {
  const auto world = make_solo_world();
  FlightRecorder recorder;
  return train(loaded, job_of(*world, recorder));
}

}  // namespace strata
