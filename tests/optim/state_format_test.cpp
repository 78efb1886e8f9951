// SPDX-License-Identifier: Apache-2.0
// State formats through the table: what they keep, that they agree with one another, and what misuse is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "core/base/error.h"
#include "core/device/meta_stream.h"
#include "core/tensor/bf16.h"
#include "optim/parameter_group.h"
#include "tests/optim/rule_fixture.h"

namespace strata::test {
namespace {

using testing::HasSubstr;

constexpr float kInfinite = std::numeric_limits<float>::infinity();

template <typename Thrown, typename Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const Thrown& error) {
    return error.what();
  }
  return "nothing was thrown";
}

class FormatTest : public testing::TestWithParam<OptimizerRow> {
 protected:
  WorkerPool pool_{2};
  CpuStream stream_{pool_};
  std::unique_ptr<UpdateRule> rule_ = GetParam().make({});
};

// DESIGN section 5 for the bf16 formats; bytes moved as counted in the format's own table.
TEST_P(FormatTest, KeepsAndMovesTheBytesOfTheDesign) {
  struct Bytes {
    int64_t kept, moved;
  };
  const std::map<std::string, Bytes> design = {{"adamw_fp32_f32", {12, 28}},  {"adamw_fp32_bf16", {14, 30}},
                                               {"adamw_split_bf16", {8, 20}}, {"adamw_split8_bf16", {6, 16}},
                                               {"adamw_sr8_bf16", {4, 12}},   {"muon_fp32_f32", {12, 28}},
                                               {"muon_fp32_bf16", {14, 30}}};
  const Bytes expected = design.at(row_name(GetParam()));  // a new row belongs here

  int64_t kept = size_of(rule_->weight_dtype());
  // (What blocks share is a 128th of a byte, and is not counted.)
  for (const StateSlot& slot : rule_->slots()) kept += slot.per == 1 ? size_of(slot.dtype) : 0;
  EXPECT_EQ(kept, expected.kept);

  MetaStream meta({});
  const auto allocator = make_meta_allocator();
  std::vector<Tensor> slots;
  for (const StateSlot& slot : rule_->slots())
    slots.push_back(slot.per == 1 ? make_tensor(*allocator, slot.dtype, {10, 3}, slot.name)
                                  : make_tensor(*allocator, slot.dtype, {slot.entries(30)}, slot.name));
  rule_->update(meta, {.weight = make_tensor(*allocator, rule_->weight_dtype(), {10, 3}, "weight"),
                       .grad = make_tensor(*allocator, DType::f32, {10, 3}, "grad"),
                       .state = slots});
  EXPECT_EQ(meta.count.bytes, 30 * expected.moved);
}

TEST_P(FormatTest, ComputesWithTheTypeOfItsRow) {
  EXPECT_EQ(rule_->weight_dtype(), GetParam().compute);
  EXPECT_EQ(rule_->name(), std::string(GetParam().type) + "/" + std::string(GetParam().state));
}

TEST_P(FormatTest, InitializeThenExportIsTheIdentity) {
  for (const int64_t n : {1, 5, 64, 1000, 70001}) {
    std::vector<float> values = normal_values(n, 0.02f, static_cast<uint32_t>(n));
    const float special[] = {0.0f,
                             -0.0f,
                             kInfinite,
                             -kInfinite,
                             std::numeric_limits<float>::max(),
                             -1e-45f,
                             0x1.01p0f,
                             std::numeric_limits<float>::signaling_NaN(),
                             1e-38f};
    for (size_t i = 0; i < std::size(special) && i < values.size(); ++i) values[i] = special[i];

    RuleState state(*rule_, n);
    for (Tensor& slot : state.slots) std::memset(slot.raw(), 0xA5, static_cast<size_t>(slot.bytes()));
    rule_->initialize(stream_, tensor_of(values), state.weight, state.slots);
    const std::vector<float> back = exported(*rule_, stream_, state);

    for (int64_t i = 0; i < n; ++i) {
      // Without a master, the value is what the model sees.
      const float x = GetParam().state == "sr8" ? to_float(to_bf16(values[static_cast<size_t>(i)]))
                                                : values[static_cast<size_t>(i)];
      ASSERT_EQ(bits_of(back[static_cast<size_t>(i)]), std::isnan(x) ? 0x7FC00000u : bits_of(x))
          << "element " << i;
      // What the model computes with is x, or a nearest bf16 to it.
      if (GetParam().compute == DType::f32) continue;
      const float seen = to_float(state.weight.data<bf16>()[i]);
      if (std::isnan(x))
        ASSERT_TRUE(std::isnan(seen));
      else if (std::isinf(to_float(to_bf16(x))))
        ASSERT_EQ(seen, to_float(to_bf16(x)));
      else
        ASSERT_EQ(std::abs(seen - x), std::abs(to_float(to_bf16(x)) - x)) << "element " << i;
    }
    for (const char* moment : {"moment1", "moment2"}) {
      const Tensor& slot = state.slot(*rule_, moment);
      EXPECT_EQ(std::string(reinterpret_cast<const char*>(slot.raw()), static_cast<size_t>(slot.bytes())),
                std::string(static_cast<size_t>(slot.bytes()), '\0'));
    }
  }
}

// Every format is the f32 rule with its own way of keeping: from the state it keeps, one step of the f32 rule
// gives the same master to the bit and the moments it rounds. 200 steps, so that rounded moments feed back.
// (Moments in 8 bits are rounded stochastically: moment8_test.)
class ElementWiseFormatTest : public FormatTest {};
TEST_P(ElementWiseFormatTest, StepsAsTheF32RuleDoes) {
  constexpr int64_t kCount = 1003;
  const auto f32_rule = make_update_rule("adamw", "fp32", DType::f32, {});
  RuleState state(*rule_, kCount), f32_state(*f32_rule, kCount);
  std::vector<float> values = normal_values(kCount, 0.02f, 5);
  rule_->initialize(stream_, tensor_of(values), state.weight, state.slots);

  const auto widened = [](const Tensor& x, int64_t i) {
    return x.dtype() == DType::bf16 ? to_float(x.data<bf16>()[i]) : x.data<float>()[i];
  };
  const auto rounded_as = [](const Tensor& like, float x) {
    return like.dtype() == DType::bf16 ? to_float(to_bf16(x)) : x;
  };
  for (int64_t step = 1; step <= 200; ++step) {
    const std::vector<float> kept = exported(*rule_, stream_, state);
    std::ranges::copy(kept, f32_state.weight.data<float>());
    for (const size_t moment : {0, 1}) {
      const Tensor& own = state.slot(*rule_, moment == 0 ? "moment1" : "moment2");
      for (int64_t i = 0; i < kCount; ++i) f32_state.slots[moment].data<float>()[i] = widened(own, i);
    }
    const std::vector<float> grad =
        normal_values(kCount, step % 3 == 0 ? 1e-3f : 1.0f, static_cast<uint32_t>(step));
    std::ranges::copy(grad, state.grad.data<float>());
    std::ranges::copy(grad, f32_state.grad.data<float>());

    const UpdateScalars scalars{.learning_rate = 1e-3f, .weight_decay = 0.1f, .step = step};
    state.update(*rule_, stream_, scalars);
    f32_state.update(*f32_rule, stream_, scalars);

    const std::vector<float> master = exported(*rule_, stream_, state);
    for (int64_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(bits_of(master[static_cast<size_t>(i)]), bits_of(f32_state.weight.data<float>()[i]))
          << "step " << step;
      for (const size_t moment : {0, 1}) {
        const Tensor& own = state.slot(*rule_, moment == 0 ? "moment1" : "moment2");
        ASSERT_EQ(bits_of(widened(own, i)),
                  bits_of(rounded_as(own, f32_state.slots[moment].data<float>()[i])));
      }
    }
    if (step == 200) {
      double moved = 0;
      for (int64_t i = 0; i < kCount; ++i)
        moved += std::abs(master[static_cast<size_t>(i)] - values[static_cast<size_t>(i)]);
      EXPECT_GT(moved / kCount, 1e-3);  // it did step
    }
  }
}

TEST_P(FormatTest, OneBadElementSpoilsNoOther) {
  constexpr int64_t kCount = 67;
  RuleState bad(*rule_, kCount), good(*rule_, kCount);
  std::vector<float> values = normal_values(kCount, 1.0f, 9);
  for (RuleState* state : {&bad, &good}) {
    rule_->initialize(stream_, tensor_of(values), state->weight, state->slots);
    std::ranges::copy(normal_values(kCount, 1.0f, 10), state->grad.data<float>());
  }
  bad.grad.data<float>()[33] = std::numeric_limits<float>::quiet_NaN();
  bad.grad.data<float>()[34] = -kInfinite;
  for (RuleState* state : {&bad, &good}) state->update(*rule_, stream_, {.learning_rate = 1e-3f});
  const std::vector<float> found = exported(*rule_, stream_, bad), expected = exported(*rule_, stream_, good);
  for (size_t i = 0; i < found.size(); ++i) {
    if (i == 33 || i == 34)
      EXPECT_TRUE(std::isnan(found[i])) << i;
    else
      EXPECT_EQ(bits_of(found[i]), bits_of(expected[i])) << i;
  }
}

TEST_P(FormatTest, BrokenContractsAreNamed) {
  RuleState state(*rule_, 8);
  const auto update = [&](Tensor weight, Tensor grad, std::span<const Tensor> slots, int64_t step) {
    return message_of<ContractError>([&] {
      rule_->update(stream_, {.weight = weight, .grad = grad, .state = slots, .scalars = {.step = step}});
    });
  };
  const auto allocator = make_cpu_allocator();
  const std::span<const Tensor> all(state.slots);
  const DType slot_dtype = rule_->slots()[0].dtype;

  EXPECT_THAT(update({}, state.grad, all, 1), HasSubstr("weight is absent"));
  EXPECT_THAT(update(state.weight, {}, all, 1), HasSubstr("gradient is absent"));
  EXPECT_THAT(update(make_tensor(*allocator, DType::i32, {8}, "x"), state.grad, all, 1),
              HasSubstr("weight is i32, expected " + std::string(name(GetParam().compute))));
  EXPECT_THAT(update(state.weight, make_tensor(*allocator, DType::bf16, {8}, "x"), all, 1),
              HasSubstr("gradient is bf16, expected f32"));
  EXPECT_THAT(update(state.weight, state.grad.slice(0, 0, 7), all, 1),
              HasSubstr("gradient has 7 elements, expected 8"));
  EXPECT_THAT(update(state.weight, make_tensor(*allocator, DType::f32, {8, 2}, "x").slice(1, 0, 1), all, 1),
              HasSubstr("strided"));
  EXPECT_THAT(update(state.weight, state.grad, all.first(1), 1),
              HasSubstr("was given 1 state slots, expected"));
  std::vector<Tensor> short_slot(all.begin(), all.end());
  short_slot[0] = make_tensor(*allocator, slot_dtype, {9}, "x");
  EXPECT_THAT(update(state.weight, state.grad, short_slot, 1),
              HasSubstr(rule_->slots()[0].name + " has 9 elements, expected 8"));
  EXPECT_THAT(update(state.weight, state.grad, all, 0), HasSubstr("step is 0, the first one is 1"));
  EXPECT_THAT(update({}, state.grad, all, 1),
              HasSubstr("/" + std::string(GetParam().state) + "] weight is absent"));
}

TEST_P(FormatTest, NoElementsIsNoWork) {
  RuleState state(*rule_, 0);
  state.update(*rule_, stream_, {.learning_rate = 1e-3f});
  EXPECT_TRUE(exported(*rule_, stream_, state).empty());
}

std::vector<OptimizerRow> element_wise_rows() {
  std::vector<OptimizerRow> rows;
  for (const OptimizerRow& row : optimizer_table())
    if (block_of(row.make({})->slots()) == 1) rows.push_back(row);
  return rows;
}
INSTANTIATE_TEST_SUITE_P(Table, ElementWiseFormatTest, testing::ValuesIn(element_wise_rows()),
                         [](const auto& info) { return row_name(info.param); });
INSTANTIATE_TEST_SUITE_P(Table, FormatTest,
                         testing::ValuesIn(optimizer_table().begin(), optimizer_table().end()),
                         [](const auto& info) { return row_name(info.param); });

TEST(OptimizerTable, WrongChoicesAreToldTheRightOnes) {
  const struct {
    const char* type;
    const char* state;
    DType compute;
    AdamwOptions options;
    std::vector<std::string> parts;
  } cases[] = {
      {"adam", "fp32", DType::f32, {}, {"no such optimizer", "optimizer.type", "adam", "adamw"}},
      {"adamw",
       "fp16",
       DType::bf16,
       {},
       {"adamw has no such state format", "precision.state", "fp16", "fp32 or split or split8 or sr8"}},
      {"adamw",
       "split",
       DType::f32,
       {},
       {"state = \"split\" with compute = \"fp32\"", "compute = bf16", "\"fp32\""}},
      {"adamw", "fp32", DType::bf16, {.beta1 = 1.0}, {"optimizer.betas", "beta1 = 1", "below 1"}},
      {"adamw", "fp32", DType::bf16, {.beta2 = -0.1}, {"optimizer.betas", "beta2 = -0.1"}},
      {"adamw", "fp32", DType::bf16, {.beta2 = std::nan("")}, {"optimizer.betas", "beta2 = nan"}},
      {"adamw", "fp32", DType::bf16, {.eps = 0}, {"optimizer.eps", "1.2e-38"}},
      {"adamw", "fp32", DType::bf16, {.eps = 1e-60}, {"optimizer.eps", "1e-60"}},
  };
  for (const auto& c : cases) {
    try {
      make_update_rule(c.type, c.state, c.compute, c.options);
      ADD_FAILURE() << c.type << " " << c.state << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::usage);
      for (const std::string& part : c.parts) EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }
}

TEST(ParameterGroup, MatricesDecayNormsAndBiasesDoNot) {
  EXPECT_EQ(weight_decay_of({.role = Role::linear}, 0.1f), 0.1f);
  EXPECT_EQ(weight_decay_of({.role = Role::embedding}, 0.1f), 0.1f);
  EXPECT_EQ(weight_decay_of({.role = Role::norm}, 0.1f), 0.0f);
  EXPECT_EQ(weight_decay_of({.role = Role::bias}, 0.1f), 0.0f);
}

}  // namespace
}  // namespace strata::test
