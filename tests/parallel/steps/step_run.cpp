// SPDX-License-Identifier: Apache-2.0
#include "tests/parallel/steps/step_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>

#include "core/base/hash.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/io/memory_file_system.h"
#include "core/models/architectures.h"
#include "core/step/step_runner.h"
#include "core/tensor/bf16.h"
#include "offload/tile_store.h"
#include "optim/clip.h"
#include "optim/optimizer_table.h"
#include "optim/parameter_group.h"
#include "parallel/comm/counting.h"
#include "parallel/comm/thread_world.h"
#include "parallel/schedules/schedule_table.h"
#include "precision/delayed_scales.h"
#include "precision/quantized_linear_op.h"
#include "precision/recipe.h"
#include "tests/parallel/steps/slow_store.h"

namespace strata {
namespace {

// Sample `index` of a step: two documents a row, every ninth token without a target.
Batch sample_batch(const StepRun& run, int64_t step, int64_t index) {
  const int64_t n = run.rows * run.seq_len;
  Batch batch{.rows = run.rows, .seq_len = run.seq_len};
  const int64_t cut = run.seq_len * 5 / 8;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t t = i % run.seq_len;
    const auto token = [&](int64_t at) {
      return static_cast<int32_t>(
          hash_combine(static_cast<uint64_t>(step * 1000 + index), static_cast<uint64_t>(at) / 2) %
          static_cast<uint64_t>(run.spec.vocab));
    };
    batch.tokens.push_back(token(i));
    const bool last = t + 1 == run.seq_len || t + 1 == cut;
    batch.targets.push_back(last || i % 9 == 4 ? kNoTarget : token(i + 1));
    batch.positions.push_back(static_cast<int32_t>(t < cut ? t : t - cut));
    if (t == 0 || t == cut) batch.segment_begin.push_back(static_cast<int32_t>(i));
    batch.num_targets += batch.targets.back() != kNoTarget ? 1 : 0;
  }
  batch.segment_begin.push_back(static_cast<int32_t>(n));
  return batch;
}

std::vector<float> values_of(const Tensor& tensor) {
  std::vector<float> values;
  for (int64_t i = 0; i < tensor.numel(); ++i)
    values.push_back(tensor.dtype() == DType::bf16 ? to_float(tensor.data<const bf16>()[i])
                                                   : tensor.data<const float>()[i]);
  return values;
}

void put(StepOutcome::Tensors& tensors, const LogicalState& state, const Tensor& part) {
  std::vector<float>& whole = tensors[state.name];
  whole.resize(static_cast<size_t>(state.shape.numel()), std::nanf(""));
  const std::vector<float> values = values_of(part);
  const bool matrix = state.shape.rank() == 2;
  const int64_t width = matrix ? state.held.extent[1] : state.held.numel();
  for (int64_t i = 0; i < state.held.numel(); ++i) {
    const int64_t at =
        matrix ? (state.held.begin[0] + i / width) * state.shape[1] + state.held.begin[1] + i % width
               : state.held.begin[0] + i;
    whole[static_cast<size_t>(at)] = values[static_cast<size_t>(i)];
  }
}

Model prepared(const StepRun& run, const Split& split) {
  Model model = make_model(run.spec, run.compute, split);
  if (run.prepare) run.prepare(model);
  if (!run.recipe.empty()) apply_recipe({.name = run.recipe, .gather_codes = run.gather_codes}, model);
  return model;
}

class RankRun {
 public:
  RankRun(World& world, const StepRun& run, const StepLayout& layout, const Alteration& alteration,
          StepOutcome& outcome, std::mutex& mutex)
      : run_(run),
        counted_(count_traffic(alter(world, alteration), traffic_)),
        world_(*counted_),
        outcome_(outcome),
        mutex_(mutex),
        place_(world_, place_options(run, layout), run.spec.tied),
        model_(prepared(run, place_.split())),
        rule_(
            make_update_rule("adamw", run.state, run.compute, {.beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-4f})),
        pool_(layout.threads),
        stream_(pool_),
        alone_(1),
        communication_(alone_),
        loads_(loading_),
        stores_(storing_),
        allocator_(make_cpu_allocator()),
        delayed_(make_delayed()),
        linear_(delayed_.get(), nullptr),
        plan_(model_, {.geometry = {.rows = run.rows,
                                    .seq_len = place_.local_seq_len(run.seq_len),
                                    .micro_batches = place_.options().micro_batches},
                       .rule = rule_.get(),
                       .recompute = layout.recompute,
                       .linear = run.recipe.empty() ? nullptr : &linear_,
                       .rank = place_.rank_options(model_),
                       .tiers = layout.tiers,
                       .timing = layout.timing,
                       .group = layout.group,
                       .given = layout.given}),
        store_(open_store(world.rank(), layout.drive_us)),
        runner_(
            plan_,
            {.compute = stream_,
             .communication = &communication_,
             .host_to_device = &loads_,
             .device_to_host = &stores_},
            *allocator_, [this](StepScalars& sums) { clip(sums); },
            {.max_delay_us = layout.max_delay_us, .delay_seed = static_cast<uint64_t>(world.rank())},
            store_.get()) {}

  void run() {
    runner_.initialize(1234);
    collect(outcome_.initial, false);
    for (step_ = 0; step_ < run_.steps; ++step_) {
      const std::vector<Traffic> before = traffic_.snapshot();
      if (delayed_) delayed_->begin_step(stream_);
      const StepScalars sums = runner_.train_step(batches(step_), [&](const Parameter& parameter) {
        return UpdateScalars{
            .learning_rate = run_.learning_rate,
            .weight_decay = weight_decay_of(parameter, 0.1f),
            .step = step_ + 1,
            .key = {
                .seed = 1, .stream = hash_name(parameter.name), .step = static_cast<uint32_t>(step_ + 1)}};
      });
      if (step_ == 0) note_traffic(before);
      if (delayed_) delayed_->end_step(stream_, [this](std::span<float> magnitudes) { largest(magnitudes); });
      if (step_ + 1 == std::min(run_.compared_step, run_.steps)) {
        runner_.settle();
        collect(outcome_.parameters, false);
      }
      if (world_.rank() > 0) continue;
      outcome_.losses.push_back(sums.loss.mean());
      outcome_.norms.push_back(sums.grad_norm);
    }
    if (slow_) {
      const std::lock_guard lock(mutex_);
      StepOutcome::Rank& rank = outcome_.ranks[static_cast<size_t>(world_.rank())];
      rank.most_reads = slow_->most_reads(), rank.most_writes = slow_->most_writes();
    }
    if (run_.evaluate) {
      LossSum all;
      for (const Batch& batch : batches(run_.steps - 1)) all.add(runner_.evaluate(batch));
      if (world_.rank() == 0) outcome_.valid_loss = all.mean();
    }
  }

 private:
  // Rows are added, never taken away: a step makes no communicator.
  void note_traffic(const std::vector<Traffic>& before) {
    const std::vector<Traffic> after = traffic_.snapshot();
    check(before.size() == after.size(), "[step_run] a step made a communicator");
    const std::lock_guard lock(mutex_);
    StepOutcome::Rank& rank = outcome_.ranks[static_cast<size_t>(world_.rank())];
    for (size_t i = 0; i < after.size(); ++i) {
      const int64_t bytes = after[i].bytes - before[i].bytes;
      rank.received[after[i].purpose.starts_with("shards") ? "shards" : after[i].purpose] += bytes;
      // The count of targets comes before the program.
      if (after[i].purpose != "data") rank.received_by_level[static_cast<size_t>(after[i].level)] += bytes;
    }
    for (const Action& action : plan_.train().program.list) {
      const WorkCount work = plan_.costs().work(action);
      const bool of_layer =
          action.kind == Kind::gather && action.block > 0 && action.block + 1 < model_.num_blocks();
      for (size_t level = 0; level < kNumLinkLevels; ++level) {
        rank.planned_by_level[level] += work.wire_bytes[level];
        if (of_layer) rank.planned_of_layers += work.wire_bytes[level];
      }
    }
    if (world_.rank() == 0)
      for (const LinkedProgram& linked : plan_.train_job()) outcome_.programs.push_back(linked.program);
  }

  std::vector<Batch> batches(int64_t step) const {
    std::vector<Batch> batches;
    for (int i = 0; i < place_.options().micro_batches; ++i)
      batches.push_back(place_.part_of(sample_batch(run_, step, place_.sample(i))));
    return batches;
  }

  std::unique_ptr<DelayedScales> make_delayed() {
    if (run_.recipe.empty() || !quantization_recipe(run_.recipe).delayed) return nullptr;
    std::vector<int> all(static_cast<size_t>(world_.size()));
    std::iota(all.begin(), all.end(), 0);
    everyone_ = world_.group({.purpose = "magnitudes", .members = all, .level = LinkLevel::world});
    return std::make_unique<DelayedScales>(DelayedOptions{}, gradient_formats(model_), *allocator_, stream_);
  }
  // Of all ranks.
  void largest(std::span<float> magnitudes) {
    if (world_.size() == 1) return;
    everyone_->all_reduce(communication_,
                          Tensor::borrow(magnitudes.data(), DType::f32, {std::ssize(magnitudes)}),
                          Reduction::max);
    communication_.synchronize();
  }

  void clip(StepScalars& sums) {
    if (step_ == 0) collect(outcome_.gradients, true);
    const Clip clip = clip_by_norm(sums.squares, run_.grad_clip);
    sums.grad_norm = clip.norm;
    sums.coefficient = clip.gradient_scale;
  }

  void collect(StepOutcome::Tensors& tensors, bool gradients) {
    const std::lock_guard lock(mutex_);
    int fetched = -1;
    for (const LogicalState& state : runner_.logical_states()) {
      // In the middle of a step gradients are where they are, and nothing may be brought over them.
      if (!gradients && state.block != fetched && runner_.is_away(state.block))
        runner_.fetch(fetched = state.block);
      if (state.speaks && (!gradients || state.gradient))
        put(tensors, state, gradients ? state.gradient : state.weight);
    }
  }

  std::unique_ptr<BackingStore> open_store(int rank, int64_t drive_us) {
    const std::vector<StoredValue> values = plan_.stored_values();
    if (values.empty()) return nullptr;
    files_.make_directory("/drive");
    std::unique_ptr<BackingStore> store = TileStore::open(
        files_, {.folders = {"/drive"}, .run = "steps", .rank = rank, .tile_bytes = 2 * kStoreAlignment},
        values);
    if (drive_us == 0) return store;
    auto slow = std::make_unique<SlowStore>(std::move(store), std::chrono::microseconds(drive_us));
    slow_ = slow.get();
    return slow;
  }

  const StepRun& run_;
  TrafficCounter traffic_;
  std::unique_ptr<World> counted_;
  World& world_;
  StepOutcome& outcome_;
  std::mutex& mutex_;
  RankPlace place_;
  Model model_;
  std::unique_ptr<UpdateRule> rule_;
  WorkerPool pool_;
  CpuStream stream_;
  WorkerPool alone_, loading_{1}, storing_{1};
  CpuStream communication_, loads_, stores_;
  std::shared_ptr<Allocator> allocator_;
  std::unique_ptr<Communicator> everyone_;  // of delayed factors
  std::unique_ptr<DelayedScales> delayed_;
  QuantizedLinearOp linear_;
  StepPlan plan_;
  MemoryFileSystem files_;
  SlowStore* slow_ = nullptr;
  std::unique_ptr<BackingStore> store_;
  int64_t step_ = 0;
  StepRunner runner_;
};

double norm(const std::vector<float>& x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * v;
  return std::sqrt(sum);
}

}  // namespace

std::string to_string(const StepLayout& layout) {
  const auto& m = layout.mesh;
  const StepLayout plain;
  std::vector<std::string> parts;
  if (m.pp > 1) parts.push_back(fmt::format("pp {} {}", m.pp, layout.schedule));
  if (layout.virtual_stages > 1) parts.push_back(fmt::format("{} stages a rank", layout.virtual_stages));
  if (m.dp > 1) parts.push_back(fmt::format("dp {}", m.dp));
  if (m.cp > 1) parts.push_back(fmt::format("cp {}", m.cp));
  if (m.tp > 1) parts.push_back(fmt::format("tp {}{}", m.tp, layout.sequence ? " sp" : ""));
  const auto& [weights, gradients, state] = layout.partition;
  if (state > 1) parts.push_back(fmt::format("partition {}/{}/{}", weights, gradients, state));
  if (layout.gather_ahead != plain.gather_ahead)
    parts.push_back(fmt::format("{} ahead", layout.gather_ahead));
  if (layout.recompute) parts.emplace_back("recompute");
  if (layout.tree) parts.emplace_back("ordered");
  if (layout.timing == Timing::deferred) parts.emplace_back("deferred");
  if (layout.group != 1) parts.push_back(fmt::format("groups of {}", layout.group));
  return parts.empty() ? "one rank" : fmt::format("{}", fmt::join(parts, ", "));
}

ModelSpec small_llama(bool tied) {
  return {.arch = "llama",
          .layers = 4,
          .hidden = 32,
          .heads = 4,
          .kv_heads = 4,
          .head_dim = 8,
          .ffn = 48,
          .vocab = 100,
          .max_positions = 32,
          .tied = tied};
}

ModelSpec small_gpt2() {
  return {.arch = "gpt2",
          .layers = 4,
          .hidden = 32,
          .heads = 4,
          .kv_heads = 4,
          .head_dim = 8,
          .ffn = 64,
          .vocab = 100,
          .max_positions = 32,
          .tied = true};
}

StepRun eight_bit_run(const std::string& recipe) {
  StepRun run{.spec = small_llama(), .compute = DType::bf16, .recipe = recipe, .state = "split"};
  run.spec.hidden = 160;
  run.spec.head_dim = 40;
  run.spec.ffn = 208;
  run.learning_rate = 1e-3f;
  return run;
}

PlaceOptions place_options(const StepRun& run, const StepLayout& layout) {
  const int micro_batches = static_cast<int>(div_exact(run.samples, layout.mesh.dp));
  return {.mesh = layout.mesh,
          .topology = layout.topology,
          .sequence = layout.sequence,
          .partition = layout.partition,
          .schedule =
              layout.mesh.pp == 1 && layout.virtual_stages == 1
                  ? Schedule{}
                  : make_schedule(layout.schedule, {layout.mesh.pp, layout.virtual_stages, micro_batches}),
          .order = layout.tree ? SumOrder::tree : SumOrder::ascending,
          .gather_ahead = layout.gather_ahead,
          .micro_batches = micro_batches,
          .group = layout.group};
}

StepOutcome run_steps(const StepRun& run, const StepLayout& layout, const Alteration& alteration) {
  StepOutcome outcome;
  outcome.ranks.resize(static_cast<size_t>(layout.ranks()));
  std::mutex mutex;
  run_ranks(layout.ranks(),
            [&](World& world) { RankRun(world, run, layout, alteration, outcome, mutex).run(); });
  return outcome;
}

double farthest(const StepOutcome::Tensors& a, const StepOutcome::Tensors& b) {
  double largest = 0, worst = 0;
  for (const auto& [name, values] : b) largest = std::max(largest, norm(values));
  if (a.size() != b.size()) return INFINITY;
  for (const auto& [name, values] : b) {
    const auto other = a.find(name);
    if (other == a.end() || other->second.size() != values.size()) return INFINITY;
    std::vector<float> difference(values.size());
    for (size_t i = 0; i < values.size(); ++i) difference[i] = other->second[i] - values[i];
    const double distance = norm(difference) / std::max(norm(values), largest / 100);
    worst = std::isnan(distance) ? INFINITY : std::max(worst, distance);
  }
  return worst;
}

double farthest_change(const StepOutcome& a, const StepOutcome& b) {
  const auto change = [](const StepOutcome& outcome) {
    StepOutcome::Tensors changes = outcome.parameters;
    for (auto& [name, values] : changes)
      for (size_t i = 0; i < values.size(); ++i) values[i] -= outcome.initial.at(name)[i];
    return changes;
  };
  return farthest(change(a), change(b));
}

Distances distances(const StepOutcome& many, const StepOutcome& one) {
  const auto relative = [](double a, double b) { return std::abs(a - b) / std::abs(b); };
  Distances far{.same_start = many.initial == one.initial && many.losses.size() == one.losses.size()};
  if (!far.same_start) return far;
  far.loss = relative(many.losses[0], one.losses[0]);
  far.norm = relative(many.norms[0], one.norms[0]);
  far.gradients = farthest(many.gradients, one.gradients);
  far.change = farthest_change(many, one);
  if (one.losses.size() >= 5) far.fifth_loss = relative(many.losses[4], one.losses[4]);
  if (one.losses.size() >= 20) far.twentieth_loss = relative(many.losses[19], one.losses[19]);
  if (one.valid_loss > 0) far.valid_loss = relative(many.valid_loss, one.valid_loss);
  return far;
}

std::string broken_bounds(const Distances& far, bool rounds_apart) {
  if (!far.same_start) return "initial values or steps differ\n";
  std::string text;
  const auto within = [&](double distance, double bound, std::string_view what) {
    if (!(distance <= bound)) text += fmt::format("{}: {:.2e}, at most {:.0e}\n", what, distance, bound);
  };
  within(far.loss, 1e-6, "loss of the first step");
  within(far.norm, 1e-5, "norm of the first gradient");
  within(far.gradients, 1e-5, "first gradients");
  within(far.change, 1e-4, "change of the parameters");
  within(far.fifth_loss, 1e-5, "loss of the fifth step");
  within(far.twentieth_loss, rounds_apart ? 1e-3 : 1e-5, "loss of the twentieth step");
  within(far.valid_loss, 1e-4, "validation loss");
  return text;
}

std::string beyond_noise(const StepOutcome& many, const StepOutcome& one, const StepOutcome& plain) {
  const Distances far = distances(many, one), noise = distances(one, plain);
  if (!far.same_start) return "initial values or steps differ\n";
  std::string text;
  const auto within = [&](double distance, double bound, std::string_view what) {
    if (!(distance <= bound)) text += fmt::format("{}: {:.2e}, at most {:.2e}\n", what, distance, bound);
  };
  within(far.gradients, 1.5 * noise.gradients, "first gradients");
  for (size_t step = 0; step < one.losses.size(); ++step)
    within(std::abs(many.losses[step] / one.losses[step] - 1), 2e-3,
           fmt::format("loss of step {}", step + 1));
  return text;
}

std::string different_bits(const StepOutcome& many, const StepOutcome& one) {
  std::string text;
  const auto same = [&](const auto& a, const auto& b, std::string_view what) {
    if (a != b) text += fmt::format("{} differ\n", what);
  };
  same(many.losses, one.losses, "losses");
  same(many.norms, one.norms, "norms");
  same(many.gradients, one.gradients, "first gradients");
  same(many.parameters, one.parameters, "parameters");
  same(many.valid_loss, one.valid_loss, "validation losses");
  return text;
}

}  // namespace strata
