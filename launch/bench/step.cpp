// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/step.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "core/base/isa.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/models/architectures.h"
#include "core/step/step_runner.h"
#include "launch/bench/busy_neighbour.h"
#include "launch/bench/foreign_load.h"
#include "launch/bench/matmul_peak.h"
#include "launch/bench/median.h"
#include "launch/bench/random_batch.h"
#include "optim/clip.h"
#include "optim/optimizer_table.h"
#include "optim/parameter_group.h"

namespace strata {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

// Adds up the time of the products that pass through it. On an inline stream a call returns when its work is
// done.
class TimedLinearOp final : public LinearOp {
 public:
  double taken_ms = 0;

  int64_t packed_bytes(Stream& stream, DType dtype, const Shape& shape,
                       const LinearRecipe& recipe) const override {
    return plain_linear_op().packed_bytes(stream, dtype, shape, recipe);
  }
  LinearWeight bind(Stream& stream, const Tensor& weight, std::byte* packed,
                    const LinearRecipe& recipe) const override {
    return plain_linear_op().bind(stream, weight, packed, recipe);
  }
  Quantized take_columns(Region& region, const LinearRecipe& recipe, LinearSide side, int64_t tokens,
                         int64_t features) const override {
    return plain_linear_op().take_columns(region, recipe, side, tokens, features);
  }
  void pack(Stream& stream, const LinearWeight& weight) const override {
    plain_linear_op().pack(stream, weight);
  }
  void forward(Stream& stream, const LinearOperand& x, const LinearWeight& weight, const Tensor& bias,
               const Tensor& add, const Tensor& y) const override {
    timed([&] { plain_linear_op().forward(stream, x, weight, bias, add, y); });
  }
  void backward_input(Stream& stream, const LinearOperand& dy, const LinearWeight& weight,
                      const Tensor& dx) const override {
    timed([&] { plain_linear_op().backward_input(stream, dy, weight, dx); });
  }
  void backward_weight(Stream& stream, const LinearOperand& dy, const LinearOperand& x, const Tensor& dweight,
                       Write write, const LinearRecipe& recipe) const override {
    timed([&] { plain_linear_op().backward_weight(stream, dy, x, dweight, write, recipe); });
  }

 private:
  template <typename Product>
  void timed(Product&& product) const {
    const auto begin = Clock::now();
    product();
    const_cast<TimedLinearOp*>(this)->taken_ms += ms_since(begin);
  }
};

ModelSpec gpt2_124m(int64_t positions) {
  return {.arch = "gpt2",
          .layers = 12,
          .hidden = 768,
          .heads = 12,
          .kv_heads = 12,
          .head_dim = 64,
          .ffn = 3072,
          .vocab = 50257,
          .max_positions = std::max<int64_t>(positions, 1024),
          .tied = true};
}

}  // namespace

StepBench bench_step(WorkerPool& pool, const StepBenchOptions& options) {
  const Model model = make_model(gpt2_124m(options.seq_len), options.compute);
  const auto rule = make_update_rule("adamw", options.state, options.compute, {});
  TimedLinearOp linear;
  const StepPlan plan(model,
                      {.geometry = {.rows = options.rows, .seq_len = options.seq_len, .micro_batches = 1},
                       .rule = rule.get(),
                       .linear = &linear});
  CpuStream stream(pool);
  const auto allocator = make_cpu_allocator();
  std::map<std::string, double> kinds;
  ExecutorOptions executor;
  executor.trace = [&](const ActionEvent& event) {
    const Action& action = plan.train().program.list[static_cast<size_t>(event.position)];
    kinds[std::string(name(action.kind))] += static_cast<double>(event.end_ns - event.begin_ns) * 1e-6;
  };
  StepRunner runner(
      plan, {stream}, *allocator,
      [](StepScalars& sums) {
        const Clip clip = clip_by_norm(sums.squares, 1.0);
        sums.grad_norm = clip.norm;
        sums.coefficient = clip.gradient_scale;
      },
      executor);
  runner.initialize(1);

  const Batch batch = random_batch(options.rows, options.seq_len, model.spec.vocab);
  std::vector<double> step_ms, matmul_ms, ratios, neighbour_ms, over_quiet;
  int64_t steps_done = 0;
  const auto step = [&] {
    ++steps_done;
    linear.taken_ms = 0;
    const auto begin = Clock::now();
    runner.train_step({&batch, 1}, [&](const Parameter& parameter) {
      return UpdateScalars{
          .learning_rate = 1e-4F, .weight_decay = weight_decay_of(parameter, 0.1F), .step = steps_done};
    });
    return ms_since(begin);
  };
  for (int i = 0; i < options.warmup; ++i) step();
  std::optional<BusyNeighbour> neighbour;
  if (options.neighbour) neighbour.emplace();
  const ForeignLoad load;
  kinds.clear();
  for (int i = 0; i < options.steps; ++i) {
    step_ms.push_back(step());
    matmul_ms.push_back(linear.taken_ms);
    ratios.push_back(step_ms.back() / linear.taken_ms);
    if (!neighbour) continue;
    const std::map<std::string, double> quiet_kinds = kinds;
    neighbour->start();
    neighbour_ms.push_back(step());
    neighbour->stop();
    over_quiet.push_back(neighbour_ms.back() / step_ms.back());
    kinds = quiet_kinds;
  }
  StepBench bench{.options = options,
                  .isa = std::string(name(active_isa())),
                  .threads = pool.threads(),
                  .parameters = model.num_parameters(),
                  .step_ms = median(step_ms),
                  .best_ms = *std::min_element(step_ms.begin(), step_ms.end()),
                  .matmul_ms = median(matmul_ms),
                  .over_matmul = median(ratios),
                  .arena_mib = static_cast<double>(plan.arena_bytes()) / (1 << 20),
                  .foreign_cores = load.cores()};
  if (neighbour) {
    bench.neighbour_ms = median(neighbour_ms);
    bench.over_quiet = median(over_quiet);
  }
  const auto tokens = static_cast<double>(options.rows * options.seq_len);
  bench.tokens_per_s = tokens / bench.step_ms * 1e3;
  int64_t matmul_flops = 0;
  for (const Action& action : plan.train().program.list)
    matmul_flops += plan.costs().work(action).matmul_flops;
  bench.matmul_gflops = static_cast<double>(matmul_flops) / bench.matmul_ms * 1e-6;
  bench.peak_gflops = measure_matmul_peak(pool, options.compute).flops_per_s * 1e-9;
  bench.mfu = static_cast<double>(plan.costs().model_flops()) / bench.step_ms * 1e-6 / bench.peak_gflops;
  for (const auto& [kind, ms] : kinds) bench.kind_ms[kind] = ms / options.steps;
  return bench;
}

std::string to_text(const StepBench& bench) {
  std::string text = fmt::format(
      "GPT-2 124M, B={} T={}, {}, {}, state {}, {} threads, planned memory {:.0f} MiB\n"
      "step            {:8.1f} ms (best {:.1f})   {:.0f} tokens/s   MFU {:.1f}%\n"
      "matrix products {:8.1f} ms, {:.0f} of {:.0f} GFLOP/s\n",
      bench.options.rows, bench.options.seq_len, name(bench.options.compute), bench.isa, bench.options.state,
      bench.threads, bench.arena_mib, bench.step_ms, bench.best_ms, bench.tokens_per_s, 100 * bench.mfu,
      bench.matmul_ms, bench.matmul_gflops, bench.peak_gflops);
  for (const auto& [kind, ms] : bench.kind_ms) text += fmt::format("  {:<17} {:8.1f} ms\n", kind, ms);
  const double target = step_target(bench.options.rows * bench.options.seq_len);
  const auto verdict = [&](bool met) {
    const bool quiet = bench.foreign_cores >= 0 && bench.foreign_cores <= kQuietCores;
    return quiet ? met ? "met" : "missed" : "inconclusive";
  };
  text += fmt::format("step / matrix products {:.3f}, goal {:.2f}: {} (foreign load {:.2f} cores)\n",
                      bench.over_matmul, target, verdict(bench.over_matmul <= target), bench.foreign_cores);
  if (bench.options.neighbour)
    text += fmt::format("beside one busy thread {:.1f} ms, over quiet steps {:.2f}, goal {:.2f}: {}\n",
                        bench.neighbour_ms, bench.over_quiet, kNeighbourTarget,
                        verdict(bench.over_quiet <= kNeighbourTarget));
  return text;
}

nlohmann::json to_json(const StepBench& bench) {
  nlohmann::json json = {{"model", "gpt2-124m"},
                         {"rows", bench.options.rows},
                         {"seq_len", bench.options.seq_len},
                         {"compute", name(bench.options.compute)},
                         {"state", bench.options.state},
                         {"isa", bench.isa},
                         {"threads", bench.threads},
                         {"step_ms", bench.step_ms},
                         {"best_ms", bench.best_ms},
                         {"tokens_per_s", bench.tokens_per_s},
                         {"matmul_ms", bench.matmul_ms},
                         {"over_matmul", bench.over_matmul},
                         {"matmul_gflops", bench.matmul_gflops},
                         {"peak_gflops", bench.peak_gflops},
                         {"mfu", bench.mfu},
                         {"kind_ms", bench.kind_ms},
                         {"arena_mib", bench.arena_mib},
                         {"foreign_cores", bench.foreign_cores}};
  if (bench.options.neighbour) {
    json["neighbour_ms"] = bench.neighbour_ms;
    json["over_quiet"] = bench.over_quiet;
  }
  return json;
}

}  // namespace strata
