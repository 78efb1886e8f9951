// SPDX-License-Identifier: Apache-2.0
// Muon against PyTorch in double precision; matrices fused into one parameter step as each alone, whatever
// the threads; what is no matrix steps as AdamW's.
#include "optim/muon.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "tests/optim/rule_fixture.h"

namespace strata {
namespace {

using test::RuleState;

float value(int64_t i) { return static_cast<float>(static_cast<double>((i * 7919) % 2001 - 1000) / 500); }
float gradient(int64_t i, int64_t step) {
  return static_cast<float>(std::sin(static_cast<double>(i * i) * 0.375 + static_cast<double>(step * step)) *
                            static_cast<double>(1 + i % 3));
}

double relative(std::span<const float> ours, const std::vector<double>& golden) {
  double distance = 0, size = 0;
  for (size_t i = 0; i < golden.size(); ++i) {
    distance += std::pow(static_cast<double>(ours[i]) - golden[i], 2);
    size += golden[i] * golden[i];
  }
  return std::sqrt(distance / size);
}

class MuonTest : public testing::Test {
 protected:
  // State of `shapes`, fused behind one another, after some steps.
  RuleState run(const std::vector<MatrixSpan>& matrices, int64_t elements, int64_t steps, DType type,
                int threads, float clip = 1) {
    WorkerPool pool(threads);
    CpuStream stream(pool);
    const auto rule = make_update_rule("muon", "fp32", type, {.momentum = 0.95});
    RuleState state(*rule, elements);
    const Tensor values = make_tensor(*make_cpu_allocator(), DType::f32, {elements}, "values");
    for (const MatrixSpan& m : matrices)
      for (int64_t i = 0; i < m.elements(); ++i) values.data<float>()[m.begin + i] = value(i);
    rule->initialize(stream, values, state.weight, state.slots);
    for (int64_t step = 1; step <= steps; ++step) {
      for (const MatrixSpan& m : matrices)
        for (int64_t i = 0; i < m.elements(); ++i)
          state.grad.data<float>()[m.begin + i] = gradient(i, step) / clip;
      rule->update(
          stream,
          {.weight = state.weight,
           .grad = state.grad,
           .state = state.slots,
           .scalars = {.learning_rate = 0.02f, .weight_decay = 0.1f, .gradient_scale = clip, .step = step},
           .matrices = matrices});
    }
    stream.synchronize();
    return state;
  }
};

TEST_F(MuonTest, StepsArePyTorchs) {
  std::ifstream file(std::string(STRATA_SOURCE_DIR) + "/tests/golden/muon/muon.json");
  const auto golden = nlohmann::json::parse(file);
  EXPECT_EQ(golden["cases"].size(), 16u);
  for (const auto& c : golden["cases"])
    for (const DType type : {DType::f32, DType::bf16}) {
      const MatrixSpan matrix{.rows = c["shape"][0], .columns = c["shape"][1]};
      SCOPED_TRACE(c["shape"].dump() + c["steps"].dump());
      const RuleState state = run({matrix}, matrix.elements(), c["steps"], type, 1, 4);
      const Tensor& values = type == DType::f32 ? state.weight : state.slots[0];
      const Tensor& momentum = state.slots[type == DType::f32 ? 0 : 1];
      // f32 sums of a few dozen terms, five times over, of singular values that grow up to 3.4 times a step.
      EXPECT_LT(relative(values.span<const float>(), c["value"]), 2e-6);
      EXPECT_LT(relative(momentum.span<const float>(), c["momentum"]), 2e-7);
    }
}

TEST_F(MuonTest, FusedMatricesStepEachForItself) {
  const std::vector<MatrixSpan> fused{{.begin = 0, .rows = 33, .columns = 20},
                                      {.begin = 660, .rows = 5, .columns = 20},
                                      {.begin = 760, .rows = 20, .columns = 20}};
  for (const int threads : {1, 3}) {
    const RuleState all = run(fused, 1160, 3, DType::f32, threads);
    for (const MatrixSpan& m : fused) {
      const RuleState one = run({{.rows = m.rows, .columns = m.columns}}, m.elements(), 3, DType::f32, 1);
      EXPECT_EQ(std::memcmp(all.weight.data<float>() + m.begin, one.weight.data<float>(),
                            static_cast<size_t>(4 * m.elements())),
                0)
          << m.rows << " " << threads;
    }
  }
}

TEST_F(MuonTest, StepsAreNearlyOrthogonal) {
  const MatrixSpan matrix{.rows = 24, .columns = 40};
  const RuleState before = run({matrix}, 960, 0, DType::f32, 1), after = run({matrix}, 960, 1, DType::f32, 1);
  const double scale = 0.02 * 0.2 * std::sqrt(40.0), decay = 1 - 0.02 * 0.1;
  double largest = 0, sum = 0;
  for (int64_t a = 0; a < 24; ++a)
    for (int64_t b = 0; b <= a; ++b) {
      double product = 0;
      for (int64_t k = 0; k < 40; ++k) {
        const auto step = [&](int64_t row) {
          const int64_t i = row * 40 + k;
          return (decay * before.weight.data<float>()[i] - after.weight.data<float>()[i]) / scale;
        };
        product += step(a) * step(b);
      }
      if (a == b) sum += product;
      if (a != b) largest = std::max(largest, std::abs(product));
    }
  EXPECT_NEAR(sum / 24, 1, 0.35);  // singular values of 0.7 to 1.2
  EXPECT_LT(largest, 0.3);
}

TEST_F(MuonTest, WhatIsNoMatrixStepsAsAdamw) {
  WorkerPool pool(1);
  CpuStream stream(pool);
  for (const DType type : {DType::f32, DType::bf16}) {
    const auto muon = make_update_rule("muon", "fp32", type, {}),
               adamw = make_update_rule("adamw", "fp32", type, {});
    EXPECT_FALSE(muon->element_wise());
    EXPECT_TRUE(adamw->element_wise());
    RuleState a(*muon, 37), b(*adamw, 37);
    for (RuleState* state : {&a, &b})
      for (int64_t i = 0; i < 37; ++i) state->grad.data<float>()[i] = gradient(i, 1);
    a.update(*muon, stream, {.learning_rate = 0.01f});
    b.update(*adamw, stream, {.learning_rate = 0.01f});
    EXPECT_EQ(std::memcmp(a.weight.raw(), b.weight.raw(), static_cast<size_t>(37 * size_of(type))), 0);
  }
  EXPECT_THROW(make_update_rule("muon", "fp32", DType::f32, {.momentum = 1.5}), Error);
  EXPECT_THROW(make_update_rule("muon", "split", DType::bf16, {}), Error);
}

}  // namespace
}  // namespace strata
