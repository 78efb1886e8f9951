// SPDX-License-Identifier: Apache-2.0
#include "launch/train/trainer.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>
#include <utility>

#include "core/base/error.h"
#include "core/data/prefetch.h"
#include "core/program/simulate.h"
#include "core/step/step_runner.h"
#include "launch/bisect/record_writer.h"
#include "launch/config/print.h"
#include "launch/train/announce.h"
#include "launch/train/base_model.h"
#include "launch/train/build.h"
#include "launch/train/build_identity.h"
#include "launch/train/due.h"
#include "launch/train/evaluate.h"
#include "launch/train/initial_weights.h"
#include "launch/train/lane_tally.h"
#include "launch/train/loading_rules.h"
#include "launch/train/memory_advice.h"
#include "launch/train/offload.h"
#include "launch/train/place.h"
#include "launch/train/precision.h"
#include "launch/train/preference_reference.h"
#include "launch/train/process_memory.h"
#include "launch/train/reporter.h"
#include "launch/train/roofline_watch.h"
#include "launch/train/run_data.h"
#include "launch/train/run_device.h"
#include "launch/train/run_folder.h"
#include "launch/train/run_saver.h"
#include "launch/train/run_state.h"
#include "launch/train/step_load.h"
#include "launch/train/stop_request.h"
#include "launch/train/tokenizer_files.h"
#include "offload/pinned_memory.h"
#include "optim/schedule.h"
#include "parallel/watchdog.h"

namespace strata {
namespace {

// Everything a run holds, in the order it is made; the loop is run().
class Trainer {
 public:
  Trainer(const LoadedConfig& loaded, const Job& job)
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
        device_(choose_device(config_.run.device, local_rank()), narrow<int>(config_.run.threads)),
        device_world_(make_device_world(job, device_.device(), device_.host_memory(),
                                        config_.run.mode == RunMode::ordered, &device_communication_)),
        place_(device_world_ ? *device_world_ : job.world,
               place_options(config_, job.world.size(), model_vocab()), config_.model.tied),
        model_(build_model(config_, data_.tokenizer->vocab_size(), place_.split())),
        rule_(build_update_rule(config_)),
        guard_({.non_finite = config_.guard.nan == NanAction::skip ? OnNonFinite::skip : OnNonFinite::stop,
                .spike = config_.guard.spike}),
        schedule_(build_learning_rate(config_)),
        precision_(config_.precision, model_, device_.memory(), device_.stream()),
        drives_(probe_drives(*files_, config_, 8 * model_.num_parameters())),
        rates_(find_rates()),
        prefetch_(find_prefetch()),
        plan_(plan_within_limits(config_, model_, planning())),
        record_(config_.log.record.empty()
                    ? nullptr
                    : std::make_unique<RecordWriter>(*files_, config_, place_, plan_, *everyone_)),
        host_memory_(check_and_open_memory()),
        store_(open_run_store()),
        runner_(plan_, streams(), host_memory_ && !device_.is_gpu() ? *host_memory_ : device_.memory(),
                clip_rule(), hooks(), store_.get()),
        watch_(step_load(plan_), stream_rates(rates_)) {}

  int run();

 private:
  static std::unique_ptr<Communicator> make_everyone(World& world, const std::string& purpose);
  RunFolder open_folder();
  RunData open_data();
  int64_t model_vocab() const {
    return config_.model.vocab ? config_.model.vocab : data_.tokenizer->vocab_size();
  }
  bool leads() const { return job_.world.rank() == 0; }
  int local_rank();
  std::vector<int64_t> of_all_ranks(int64_t own);
  int ranks_here();
  PlanOptionsOf planning() const;
  Rates find_rates();
  int find_prefetch();
  std::shared_ptr<PinnedAllocator> check_and_open_memory();
  std::unique_ptr<TileStore> open_run_store();
  void go_on_from_store();
  StepStreams streams();
  MemoryUse memory_use() const;
  void print_tiers();
  int stop_signal(const StopRequest& stop);
  void watch();
  ClipRule clip_rule();
  ExecutorOptions hooks();
  void start();
  void load_start(const Loading& loading);
  void know_reference(const Loading& loading);
  RunFacts facts() const;
  // One rank's model has its share of every layer and all of them; the data ranks do the same for other
  // tokens.
  double job_flops() const {
    const Mesh& mesh = place_.mesh();
    return static_cast<double>(plan_.costs().model_flops()) * mesh.size(Axis::tp) * mesh.size(Axis::dp) *
           mesh.size(Axis::cp);
  }
  std::span<const Batch> batches_of(std::span<const Batch> samples);
  std::optional<double> joules_since(const std::optional<double>& before) const;
  RunPosition position_after(const StepScalars& sums) const;
  StepRecord record_of(const StepScalars& sums) const;
  std::string note_of(const StepScalars& sums);
  StepRecord train_one_step(std::span<const Batch> batches);
  double evaluate();
  bool is_due(Due& due);
  RunSnapshot snapshot();
  void open_saver();
  void save(bool last);

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
  RunPosition position_;
  BaseModel base_;            // of adapters
  std::vector<Batch> parts_;  // of the step that runs
  int64_t step_ = 0;          // the one that runs, for messages
  int64_t next_cursor_ = 0;   // behind it
  std::chrono::steady_clock::time_point step_begin_;
  RunPrecision precision_;
  std::vector<DriveProbe> drives_;  // that this rank's state lies on
  Rates rates_;                     // as found here, the same on every rank
  int prefetch_ = 0;
  StepPlan plan_;
  std::unique_ptr<RecordWriter> record_;          // null: nothing is recorded
  std::shared_ptr<PinnedAllocator> host_memory_;  // of runs with state away; null: memory as others have it
  bool from_store_ = false;                       // the run goes on from what the store has
  std::unique_ptr<TileStore> store_;              // null: nothing lives on nvme
  LaneTally lanes_;                               // of this rank's steps
  StepRunner runner_;
  std::string registered_;  // why drives copy, if they do
  RooflineWatch watch_;
  std::unique_ptr<Reporter> reporter_;  // of the rank that leads
  double peak_flops_ = 0;               // of all ranks
  Progress progress_;
  std::unique_ptr<Watchdog> watchdog_;  // of several ranks
  std::unique_ptr<RunSaver> saver_;
};

std::unique_ptr<Communicator> Trainer::make_everyone(World& world, const std::string& purpose) {
  std::vector<int> all(static_cast<size_t>(world.size()));
  std::iota(all.begin(), all.end(), 0);
  return world.group({.purpose = purpose, .members = std::move(all), .level = LinkLevel::world});
}

// Rank 0 looks first: whoever follows finds what it decided.
RunFolder Trainer::open_folder() {
  preflight(*everyone_, {.build = build_identity(),
                         .configuration = effective_toml(loaded_),
                         .isa = std::string(name(active_isa())),
                         .isa_matters = config_.run.mode == RunMode::ordered});
  if (!leads()) everyone_->barrier();
  RunFolder folder(*files_, loaded_, leads());
  if (leads()) everyone_->barrier();
  return folder;
}

RunData Trainer::open_data() {
  if (!leads()) everyone_->barrier();  // the text is tokenized once
  RunData data = open_run_data(config_, folder_.cache());
  if (leads()) everyone_->barrier();
  require_same(*everyone_, "training data", fmt::format("tokens with fingerprint {:016x}", data.fingerprint));
  return data;
}

// The place among the ranks of this machine.
int Trainer::local_rank() {
  const std::vector<std::string> hosts = gather_text(*everyone_, job_.world.host());
  const auto own = hosts.begin() + job_.world.rank();
  return static_cast<int>(std::count(hosts.begin(), own, *own));
}

// On this machine.
int Trainer::ranks_here() {
  const std::vector<std::string> hosts = gather_text(*everyone_, job_.world.host());
  return static_cast<int>(std::count(hosts.begin(), hosts.end(), job_.world.host()));
}

// What the run's plan and its variants are made of.
PlanOptionsOf Trainer::planning() const {
  return [this](const Config& config) {
    StepPlanOptions options = plan_options(config, *rule_, place_, model_, device_.device(), rates_);
    if (config.offload.prefetch < 0) options.tiers.prefetch = prefetch_;
    options.linear = precision_.linear();
    return options;
  };
}

// Ranks plan apart from each other: of every rate the slowest rank's.
Rates Trainer::find_rates() {
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

int Trainer::find_prefetch() {
  if (config_.offload.prefetch >= 0) return narrow<int>(config_.offload.prefetch);
  int chosen = 0;
  if (tier_options(config_.offload).offloads() && config_.run.program.empty())
    chosen = choose_prefetch(model_, planning()(config_));
  const std::vector<int64_t> all = of_all_ranks(chosen);
  return static_cast<int>(*std::max_element(all.begin(), all.end()));
}

// Memory that drives read into and write from without copies, of exact size. Everything is resident from the
// start: what does not fit is said here.
std::shared_ptr<PinnedAllocator> Trainer::check_and_open_memory() {
  if (!plan_.offloads()) return nullptr;
  require_fits(look_at_host_memory(), plan_, ranks_here(), config_, planning());
  return device_.is_gpu() ? nullptr : make_pinned_allocator();
}

// Resumes what a killed run has committed there, when that is further than the newest checkpoint and common
// to all ranks. They are apart by one commit at most: no rank writes over what another still needs, since a
// step ends in sums over all.
std::unique_ptr<TileStore> Trainer::open_run_store() {
  const auto open = [&](ExistingFiles existing) {
    return open_store(*files_, config_, plan_, job_.world.rank(), drives_, existing);
  };
  if (config_.offload.slots < 2 || config_.checkpoint.resume != "auto" || !folder_.has_begun())
    return open(ExistingFiles::discard);
  std::unique_ptr<TileStore> store;
  try {
    store = open(ExistingFiles::resume);
  } catch (const Error& error) {
    // Of another layout, or damaged: with a checkpoint the run goes on all the same.
    if (error.fault() != Fault::data || !folder_.resume_from()) throw;
    if (leads()) fmt::print("the state on drives is not gone on with\n{}\n", error.what());
  }
  const int64_t own = store ? store->committed_step() : -1;
  const std::vector<int64_t> all = of_all_ranks(own);
  const int64_t common = *std::min_element(all.begin(), all.end());
  const int64_t saved = folder_.choice().folder ? folder_.choice().folder->step : -1;
  const std::vector<int64_t> able = of_all_ranks(store && (own == common || store->step_before() == common));
  if (common < 0 || common < saved || std::count(able.begin(), able.end(), 0) > 0) {
    store.reset();
    return open(ExistingFiles::discard);
  }
  if (own > common) store->go_back();
  from_store_ = true;
  return store;
}

void Trainer::go_on_from_store() {
  const nlohmann::json meta = nlohmann::json::parse(store_->committed_note());
  position_ = position_of(meta, *rule_, data_.fingerprint, "the last commit of the state on drives");
  runner_.take_from_store();
  guard_.restore(position_.guard);
  if (leads()) fmt::print("resuming after step {}, the last one committed to the drives\n", position_.step);
}

StepStreams Trainer::streams() {
  StepStreams streams = device_.streams();
  if (host_memory_) streams.host_memory = host_memory_.get();
  return streams;
}

MemoryUse Trainer::memory_use() const {
  MemoryUse use{.device = device_.memory_use(), .host = process_memory()};
  if (store_) use.nvme = {store_->plan().disk_bytes(), store_->plan().disk_bytes()};
  return use;
}

// Of a run with state away: drives as found, memory, and the roofline.
void Trainer::print_tiers() {
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

// Every rank's value.
std::vector<int64_t> Trainer::of_all_ranks(int64_t own) {
  std::vector<int64_t> all(static_cast<size_t>(everyone_->size()), own);
  if (everyone_->size() == 1) return all;
  const Tensor values = Tensor::borrow(all.data(), DType::i64, {everyone_->size()});
  everyone_->all_gather(device_.host_stream(), values.slice(0, everyone_->rank(), 1), values);
  device_.host_stream().synchronize();
  return all;
}

// Whether any rank was asked to stop: all of them save at the same step.
int Trainer::stop_signal(const StopRequest& stop) {
  const std::vector<int64_t> signals = of_all_ranks(stop.signal());
  return static_cast<int>(*std::max_element(signals.begin(), signals.end()));
}

// What all ranks do together is due when rank 0's clock says so: theirs differ.
bool Trainer::is_due(Due& due) {
  const bool own = due.after(step_);
  return due.by_clock() ? of_all_ranks(own ? 1 : 0)[0] == 1 : own;
}

// The executor's view of the run, for status line and trace. Reporter exists by the time a step runs.
ExecutorOptions Trainer::hooks() {
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

ClipRule Trainer::clip_rule() {
  ClipRule rule = build_clip_rule(config_, guard_, step_);
  if (!record_) return rule;
  return [this, rule = std::move(rule)](StepScalars& sums) {
    record_->recorder().clip(runner_);
    rule(sums);
  };
}

// The model that the run begins with; adapters that change nothing yet.
void Trainer::load_start(const Loading& loading) {
  runner_.initialize(static_cast<uint64_t>(config_.run.seed));
  if (trains_adapters(config_))
    base_ = load_base(*files_, config_, std::nullopt, runner_, *rule_, loading);
  else if (!config_.model.from.empty())
    load_initial_weights(*files_, config_.model.from, runner_, *rule_, loading);
}

// What that model says of the pairs of responses. All ranks work it out or none.
void Trainer::know_reference(const Loading& loading) {
  if (device_.is_gpu())
    throw Error(Fault::usage, {.what = "preferences are learned on CPUs only, so far",
                               .where = "loss.kind",
                               .found = "\"dpo\" on " + device_.describe(),
                               .fix = "run.device = \"cpu\""});
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

void Trainer::start() {
  if (device_.is_gpu() && !rule_->element_wise())
    throw Error(Fault::usage, {.what = "muon updates matrices on CPUs only, so far",
                               .where = "optimizer.type",
                               .found = rule_->name() + " on " + device_.describe(),
                               .fix = "optimizer.type = \"adamw\", or run.device = \"cpu\""});
  if (store_) registered_ = store_->register_memory(runner_.memory_of_drives());
  RestoreReport report;
  const Loading loading{.peers = *peers_,
                        .stream = device_.stream(),
                        .pool = device_.pool(),
                        .rules = loading_rules(config_.checkpoint),
                        .report = &report};
  if (config_.offload.slots > 1 && !runner_.lives_in_store())
    throw Error(Fault::usage, {.what = "drives give back a run only when they have all of its state",
                               .where = "offload.slots",
                               .found = "2, with state elsewhere too",
                               .expected = "weights, master and moments on nvme as a whole",
                               .fix = "offload.weights=nvme offload.master=nvme offload.moments=nvme without "
                                      "*_kept; or offload.slots=1"});
  if (config_.offload.slots > 1 && precision_.delayed())
    throw Error(Fault::usage, {.what = "drives do not hold the history that delayed scales are made of",
                               .where = "offload.slots, precision.recipe",
                               .found = "2 with \"tensor-delayed\"",
                               .fix = "precision.recipe=tensor-current, or offload.slots=1"});
  if (config_.offload.slots > 1)
    runner_.keep_with_commits([this](int64_t, const StepScalars& sums) { return note_of(sums); });
  if (config_.loss.kind == LossKind::dpo) know_reference(loading);
  std::optional<int64_t> resumed_after;
  if (from_store_) {
    go_on_from_store();
    resumed_after = position_.step;
  } else if (const auto& path = folder_.resume_from()) {
    const StrataSource checkpoint(*files_, *path);
    Loading resuming = loading;
    if (applied_before(config_.checkpoint, checkpoint)) resuming.rules = {};
    if (has_rules(config_.checkpoint)) runner_.initialize(static_cast<uint64_t>(config_.run.seed));
    if (trains_adapters(config_)) {
      base_ = load_base(*files_, config_, base_of(checkpoint.metadata()), runner_, *rule_, loading);
      resuming.rules = rules_about(LoadedPart::adapters, resuming.rules, model_);
    }
    position_ = load_run(checkpoint, runner_, *rule_, data_.fingerprint, resuming);
    guard_.restore(position_.guard);
    runner_.resume_after(position_.step);
    const std::string anew = precision_.restore(checkpoint, loading);
    resumed_after = position_.step;
    if (leads()) {
      for (const std::string& damaged : folder_.choice().passed_over) fmt::print("passed over {}\n", damaged);
      const std::string& why = folder_.choice().why;
      fmt::print("resuming after step {} from {}{}\n", position_.step, *path, why.empty() ? "" : ", " + why);
      fmt::print("{}", anew);
    }
  } else {
    load_start(loading);
    if (trains_adapters(config_) && !config_.adapter.from.empty())
      load_adapters(*files_, config_.adapter, runner_, *rule_, loading);
  }
  if (leads()) fmt::print("{}", let_through(report.match));
  peak_flops_ = device_.peak_flops(model_.compute) * job_.world.size();
  if (!leads()) return;
  announce(facts());
  print_tiers();
  reporter_ = std::make_unique<Reporter>(*files_, folder_, loaded_, summary_of(facts()), resumed_after,
                                         job_.world.size() > 1);
  // A run that was killed between the commit of a step and its line.
  if (from_store_)
    reporter_->complete(
        parse_record(nlohmann::json::parse(store_->committed_note()).at("record").get<std::string>()));
}

RunFacts Trainer::facts() const {
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

// What a rank of a context axis works on of its samples.
std::span<const Batch> Trainer::batches_of(std::span<const Batch> samples) {
  if (place_.mesh().size(Axis::cp) == 1) return samples;
  parts_.clear();
  for (const Batch& sample : samples) parts_.push_back(place_.part_of(sample));
  return parts_;
}

void Trainer::watch() {
  if (job_.world.size() == 1) return;
  const double planned_s = simulate_job(plan_.train_job(), plan_.costs(), 2).step_seconds;
  const auto timeout =
      config_.guard.stall_timeout > 0
          ? std::chrono::milliseconds(static_cast<int64_t>(config_.guard.stall_timeout * 1000))
          : default_stall_timeout(planned_s);
  watchdog_ = std::make_unique<Watchdog>(job_.world, progress_, &job_.recorder, timeout);
}

// Of all ranks, taken to be alike.
std::optional<double> Trainer::joules_since(const std::optional<double>& before) const {
  const std::optional<double> now = device_.joules();
  if (!before || !now) return std::nullopt;
  return (*now - *before) * job_.world.size();
}

RunPosition Trainer::position_after(const StepScalars& sums) const {
  return {.step = step_,
          .updates = position_.updates + (sums.skip ? 0 : 1),
          .cursor = next_cursor_,
          .tokens_seen = position_.tokens_seen + sums.loss.targets,
          .guard = guard_.state()};
}

StepRecord Trainer::record_of(const StepScalars& sums) const {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - step_begin_).count();
  const double flops = job_flops();
  return {.step = step_,
          .steps_total = config_.run.steps,
          .loss = sums.loss.mean(),
          .grad_norm = sums.grad_norm,
          .lr = schedule_.rate(step_),
          .tokens = config_.loss.kind == LossKind::dpo ? config_.batch.tokens_per_step : sums.loss.targets,
          .tokens_seen = position_.tokens_seen + sums.loss.targets,
          .step_seconds = seconds,
          .mfu = flops / seconds / peak_flops_,
          .flops = flops,
          .memory = memory_use(),
          .skipped = sums.skip,
          .phase = step_ <= config_.schedule.warmup ? "warmup" : ""};
}

// What a restart from the drives must know besides the state.
std::string Trainer::note_of(const StepScalars& sums) {
  nlohmann::json meta = run_meta(position_after(sums), *rule_, "", data_.fingerprint, "");
  meta["record"] = to_json(record_of(sums));
  return meta.dump();
}

StepRecord Trainer::train_one_step(std::span<const Batch> batches) {
  progress_.enter(step_, "step");
  step_begin_ = std::chrono::steady_clock::now();
  if (record_) record_->recorder().begin_step(step_, batches);
  const std::optional<double> joules = device_.joules();
  precision_.begin_step(device_.stream());
  const StepScalars sums = runner_.train_step(batches, [&](const Parameter& parameter) {
    return update_scalars(config_, schedule_, parameter, step_, position_.updates + 1);
  });
  if (record_) {
    record_->recorder().end_step(runner_, sums);
    record_->write();
  }
  precision_.end_step(device_.stream(), *everyone_, device_.host_stream());
  StepRecord record = record_of(sums);
  record.joules = joules_since(joules);
  record.quantized = precision_.shares(device_.stream());
  const LaneTimes lanes = lanes_.take();
  record.waits_ms = waits_ms(lanes);
  if (reporter_ && plan_.offloads())
    if (const auto slow = watch_.step(record.step_seconds, lanes))
      reporter_->message(fmt::format("step {}: {}", step_, *slow));
  position_ = position_after(sums);
  return record;
}

double Trainer::evaluate() {
  progress_.enter(step_, "evaluation");
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

RunSnapshot Trainer::snapshot() {
  position_.guard = guard_.state();
  const std::string config = effective_toml(loaded_);
  std::vector<Asset> assets = tokenizer_files_;
  assets.push_back({"config.toml", config});
  nlohmann::json meta =
      run_meta(position_, *rule_, config, data_.fingerprint,
               to_string(place_.options().mesh, narrow<int>(config_.parallel.virtual_stages)));
  if (trains_adapters(config_)) describe_adapters(meta, config_, base_);
  return {.step = position_.step,
          .meta = std::move(meta),
          .assets = std::move(assets),
          .items = precision_.save_items()};
}

void Trainer::open_saver() {
  constexpr int64_t kPool = int64_t{2} << 30;  // of a rank; what is beyond is written while the step waits
  saver_ = std::make_unique<RunSaver>(*files_, *peers_,
                                      SaverOptions{.directory = folder_.checkpoints(),
                                                   .keep = config_.checkpoint.keep,
                                                   .pool_bytes = kPool,
                                                   .writer = "strata train"},
                                      runner_, *rule_, device_.stream(), place_.mesh().size(Axis::dp),
                                      store_.get());
  if (folder_.resume_from() && !from_store_) saver_->resumed_after(position_.step);
}

void Trainer::save(bool last) {
  progress_.enter(position_.step, "save");
  const Progress::StorageWait storage(progress_);
  if (last)
    saver_->finish(snapshot());
  else
    saver_->save(snapshot());
}

int Trainer::run() {
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
                       .cursor = position_.cursor,
                       .steps = config_.run.steps - position_.step});
  std::optional<double> valid_loss;
  int signal = 0;
  while (position_.step < config_.run.steps && (signal = stop_signal(stop)) == 0) {
    step_ = position_.step + 1;
    const std::span<const Batch> samples = prefetch.next();
    next_cursor_ = prefetch.cursor();
    StepRecord record = train_one_step(batches_of(samples));
    const bool last = step_ == config_.run.steps;
    const bool eval = !data_.valid.empty() && (is_due(eval_due) || last);
    if (eval) record.valid_loss = valid_loss = evaluate();
    if (reporter_) reporter_->step(record);
    if (reporter_ && eval) reporter_->write_page("running");
    saver_->poll(step_);
    if (is_due(save_due) || saver_->retry_due(step_)) save(false);
  }
  save(true);
  if (position_.step < config_.run.steps) {
    if (!reporter_) return kExitRequeue;
    reporter_->finish(fmt::format("stopped after step {} by signal {}", position_.step, signal));
    fmt::print("saved after step {} ({}); start the same command again to go on\n", position_.step,
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

// What this rank's communicators did last, beside the run: the message names one rank, this all of them.
void write_flight_record(const std::string& out, const Job& job) {
  std::ofstream(fmt::format("{}/flight-record-{}.txt", out, job.world.rank())) << job.recorder.dump();
}

}  // namespace

int train(const LoadedConfig& loaded, const Job& job) {
  try {
    return Trainer(loaded, job).run();
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
