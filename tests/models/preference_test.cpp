// SPDX-License-Identifier: Apache-2.0
// Direct preference optimization on whole models against PyTorch in double precision: the loss and every
// gradient, both pairs in one micro-batch or each in its own; and that the loss of one pair is what its
// formula says.
#include <gtest/gtest.h>

#include <cmath>

#include "core/device/cpu/cpu_stream.h"
#include "core/models/architectures.h"
#include "core/ops/preference.h"
#include "core/step/step_runner.h"
#include "optim/optimizer_table.h"
#include "tests/models/golden_model.h"

namespace strata {
namespace {

struct GoldenPreference {
  explicit GoldenPreference(const std::string& name) {
    const std::string stem = std::string(STRATA_SOURCE_DIR) + "/tests/golden/preference/" + name;
    std::ifstream text(stem + ".json"), bytes(stem + ".bin", std::ios::binary);
    check(text.good() && bytes.good(), "[golden] {}.json and .bin are needed", stem);
    json = nlohmann::json::parse(text);
    blob.assign(std::istreambuf_iterator<char>(bytes), {});
  }
  nlohmann::json json;
  std::vector<char> blob;  // gradients of each case, in the order of names
};

Batch pairs(const GoldenModel& model, const GoldenPreference& preference, int64_t first, int64_t count) {
  Batch batch = model.batch(first, count);
  const int64_t n = batch.seq_len;
  batch.segment_begin.clear();
  for (const char* key : {"targets", "positions"}) {
    const auto all = preference.json.at(key).get<std::vector<int32_t>>();
    (std::string(key) == "targets" ? batch.targets : batch.positions)
        .assign(all.begin() + first * n, all.begin() + (first + count) * n);
  }
  for (int64_t row = 0; row < count; ++row) {
    const auto bounds =
        preference.json.at("bounds")[static_cast<size_t>(first + row)].get<std::vector<int32_t>>();
    for (size_t i = 0; i + 1 < bounds.size(); ++i)
      batch.segment_begin.push_back(static_cast<int32_t>(row * n) + bounds[i]);
    for (size_t i = 0; i < 3; ++i) batch.pairs.begin.push_back(static_cast<int32_t>(row * n) + bounds[i]);
    for (const float value :
         preference.json.at("reference")[static_cast<size_t>(first + row)].get<std::vector<float>>())
      batch.pairs.reference.push_back(value);
  }
  batch.segment_begin.push_back(static_cast<int32_t>(count * n));
  batch.num_targets = count;
  return batch;
}

TEST(Preference, LossAndGradientsArePyTorchs) {
  for (const std::string name : {"llama", "gpt2"}) {
    const GoldenModel golden(name);
    const GoldenPreference preference(name);
    size_t at = 0;  // in the blob
    for (size_t c = 0; c < preference.json.at("cases").size(); ++c) {
      const auto& expected = preference.json.at("cases")[c];
      const size_t case_begin = at;
      for (const int64_t rows : {2, 1}) {
        SCOPED_TRACE(fmt::format("{}, case {}, {} rows", name, c, rows));
        at = case_begin;
        ModelSpec spec = golden.spec();
        spec.preference = {.on = true, .beta = expected.at("beta"), .smoothing = expected.at("smoothing")};
        const Model model = make_model(spec, DType::f32);
        const auto rule = make_update_rule("adamw", "fp32", DType::f32, {});
        const StepPlan plan(model, {.geometry = {.rows = rows,
                                                 .seq_len = golden.json.at("seq_len"),
                                                 .micro_batches = static_cast<int>(2 / rows)},
                                    .rule = rule.get()});
        WorkerPool pool(2);
        CpuStream stream(pool);
        const auto allocator = make_cpu_allocator();
        std::map<std::string, std::vector<float>> gradients;
        StepRunner* self = nullptr;
        StepRunner runner(plan, StepStreams{stream}, *allocator, [&](StepScalars&) {
          for (const LogicalState& state : self->logical_states()) {
            const auto span = state.gradient.span<const float>();
            gradients[state.name].assign(span.begin(), span.end());
          }
        });
        self = &runner;
        for (const LogicalState& state : runner.logical_states()) {
          const std::vector<float>& values = golden.tensors.at("weight:" + state.name);
          std::copy(values.begin(), values.end(), state.weight.data<float>());
        }
        runner.weights_changed();
        std::vector<Batch> batches;
        for (int64_t row = 0; row < 2; row += rows) batches.push_back(pairs(golden, preference, row, rows));
        LossSum evaluated;
        for (const Batch& batch : batches) evaluated.add(runner.evaluate(batch));
        const double loss = expected.at("loss");
        EXPECT_NEAR(evaluated.mean(), loss, 2e-6 * loss);
        EXPECT_EQ(evaluated.targets, 2);
        const StepScalars sums = runner.train_step(batches, [](const Parameter&) { return UpdateScalars{}; });
        EXPECT_NEAR(sums.loss.mean(), loss, 2e-6 * loss);
        // Relative to the whole gradient: some tensors' is nothing but rounding (golden_test.cpp).
        double distance = 0, size = 0;
        for (const std::string tensor : preference.json.at("names")) {
          const std::vector<float>& ours = gradients.at(tensor);
          double own_distance = 0, own_size = 0;
          for (size_t i = 0; i < ours.size(); ++i, at += 4) {
            float want = 0;
            std::memcpy(&want, &preference.blob[at], 4);
            own_distance += std::pow(static_cast<double>(ours[i]) - want, 2);
            own_size += std::pow(static_cast<double>(want), 2);
          }
          EXPECT_LE(std::sqrt(own_distance), 4e-6 * std::sqrt(own_size) + 1e-7) << tensor;
          distance += own_distance;
          size += own_size;
        }
        EXPECT_LT(std::sqrt(distance), 3e-6 * std::sqrt(size));
        EXPECT_GT(size, 1e-4);
      }
    }
    EXPECT_EQ(at, preference.blob.size());
  }
}

TEST(Preference, TermAndItsSlope) {
  for (const float smoothing : {0.0f, 0.1f, 0.4f})
    for (const double h : {-800.0, -30.0, -1.0, 0.0, 0.3, 2.0, 40.0, 900.0}) {
      const PreferenceSpec spec{.on = true, .smoothing = smoothing};
      const auto s = static_cast<double>(smoothing);
      const PreferenceTerm term = preference_term(spec, h);
      if (std::abs(h) < 50) {
        const double right = std::log(1 + std::exp(-h)), wrong = std::log(1 + std::exp(h));
        EXPECT_NEAR(term.loss, (1 - s) * right + s * wrong, 1e-9 * (1 + term.loss)) << h;
        const double step = 1e-5;
        EXPECT_NEAR(
            term.slope,
            (preference_term(spec, h + step).loss - preference_term(spec, h - step).loss) / (2 * step), 1e-7)
            << h;
      } else {
        EXPECT_NEAR(term.loss, h < 0 ? -(1 - s) * h : s * h, 1e-9) << h;  // no overflow
        EXPECT_NEAR(term.slope, h < 0 ? -(1 - s) : s, 1e-9) << h;
      }
    }
}

}  // namespace
}  // namespace strata
