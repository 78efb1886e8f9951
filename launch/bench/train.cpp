// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/train.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/models/architectures.h"
#include "launch/bench/median.h"
#include "launch/bench/random_batch.h"
#include "launch/metrics/humanize.h"
#include "optim/clip.h"
#include "optim/optimizer_table.h"
#include "optim/parameter_group.h"

namespace strata {
namespace {

using Clock = std::chrono::steady_clock;

struct KnownModel {
  const char* name;
  ModelSpec spec;
};

ModelSpec qwen2(int64_t layers, int64_t hidden, int64_t heads, int64_t ffn, int64_t head_dim = 128) {
  return {.arch = "llama",
          .layers = layers,
          .hidden = hidden,
          .heads = heads,
          .kv_heads = 2,
          .head_dim = head_dim,
          .ffn = ffn,
          .vocab = 151936,
          .norm_eps = 1e-6F,
          .tied = true,
          .qkv_bias = true,
          .rope = {.theta = 1e6}};
}

std::vector<KnownModel> known_models() {
  return {{"tiny",
           {.arch = "llama",
            .layers = 2,
            .hidden = 64,
            .heads = 4,
            .kv_heads = 2,
            .head_dim = 16,
            .ffn = 128,
            .vocab = 512,
            .tied = true}},
          {"gpt2-124m",
           {.arch = "gpt2",
            .layers = 12,
            .hidden = 768,
            .heads = 12,
            .kv_heads = 12,
            .head_dim = 64,
            .ffn = 3072,
            .vocab = 50257,
            .tied = true}},
          {"qwen2.5-0.5b", qwen2(24, 896, 14, 4864, 64)},
          {"qwen2.5-1.5b", qwen2(28, 1536, 12, 8960)},
          {"qwen2.5-3b", qwen2(36, 2048, 16, 11008)}};
}

ModelSpec find_model(const std::string& name) {
  for (const KnownModel& known : known_models())
    if (known.name == name) return known.spec;
  throw Error(Fault::usage, {.what = "there is no such model to measure",
                             .where = "--model",
                             .found = name,
                             .expected = fmt::format("one of: {}", fmt::join(train_bench_models(), ", ")),
                             .fix = "--model qwen2.5-0.5b"});
}

}  // namespace

std::vector<std::string> train_bench_models() {
  std::vector<std::string> names;
  for (const KnownModel& known : known_models()) names.emplace_back(known.name);
  return names;
}

TrainBench bench_train(RunDevice& device, const TrainBenchOptions& options) {
  ModelSpec spec = find_model(options.model);
  spec.max_positions = std::max<int64_t>(options.seq_len, 1024);
  const Model model = make_model(spec, options.compute);
  const auto rule = make_update_rule("adamw", options.state, options.compute, {});
  const StepPlan plan(
      model,
      {.geometry = {.rows = options.rows, .seq_len = options.seq_len, .micro_batches = options.micro_batches},
       .rule = rule.get(),
       .recompute = options.recompute,
       .target = device.device()});
  StepRunner runner(plan, device.streams(), device.memory(), [](StepScalars& sums) {
    const Clip clip = clip_by_norm(sums.squares, 1.0);
    sums.grad_norm = clip.norm;
    sums.coefficient = clip.gradient_scale;
  });
  runner.initialize(1);
  const std::vector<Batch> batches(static_cast<size_t>(options.micro_batches),
                                   random_batch(options.rows, options.seq_len, spec.vocab));
  TrainBench bench{.options = options,
                   .device = device.describe(),
                   .parameters = model.num_parameters(),
                   .peak_flops = device.peak_flops(options.compute),
                   .planned_bytes = plan.arena_bytes()};
  int64_t steps = 0;
  const auto step = [&] {
    ++steps;
    const auto begin = Clock::now();
    const StepScalars sums = runner.train_step(batches, [&](const Parameter& parameter) {
      return UpdateScalars{
          .learning_rate = 1e-4F, .weight_decay = weight_decay_of(parameter, 0.1F), .step = steps};
    });
    bench.loss = sums.loss.mean();
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  };
  for (int i = 0; i < options.warmup; ++i) step();
  std::vector<double> step_ms;
  const std::optional<double> before = device.joules();
  for (int i = 0; i < options.steps; ++i) step_ms.push_back(step());
  const std::optional<double> after = device.joules();
  const auto tokens = static_cast<double>(options.rows * options.seq_len * options.micro_batches);
  if (before && after) bench.joules_per_token = (*after - *before) / (tokens * options.steps);
  bench.step_ms = median(step_ms);
  bench.best_ms = *std::min_element(step_ms.begin(), step_ms.end());
  bench.tokens_per_s = tokens / bench.step_ms * 1e3;
  if (bench.peak_flops > 0)
    bench.mfu = static_cast<double>(plan.costs().model_flops()) / (bench.step_ms * 1e-3) / bench.peak_flops;
  bench.held_bytes = device.memory_use().peak_bytes;
  return bench;
}

std::string to_text(const TrainBench& b) {
  const TrainBenchOptions& o = b.options;
  std::string text = fmt::format(
      "{} ({:.2f}B parameters) on {}\n{} x {} x {} tokens a step, {}, state {}{}\n"
      "step      {:.1f} ms (best {:.1f})\ntokens/s  {:.0f}\nMFU       {:.1f}% of {:.0f} TFLOP/s\n"
      "memory    {} planned",
      o.model, static_cast<double>(b.parameters) * 1e-9, b.device, o.micro_batches, o.rows, o.seq_len,
      name(o.compute), o.state, o.recompute ? ", recomputed" : "", b.step_ms, b.best_ms, b.tokens_per_s,
      100 * b.mfu, b.peak_flops * 1e-12, human_bytes(b.planned_bytes));
  if (b.held_bytes > 0) text += fmt::format(", {} held at most", human_bytes(b.held_bytes));
  if (b.joules_per_token) text += fmt::format("\nenergy    {:.4f} J/token", *b.joules_per_token);
  return text + "\n";
}

nlohmann::json to_json(const TrainBench& b) {
  const TrainBenchOptions& o = b.options;
  nlohmann::json json = {{"model", o.model},
                         {"device", b.device},
                         {"parameters", b.parameters},
                         {"rows", o.rows},
                         {"seq_len", o.seq_len},
                         {"micro_batches", o.micro_batches},
                         {"compute", name(o.compute)},
                         {"state", o.state},
                         {"recompute", o.recompute},
                         {"step_ms", b.step_ms},
                         {"best_ms", b.best_ms},
                         {"tokens_per_s", b.tokens_per_s},
                         {"peak_tflops", b.peak_flops * 1e-12},
                         {"mfu", b.mfu},
                         {"loss", b.loss},
                         {"planned_bytes", b.planned_bytes},
                         {"held_bytes", b.held_bytes}};
  if (b.joules_per_token) json["joules_per_token"] = *b.joules_per_token;
  return json;
}

}  // namespace strata
