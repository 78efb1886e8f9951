// SPDX-License-Identifier: Apache-2.0
// State in 8 bits: what codes mean, that rounding has the right mean, that all instruction sets do what one
// element after the other does, and that this is AdamW in double precision.
#include "optim/moment8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "optim/adamw.h"
#include "optim/cpu/kernels/adamw_kernels.h"
#include "tests/optim/moment8_reference.h"
#include "tests/optim/rule_fixture.h"

namespace strata::test {
namespace {

// From the definition, in double precision.
double number1(int code, int top) {
  const int magnitude = code & 0x7F;
  if (magnitude == 0) return code == 0 ? 0 : std::nan("");
  const double size = std::ldexp(1 + magnitude % 8 / 8.0, magnitude / 8 - 15 + top - 127);
  return code < 0x80 ? size : -size;
}
double number2(int code, int top) {
  if (code == 0 || code == 0xFF) return code == 0 ? 0 : std::nan("");
  return std::ldexp(1 + code % 8 / 8.0, code / 8 - 31 + top - 127);
}

TEST(Moment8, CodesAreWhatIsWritten) {
  for (const int top : {32, 33, 100, 127, 200, 254})
    for (int code = 0; code < 256; ++code) {
      const auto byte = static_cast<uint8_t>(code), block = static_cast<uint8_t>(top);
      const float one = moment8::decode1(byte, block), two = moment8::decode2(byte, block);
      if (std::isnan(number1(code, top)))
        EXPECT_EQ(bits_of(one), 0x7FC00000u);
      else
        EXPECT_EQ(static_cast<double>(one), number1(code, top)) << code << " " << top;
      if (std::isnan(number2(code, top)))
        EXPECT_EQ(bits_of(two), 0x7FC00000u);
      else
        EXPECT_EQ(static_cast<double>(two), number2(code, top)) << code << " " << top;
      // Whatever the random bits; and a bf16 keeps it.
      for (const uint32_t random : {0u, 1u, 0x8000u, 0xFFFFu}) {
        EXPECT_EQ(moment8::encode1(one, block, random), byte);
        EXPECT_EQ(moment8::encode2(two, block, random), byte);
      }
      if (!std::isnan(one)) {
        EXPECT_EQ(to_float(to_bf16(one)), one);
      }
      if (!std::isnan(two)) {
        EXPECT_EQ(to_float(to_bf16(two)), two);
      }
    }
  EXPECT_EQ(bits_of(moment8::decode1(0, 0)), 0u);  // of memory that was never written
  EXPECT_EQ(bits_of(moment8::decode2(0, 0)), 0u);
}

// Every code is one of the two neighbours; the nearest one for `kNearest`; a block's largest number has its
// code.
TEST(Moment8, RoundsToNeighbours) {
  std::set<double> one, two;
  constexpr int kTop = 120;
  for (int code = 0; code < 256; ++code) {
    if (const double x = number1(code, kTop); !std::isnan(x)) one.insert(x);
    if (const double x = number2(code, kTop); !std::isnan(x)) two.insert(x);
  }
  std::mt19937 random(1);
  const auto check_one = [&](const std::set<double>& numbers, float x, float found, uint32_t bits,
                             bool floor) {
    auto above = numbers.lower_bound(x);
    const double high = *above, low = high == x ? x : *std::prev(above);
    ASSERT_TRUE(found == low || found == high) << x << " became " << found;
    if (floor && low == 0 && high != 0) {
      ASSERT_EQ(found, high) << "a second moment became 0";
    } else if (bits == moment8::kNearest && (x - low) * 1.0001 < high - x) {
      ASSERT_EQ(found, low) << x;
    } else if (bits == moment8::kNearest && (high - x) * 1.0001 < x - low) {
      ASSERT_EQ(found, high) << x;
    }
  };
  for (int i = 0; i < 200000; ++i) {
    const double size =
        std::ldexp(1 + random() % 4096 / 4096.0, kTop - 127 - static_cast<int>(random() % 40));
    const auto x = static_cast<float>(std::min(size, number1(127, kTop)));
    const uint32_t bits = i % 2 == 0 ? moment8::kNearest : random() & 0xFFFFu;
    check_one(one, x, moment8::decode1(moment8::encode1(x, kTop, bits), kTop), bits, false);
    check_one(one, -x, moment8::decode1(moment8::encode1(-x, kTop, bits), kTop), bits, false);
    const auto y = static_cast<float>(std::min(size, number2(254, kTop)));
    check_one(two, y, moment8::decode2(moment8::encode2(y, kTop, bits), kTop), bits, true);
    // Of a block of which x is the largest.
    const uint8_t top1 = moment8::top1(moment8::finite_magnitude(x)), top2 = moment8::top2(bits_of(x));
    ASSERT_LE(std::abs(moment8::decode1(moment8::encode1(x, top1, bits), top1) / x - 1), 0.125f);
    ASSERT_LE(std::abs(moment8::decode2(moment8::encode2(x, top2, bits), top2) / x - 1), 0.125f);
  }
}

TEST(Moment8, SpecialValuesKeepToThemselves) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf(""),
              most = std::numeric_limits<float>::max();
  for (const float x : {inf, -inf, nan}) {
    EXPECT_EQ(moment8::finite_magnitude(x), 0u);
    for (const uint32_t random : {0u, 0xFFFFu}) {
      EXPECT_TRUE(std::isnan(moment8::decode1(moment8::encode1(x, 127, random), 127)));
      EXPECT_TRUE(std::isnan(moment8::decode2(moment8::encode2(x, 127, random), 127)));
    }
  }
  EXPECT_EQ(moment8::encode1(-0.0f, 16, 0xFFFF), 0);
  EXPECT_EQ(moment8::encode2(0.0f, 32, 0xFFFF), 0);
  EXPECT_EQ(moment8::top1(moment8::finite_magnitude(most)), 254);
  EXPECT_EQ(moment8::encode1(most, 254, 0xFFFF), 127);
  EXPECT_EQ(moment8::encode2(most, 254, 0xFFFF), 254);
  EXPECT_EQ(moment8::encode2(1e-45f, 32, 0), 1);  // never 0
}

// The mean of what is kept, over 2^20 elements that all step to the same, is the number, within 3 sigma: of
// both moments, and of a weight without a master.
TEST(StochasticState, HasTheRightMean) {
  constexpr int64_t kCount = int64_t{1} << 20;
  WorkerPool pool(2);
  CpuStream stream(pool);
  const auto within = [&](const std::vector<float>& kept, double number, std::string_view what) {
    double sum = 0, low = kept[1], high = kept[1];
    int64_t count = 0;
    for (int64_t i = 0; i < kCount; ++i) {
      if (i % kMomentBlock == 0) continue;  // the large one
      const double x = kept[static_cast<size_t>(i)];
      sum += x, ++count;
      low = std::min(low, x), high = std::max(high, x);
    }
    ASSERT_LE(low, number) << what;
    ASSERT_GE(high, number) << what;
    const double chance = high > low ? (number - low) / (high - low) : 0;
    const double sigma = (high - low) * std::sqrt(chance * (1 - chance) / static_cast<double>(count));
    EXPECT_LE(std::abs(sum / static_cast<double>(count) - number), 3 * sigma + 1e-7 * std::abs(number))
        << what;
  };
  for (const char* format : {"split8", "sr8"})
    for (const float small :
         {0.7f, 0.013f, 3e-5f, 4e-6f}) {  // the last ones: under the smallest code, in part
      const auto rule = make_update_rule("adamw", format, DType::bf16, {.beta1 = 0, .beta2 = 0});
      RuleState state(*rule, kCount);
      std::vector<float> values(kCount, 0.0123f);
      rule->initialize(stream, tensor_of(values), state.weight, state.slots);
      for (int64_t i = 0; i < kCount; ++i) state.grad.data<float>()[i] = i % kMomentBlock == 0 ? 1.0f : small;
      const float before = exported(*rule, stream, state)[1];
      state.update(*rule, stream, {.learning_rate = 1e-5f, .key = {.seed = 7, .stream = 11, .step = 3}});
      stream.synchronize();
      within(numbers_of(*rule, state, "moment1"), small, "moment 1");
      if (small > 2.4e-5f)  // (below, a second moment has the smallest code)
        within(numbers_of(*rule, state, "moment2"), static_cast<double>(small * small), "moment 2");
      const AdamwElement stepped = adamw_step(
          {before, 0, 0}, small, adamw_coefficients({.beta1 = 0, .beta2 = 0}, {.learning_rate = 1e-5f}));
      within(exported(*rule, stream, state), stepped.value, "weight");
    }
}

const IsaKernels kLevels[] = {{Isa::portable, cpu::portable::adamw_kernels},
                              {Isa::avx2, cpu::avx2::adamw_kernels},
                              {Isa::avx512, cpu::avx512::adamw_kernels},
                              {Isa::avx512_bf16, cpu::avx512_bf16::adamw_kernels}};

template <typename State>
class BlockState : public testing::Test {};
using States = testing::Types<Split8State, Sr8State>;
TYPED_TEST_SUITE(BlockState, States);

template <typename State>
cpu::AdamwLoop<State> loop_of(const cpu::AdamwKernels& kernels) {
  if constexpr (requires(State s) { s.master_low; })
    return kernels.split8;
  else
    return kernels.sr8;
}

TYPED_TEST(BlockState, EveryInstructionSetStepsAsOneElementAfterTheOther) {
  AdamwCoefficients c = adamw_coefficients(
      {}, {.learning_rate = 3e-4f, .weight_decay = 0.1f, .gradient_scale = 0.37f, .step = 7});
  c.key = {.seed = 5, .stream = 0x123456789abcdef0u, .step = 9};
  for (const int64_t n : {1, 7, 127, 128, 129, 300, 5000})
    for (const int64_t begin : {int64_t{0}, n > 128 ? int64_t{128} : int64_t{0}}) {
      c.first_index = static_cast<uint64_t>(n) * kMomentBlock;
      std::mt19937 random(static_cast<uint32_t>(n));
      const BlockArrays initial(n, random);
      std::vector<float> grad = normal_values(n, 0.1f, static_cast<uint32_t>(n));
      if (n > 3) grad[1] = std::nanf(""), grad[2] = -std::numeric_limits<float>::infinity(), grad[3] = 0;
      BlockArrays expected = initial;
      step_blocks(expected.state<TypeParam>(), grad, begin, c);
      for (const IsaKernels& level : kLevels) {
        if (level.isa > active_isa()) continue;
        BlockArrays found = initial;
        loop_of<TypeParam>(level.kernels)(found.state<TypeParam>(), grad.data(), begin, n, c);
        ASSERT_TRUE(found.bits() == expected.bits()) << name(level.isa) << " n " << n << " begin " << begin;
      }
    }
}

// Each step against the formula in double precision, from the state that is kept.
TYPED_TEST(BlockState, StepsAsDoublePrecisionDoes) {
  constexpr int64_t kCount = 1000;
  const AdamwOptions options{};
  std::mt19937 random(3);
  BlockArrays arrays(kCount, random);
  for (uint8_t& code : arrays.code1) code = code == 0x80 ? 0 : code;
  for (uint8_t& code : arrays.code2) code = code == 0xFF ? 1 : code;
  for (bf16& w : arrays.weight) w = to_bf16(static_cast<float>(random() % 1000) / 500 - 1);
  const TypeParam state = arrays.state<TypeParam>();
  for (int64_t step = 1; step <= 30; ++step) {
    const UpdateScalars scalars{.learning_rate = 1e-3f,
                                .weight_decay = 0.1f,
                                .gradient_scale = 0.5f,
                                .step = step,
                                .key = {.step = 1}};
    const std::vector<float> grad =
        normal_values(kCount, step % 3 == 0 ? 1e-3f : 1.0f, static_cast<uint32_t>(step));
    std::vector<double> value, moment1, moment2;
    for (int64_t i = 0; i < kCount; ++i) {
      const double g = 0.5 * static_cast<double>(grad[static_cast<size_t>(i)]);
      const double m = number1(arrays.code1[static_cast<size_t>(i)],
                               arrays.top1[static_cast<size_t>(i / 128)]),
                   v = number2(arrays.code2[static_cast<size_t>(i)],
                               arrays.top2[static_cast<size_t>(i / 128)]);
      moment1.push_back(options.beta1 * m + (1 - options.beta1) * g);
      moment2.push_back(options.beta2 * v + (1 - options.beta2) * g * g);
      const double bias1 = 1 - std::pow(options.beta1, step), bias2 = 1 - std::pow(options.beta2, step);
      const double w = static_cast<double>(state.value(i));
      value.push_back(w - 1e-3 * 0.1 * w -
                      1e-3 / bias1 * moment1.back() / (std::sqrt(moment2.back() / bias2) + options.eps));
    }
    std::vector<AdamwElement> seen;
    step_blocks(state, grad, 0, adamw_coefficients(options, scalars), &seen);
    for (size_t i = 0; i < seen.size(); ++i) {
      ASSERT_NEAR(seen[i].moment1, moment1[i], 3e-7 * (std::abs(moment1[i]) + std::abs(grad[i])));
      ASSERT_NEAR(seen[i].moment2, moment2[i], 1e-6 * moment2[i] + 1e-40);
      ASSERT_NEAR(seen[i].value, value[i], 3e-7 * (1 + std::abs(value[i])));
      const auto at = static_cast<int64_t>(i);
      // And what is kept is next to it.
      ASSERT_LE(std::abs(moment8::decode1(arrays.code1[i], arrays.top1[i / 128]) - seen[i].moment1),
                0.126 * std::abs(seen[i].moment1) + std::ldexp(1.0, arrays.top1[i / 128] - 127 - 14));
      ASSERT_NEAR(state.value(at), seen[i].value, std::abs(seen[i].value) / 128);
    }
  }
}

}  // namespace
}  // namespace strata::test
