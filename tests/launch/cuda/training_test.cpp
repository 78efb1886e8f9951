// SPDX-License-Identifier: Apache-2.0
// `strata train` on a GPU is `strata train` on the CPU but for rounding: models, types, state formats,
// layouts; checkpoints go from one to the other.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tests/launch/ranks/job_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

class GpuTraining : public JobTest {
 protected:
  // Every step's loss, gradient norm and, where there was one, validation loss.
  std::vector<double> curve(const std::string& out) const {
    std::ifstream lines(folder_ / out / "metrics.jsonl");
    std::vector<double> values;
    for (std::string line; std::getline(lines, line);) {
      const auto record = nlohmann::json::parse(line);
      values.push_back(record.at("loss"));
      values.push_back(record.at("grad_norm"));
      if (record.contains("valid_loss") && !record.at("valid_loss").is_null())
        values.push_back(record.at("valid_loss"));
    }
    return values;
  }
  void train(int ranks, const std::string& out, const std::string& keys) const {
    const JobOutcome outcome = run(ranks, "train job.toml run.out=" + out + " " + kSmall + keys, "", 120);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }
  void expect_close(const std::string& a, const std::string& b, double bound) const {
    const auto x = curve(a), y = curve(b);
    ASSERT_EQ(x.size(), y.size());
    ASSERT_GE(x.size(), 9u);  // four steps, one evaluation
    for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], bound * std::abs(y[i])) << i;
  }

  static constexpr const char* kSmall =
      "batch.tokens_per_step=64 batch.micro_batch=1 model.layers=2 eval.tokens=128 ";
  static constexpr const char* kGpu = " run.device=cuda";
  static constexpr const char* kCpu = " run.device=cpu";
};

struct Numbers {
  const char* name;
  const char* keys;
  double bound;  // relative: f32 sums in another order; bf16 values rounded elsewhere
};

class Kinds : public GpuTraining, public testing::WithParamInterface<Numbers> {};
INSTANTIATE_TEST_SUITE_P(
    Runs, Kinds,
    testing::Values(Numbers{"llama_fp32", "", 2e-5}, Numbers{"llama_bf16", "precision.compute=bf16", 4e-3},
                    Numbers{"llama_bf16_split", "precision.compute=bf16 precision.state=split", 4e-3},
                    Numbers{"llama_recomputed", "parallel.recompute=full batch.micro_batch=2", 2e-5},
                    Numbers{"grouped_heads_and_norms",
                            "model.kv_heads=2 model.qk_norm=true model.qkv_bias=true model.tied=true", 2e-5},
                    Numbers{"gpt2_fp32", "model.arch=gpt2", 2e-5},
                    Numbers{"gpt2_bf16", "model.arch=gpt2 precision.compute=bf16", 4e-3},
                    Numbers{"fp8_block", "precision.compute=fp8 precision.recipe=block", 1e-2},
                    Numbers{"fp8_tensor", "precision.compute=fp8 precision.recipe=tensor-current", 1e-2},
                    Numbers{"fp8_delayed", "precision.compute=fp8 precision.recipe=tensor-delayed", 1e-2},
                    Numbers{"fp8_row", "precision.compute=fp8 precision.recipe=row", 1e-2},
                    Numbers{"muon_fp32", "optimizer.type=muon", 2e-5},
                    Numbers{"muon_bf16", "optimizer.type=muon precision.compute=bf16", 4e-3}),
    [](const auto& info) { return info.param.name; });

TEST_P(Kinds, TrainsLikeTheCpu) {
  train(0, "cpu", GetParam().keys + std::string(kCpu));
  train(0, "gpu", GetParam().keys + std::string(kGpu));
  expect_close("gpu", "cpu", GetParam().bound);
}

TEST_F(GpuTraining, TwoRunsHaveTheSameBits) {
  train(0, "one", std::string("precision.compute=bf16") + kGpu);
  train(0, "two", std::string("precision.compute=bf16") + kGpu);
  EXPECT_EQ(curve("one"), curve("two"));
  const JobOutcome diff = run(0, "diff one two");
  EXPECT_EQ(diff.code, 0) << diff.out;
}

// Preferences, from the model that the first run left.
TEST_F(GpuTraining, PrefersLikeTheCpu) {
  std::string pairs;
  for (int i = 0; i < 40; ++i)
    pairs += R"({"prompt": "q)" + std::to_string(i) + R"( ", "chosen": "yes", "rejected": "no way"})" + "\n";
  std::ofstream(folder_ / "pairs.jsonl") << pairs;
  train(0, "base", kCpu);
  const std::string keys =
      "'data.train=[\"pairs.jsonl\"]' model.from=base loss.kind=dpo data.packing=pairs data.seq_len=32 "
      "data.valid_fraction=0.2 eval.tokens=0 optimizer.lr=1e-3";
  train(0, "cpu", keys + kCpu);
  train(0, "gpu", keys + kGpu);
  expect_close("gpu", "cpu", 2e-5);
  EXPECT_LT(losses("gpu").back(), losses("gpu").front());
}

struct Layout {
  const char* name;
  int ranks;
  const char* keys;
};
class Layouts : public GpuTraining, public testing::WithParamInterface<Layout> {};
INSTANTIATE_TEST_SUITE_P(
    Runs, Layouts,
    testing::Values(Layout{"data", 2, "parallel.dp=2 parallel.partition=zero1"},
                    Layout{"data_zero3", 2, "parallel.dp=2 parallel.partition=zero3"},
                    Layout{"tensor", 2, "parallel.tp=2"}, Layout{"pipeline", 2, "parallel.pp=2"},
                    Layout{"context", 2, "parallel.cp=2"},
                    Layout{"all", 8, "parallel.pp=2 parallel.dp=2 parallel.tp=2 parallel.partition=zero2"}),
    [](const auto& info) { return info.param.name; });

TEST_P(Layouts, RanksThatShareAGpuTrainLikeOneCpu) {
  train(0, "cpu", kCpu);
  train(GetParam().ranks, "gpu", GetParam().keys + std::string(kGpu));
  expect_close("gpu", "cpu", 2e-5);
}

class StateFormats : public GpuTraining, public testing::WithParamInterface<Numbers> {};
INSTANTIATE_TEST_SUITE_P(
    Runs, StateFormats,
    testing::Values(Numbers{"fp32", "", 2e-5}, Numbers{"master", "precision.compute=bf16", 4e-3},
                    Numbers{"split", "precision.compute=bf16 precision.state=split", 4e-3}),
    [](const auto& info) { return info.param.name; });

TEST_P(StateFormats, ARunGoesOnOnTheOtherDevice) {
  const std::string keys = std::string("schedule.type=constant ") + GetParam().keys;
  train(0, "whole", keys + kCpu);
  train(0, "cut", keys + kGpu + " run.steps=2");
  train(0, "cut", keys + kCpu + " run.steps=3");
  const JobOutcome rest = run(0, "train job.toml run.out=cut " + (kSmall + keys) + kGpu, "", 120);
  ASSERT_EQ(rest.code, 0) << rest.err;
  EXPECT_THAT(rest.out, HasSubstr("resuming after step 3"));
  const auto cut = losses("cut"), whole = losses("whole");
  ASSERT_EQ(cut.size(), 4u);
  EXPECT_NEAR(cut[3], whole[3], GetParam().bound * whole[3]);
}

// Codes of boundary activations are made on the GPU, in the lane's own memory there. Where values differ by
// their rounding, codes of some do: bounds are those of bf16, in fp32 too.
class ActivationsIn8Bits : public GpuTraining, public testing::WithParamInterface<Numbers> {};
INSTANTIATE_TEST_SUITE_P(Runs, ActivationsIn8Bits,
                         testing::Values(Numbers{"fp32", "", 4e-3},
                                         Numbers{"bf16", "precision.compute=bf16", 4e-3}),
                         [](const auto& info) { return info.param.name; });

TEST_P(ActivationsIn8Bits, WaitOnTheHostOrADriveAsOfTheCpu) {
  const std::string keys = std::string("model.hidden=160 parallel.recompute=full ") +
                           "offload.activations_format=fp8 offload.any_volume=true " + GetParam().keys +
                           " offload.activations=";
  train(0, "cpu", keys + "host" + kCpu);
  train(0, "gpu", keys + "host" + kGpu);
  expect_close("gpu", "cpu", GetParam().bound);
  train(0, "gpu_drive", keys + "nvme" + kGpu);
  EXPECT_EQ(curve("gpu_drive"), curve("gpu"));
}

// Times of its own clock, in the format of the CPU's: no action of a lane before the one before it is over.
TEST_F(GpuTraining, TracesAreOfItsOwnClock) {
  train(2, "gpu", std::string("log.trace_steps=2 parallel.dp=2") + kGpu);
  const auto events = nlohmann::json::parse(read("gpu/trace.json"));
  const auto& list = events.is_array() ? events : events.at("traceEvents");
  std::map<int64_t, std::vector<std::pair<double, double>>> lanes;
  size_t actions = 0;
  for (const auto& event : list) {
    if (event.value("ph", "") != "X") continue;
    ++actions;
    lanes[event.at("tid")].emplace_back(event.at("ts"), event.at("dur"));
  }
  EXPECT_GE(actions, 60u);
  EXPECT_EQ(lanes.size(), 2u);
  for (auto& [lane, spans] : lanes) {
    std::sort(spans.begin(), spans.end());
    EXPECT_GT(spans.back().first, spans.front().first);
    for (size_t i = 1; i < spans.size(); ++i)
      EXPECT_GE(spans[i].first + 0.01, spans[i - 1].first + spans[i - 1].second) << lane << " " << i;
  }
}

TEST_F(GpuTraining, MemoryIsAsPlanned) {
  const JobOutcome plan =
      run(0, "plan job.toml --json " + std::string(kSmall) + kGpu, "env STRATA_CUDA_DEVICES=0");
  ASSERT_EQ(plan.code, 0) << plan.err;
  const auto figures = nlohmann::json::parse(plan.out);
  EXPECT_EQ(figures.at("device"), "cuda");
  train(0, "gpu", kGpu);
  std::string last;
  std::ifstream lines(folder_ / "gpu" / "metrics.jsonl");
  for (std::string line; std::getline(lines, line);) last = line;
  const double planned = figures.at("pipeline").at(0).at("memory").at("device").at("arena");
  const double held = nlohmann::json::parse(last).at("memory_peak").at("device");
  EXPECT_GE(held, planned);
  EXPECT_LE(held, 1.02 * planned);
}

TEST_F(GpuTraining, IsMeasured) {
  const JobOutcome bench =
      run(0, "bench train --model tiny --device cuda --rows 1 --seq-len 16 --steps 1 --json");
  ASSERT_EQ(bench.code, 0) << bench.err;
  const auto figures = nlohmann::json::parse(bench.out);
  EXPECT_EQ(figures.at("device").get<std::string>().substr(0, 15), "a pretended GPU");
  EXPECT_NEAR(figures.at("loss").get<double>(), std::log(512), 0.5);
  EXPECT_GT(figures.at("tokens_per_s"), 0);
  EXPECT_LE(figures.at("held_bytes").get<double>(), 1.02 * figures.at("planned_bytes").get<double>());
}

TEST_F(GpuTraining, TextIsDrawnFromItsWeights) {
  train(0, "gpu", kGpu);
  const JobOutcome gpu = run(0, "sample gpu --prompt verse --tokens 12 --temperature 0");
  const JobOutcome cpu =
      run(0, "sample gpu --prompt verse --tokens 12 --temperature 0", "env STRATA_CUDA_DEVICES=0");
  ASSERT_EQ(gpu.code, 0) << gpu.err;
  EXPECT_EQ(gpu.out, cpu.out);
  EXPECT_THAT(gpu.out, testing::StartsWith("verse"));
}

TEST_F(GpuTraining, WithoutAGpuItSaysWhatIsMissing) {
  const JobOutcome outcome =
      run(0, "train job.toml run.out=none run.device=cuda", "env STRATA_CUDA_DEVICES=0");
  EXPECT_EQ(outcome.code, 5);
  EXPECT_THAT(outcome.err, HasSubstr("there is no GPU that this process can use"));
  EXPECT_THAT(outcome.err, HasSubstr("run.device = \"cpu\""));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "none" / "checkpoints" / "step-4"));
}

}  // namespace
}  // namespace strata
