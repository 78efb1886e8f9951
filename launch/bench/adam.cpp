// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/adam.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/device/cpu/cpu_stream.h"
#include "core/device/meta_stream.h"
#include "launch/bench/foreign_load.h"
#include "launch/bench/median.h"
#include "launch/bench/seconds_of.h"
#include "optim/optimizer_table.h"

namespace strata {
namespace {

// One rule with a parameter of its own.
struct Subject {
  std::unique_ptr<UpdateRule> rule;
  Tensor weight, grad;
  std::vector<Tensor> state;
  std::vector<double> times_s;

  Subject(const OptimizerRow& row, Allocator& allocator, int64_t n) : rule(row.make({})) {
    weight = make_tensor(allocator, rule->weight_dtype(), {n}, "bench weight");
    grad = make_tensor(allocator, DType::f32, {n}, "bench gradient");
    for (const StateSlot& slot : rule->slots())
      state.push_back(make_tensor(allocator, slot.dtype, {slot.entries(n)}, "bench " + slot.name));
  }

  // Ordinary numbers: denormals, zeros or NaN would time something else. Touches every page.
  void fill(Stream& stream) {
    for (float& g : grad.span<float>()) g = 1e-3f;
    rule->initialize(stream, grad, weight, state);
  }

  void update(Stream& stream, int64_t step) const {
    rule->update(
        stream,
        {.weight = weight,
         .grad = grad,
         .state = state,
         .scalars = {.learning_rate = 1e-4f, .weight_decay = 0.1f, .gradient_scale = 0.5f, .step = step}});
    stream.synchronize();
  }

  int64_t bytes_per_parameter() const {
    MetaStream meta({});
    rule->update(meta, {.weight = weight, .grad = grad, .state = state});
    return meta.count.bytes / weight.numel();
  }
};

// A separate function with simple operands, so that the compiler sees a plain loop.
void increment(float* x, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) x[i] += 1.0f;
}

}  // namespace

AdamBench bench_adam(WorkerPool& pool, const AdamBenchOptions& options) {
  const int64_t n = options.parameters;
  const auto allocator = make_cpu_allocator();
  CpuStream stream(pool);
  std::vector<Subject> subjects;
  for (const OptimizerRow& row : optimizer_table()) subjects.emplace_back(row, *allocator, n).fill(stream);
  const Tensor array = make_tensor(*allocator, DType::f32, {n}, "bench array");
  float* const x = array.data<float>();
  constexpr int64_t kChunk = 256 * 1024;
  const auto increment_all = [&] {
    pool.for_each((n + kChunk - 1) / kChunk, [&](int64_t chunk, int) {
      increment(x, chunk * kChunk, std::min(n, (chunk + 1) * kChunk));
    });
  };

  increment_all();  // first touch
  for (const Subject& subject : subjects) subject.update(stream, 1);

  const ForeignLoad foreign;
  std::vector<double> increment_s;
  for (int round = 0; round < options.rounds; ++round) {
    increment_s.push_back(seconds_of(increment_all));
    for (Subject& subject : subjects)
      subject.times_s.push_back(seconds_of([&] { subject.update(stream, round + 2); }));
  }

  AdamBench result{.threads = pool.threads(), .parameters = n, .foreign_cores = foreign.cores()};
  const double count = static_cast<double>(n);
  result.increment_gb_per_s = 8e-9 * count / median(increment_s);
  for (const Subject& subject : subjects) {
    const int64_t bytes = subject.bytes_per_parameter();
    std::vector<double> ratios;
    for (size_t round = 0; round < increment_s.size(); ++round)
      ratios.push_back(static_cast<double>(bytes) / 8 * increment_s[round] / subject.times_s[round]);
    const double time_s = median(subject.times_s);
    result.rows.push_back({.rule = subject.rule->name(),
                           .compute = std::string(name(subject.rule->weight_dtype())),
                           .bytes_per_parameter = bytes,
                           .ns_per_parameter = 1e9 * time_s / count,
                           .gb_per_s = 1e-9 * static_cast<double>(bytes) * count / time_s,
                           .of_increment = median(ratios)});
  }
  return result;
}

std::string to_text(const AdamBench& bench) {
  std::string text =
      fmt::format("AdamW in place, {:.1f} M parameters, {} threads\n{:<14}{:<9}{:>12}{:>12}{:>9}{:>15}\n",
                  1e-6 * static_cast<double>(bench.parameters), bench.threads, "rule", "compute",
                  "bytes/param", "ns/param", "GB/s", "of increment");
  for (const AdamBenchRow& row : bench.rows)
    text += fmt::format("{:<14}{:<9}{:>12}{:>12.3f}{:>9.1f}{:>15.2f}\n", row.rule, row.compute,
                        row.bytes_per_parameter, row.ns_per_parameter, row.gb_per_s, row.of_increment);
  text += fmt::format("{:<14}{:<9}{:>12}{:>12.3f}{:>9.1f}{:>15.2f}\n", "increment", "f32", 8,
                      8 / bench.increment_gb_per_s, bench.increment_gb_per_s, 1.0);
  const bool met = std::ranges::all_of(
      bench.rows, [](const AdamBenchRow& row) { return row.of_increment >= kAdamTarget; });
  if (const std::string noise = inconclusive(bench.foreign_cores); !noise.empty())
    text += noise;
  else
    text += fmt::format("target {:.2f} of increment: {}\n", kAdamTarget, met ? "met" : "missed");
  return text;
}

nlohmann::json to_json(const AdamBench& bench) {
  nlohmann::json json = {{"bench", "adam"},
                         {"threads", bench.threads},
                         {"parameters", bench.parameters},
                         {"increment_gb_per_s", bench.increment_gb_per_s},
                         {"foreign_cores", bench.foreign_cores},
                         {"target_of_increment", kAdamTarget},
                         {"rows", nlohmann::json::array()}};
  for (const AdamBenchRow& row : bench.rows)
    json["rows"].push_back({{"rule", row.rule},
                            {"compute", row.compute},
                            {"bytes_per_parameter", row.bytes_per_parameter},
                            {"ns_per_parameter", row.ns_per_parameter},
                            {"gb_per_s", row.gb_per_s},
                            {"of_increment", row.of_increment}});
  return json;
}

}  // namespace strata
