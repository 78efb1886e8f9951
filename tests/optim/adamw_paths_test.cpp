// SPDX-License-Identifier: Apache-2.0
// Nothing but the numbers decides the bits: not the instruction set, the threads, the spans, nor the kind of
// stream.
#include <gtest/gtest.h>

#include "optim/adamw.h"
#include "optim/cpu/kernels/adamw_kernels.h"
#include "tests/optim/rule_fixture.h"

namespace strata::test {
namespace {

// ---- instruction sets
// -----------------------------------------------------------------------------------------

std::vector<IsaKernels> available() {
  std::vector<IsaKernels> found;
  for (const IsaKernels& level :
       {IsaKernels{Isa::portable, cpu::portable::adamw_kernels},
        IsaKernels{Isa::avx2, cpu::avx2::adamw_kernels}, IsaKernels{Isa::avx512, cpu::avx512::adamw_kernels},
        IsaKernels{Isa::avx512_bf16, cpu::avx512_bf16::adamw_kernels}})
    if (level.isa <= active_isa()) found.push_back(level);
  return found;
}

// Any bits at all: NaN of every kind, Inf, denormals, and a good part of ordinary numbers.
template <typename T>
std::vector<T> random_bits(int64_t n, std::mt19937& random) {
  std::vector<T> values(static_cast<size_t>(n));
  for (T& x : values) {
    uint32_t bits = static_cast<uint32_t>(random());
    if (random() % 2 == 0) bits = (bits & 0x83FFFFFFu) | 0x3C000000u;  // magnitude 2^-7 to 2^0
    if constexpr (sizeof(T) == 4)
      x = std::bit_cast<T>(bits);
    else
      x = std::bit_cast<T>(static_cast<uint16_t>(bits >> 16));
  }
  return values;
}

template <typename T>
std::string bytes_of(const std::vector<T>& v) {
  return {reinterpret_cast<const char*>(v.data()), v.size() * sizeof(T)};
}

// The arrays behind each state struct, filled with random bits.
struct Fp32Arrays {
  std::vector<float> weight, moment1, moment2;
  Fp32Arrays(int64_t n, std::mt19937& random)
      : weight(random_bits<float>(n, random)),
        moment1(random_bits<float>(n, random)),
        moment2(random_bits<float>(n, random)) {}
  Fp32State state() { return {weight.data(), moment1.data(), moment2.data()}; }
  std::string bits() const { return bytes_of(weight) + bytes_of(moment1) + bytes_of(moment2); }
  static auto loop(const cpu::AdamwKernels& k) { return k.fp32; }
};
struct MasterArrays {
  std::vector<bf16> weight;
  std::vector<float> master, moment1, moment2;
  MasterArrays(int64_t n, std::mt19937& random)
      : weight(random_bits<bf16>(n, random)),
        master(random_bits<float>(n, random)),
        moment1(random_bits<float>(n, random)),
        moment2(random_bits<float>(n, random)) {}
  MasterState state() { return {weight.data(), master.data(), moment1.data(), moment2.data()}; }
  std::string bits() const {
    return bytes_of(weight) + bytes_of(master) + bytes_of(moment1) + bytes_of(moment2);
  }
  static auto loop(const cpu::AdamwKernels& k) { return k.master; }
};
struct SplitArrays {
  std::vector<bf16> weight;
  std::vector<int16_t> low;
  std::vector<bf16> moment1, moment2;
  SplitArrays(int64_t n, std::mt19937& random)
      : weight(random_bits<bf16>(n, random)),
        low(random_bits<int16_t>(n, random)),
        moment1(random_bits<bf16>(n, random)),
        moment2(random_bits<bf16>(n, random)) {}
  SplitState state() { return {weight.data(), low.data(), moment1.data(), moment2.data()}; }
  std::string bits() const {
    return bytes_of(weight) + bytes_of(low) + bytes_of(moment1) + bytes_of(moment2);
  }
  static auto loop(const cpu::AdamwKernels& k) { return k.split; }
};

template <typename Arrays>
class IsaTest : public testing::Test {};
using AllArrays = testing::Types<Fp32Arrays, MasterArrays, SplitArrays>;
TYPED_TEST_SUITE(IsaTest, AllArrays);

TYPED_TEST(IsaTest, EveryInstructionSetGivesTheBitsOfTheScalarFormula) {
  const AdamwCoefficients coefficients = adamw_coefficients(
      {}, {.learning_rate = 3e-4f, .weight_decay = 0.1f, .gradient_scale = 0.37f, .step = 7});
  // Odd ends around every vector width, and beginnings that are not aligned.
  for (const int64_t n : {1, 2, 7, 8, 15, 16, 17, 31, 33, 63, 65, 127, 129, 1000, 4099, 50000}) {
    for (const int64_t begin : {int64_t{0}, std::min<int64_t>(n - 1, 3)}) {
      std::mt19937 random(static_cast<uint32_t>(n));
      const TypeParam initial(n, random);
      const std::vector<float> grad = random_bits<float>(n, random);

      TypeParam expected = initial;
      const auto state = expected.state();
      for (int64_t i = begin; i < n; ++i)
        state.store(i, adamw_step(state.load(i), grad[static_cast<size_t>(i)], coefficients));

      for (const IsaKernels& level : available()) {
        TypeParam found = initial;
        TypeParam::loop(level.kernels)(found.state(), grad.data(), begin, n, coefficients);
        ASSERT_TRUE(found.bits() == expected.bits()) << name(level.isa) << " n " << n << " begin " << begin;
      }
    }
  }
}

TEST(IsaTest, PortableIsAlwaysThere) { EXPECT_EQ(available().front().isa, Isa::portable); }

// ---- threads, spans, streams, for every row of the table
// ----------------------------------------------------------

class PathsTest : public testing::TestWithParam<OptimizerRow> {
 protected:
  // More than three chunks of work and an odd tail.
  static constexpr int64_t kCount = 3 * 65536 + 17;

  // Three steps from the same start; run(state, step) does one.
  template <typename Run>
  std::string bits_after(const UpdateRule& rule, Run run) {
    WorkerPool pool(1);
    CpuStream stream(pool);
    RuleState state(rule, kCount);
    std::vector<float> values = normal_values(kCount, 0.02f, 3);
    rule.initialize(stream, tensor_of(values), state.weight, state.slots);
    for (int64_t step = 1; step <= 3; ++step) {
      std::ranges::copy(normal_values(kCount, 1.0f, static_cast<uint32_t>(step)), state.grad.data<float>());
      run(state,
          UpdateScalars{.learning_rate = 1e-3f, .weight_decay = 0.1f, .gradient_scale = 0.5f, .step = step});
    }
    return state.bits();
  }
};

TEST_P(PathsTest, SameBits) {
  const auto rule = GetParam().make({});
  const auto with = [&](int threads, CpuStream::Mode mode, std::vector<int64_t> cuts) {
    WorkerPool pool(threads);
    CpuStream stream(pool, mode);
    cuts.push_back(kCount);
    return bits_after(*rule, [&](RuleState& state, const UpdateScalars& scalars) {
      int64_t begin = 0;
      for (const int64_t end : cuts) {
        state.update(*rule, stream, scalars, begin, end - begin);
        begin = end;
      }
      stream.synchronize();  // an asynchronous stream still reads the gradients
    });
  };
  using Mode = CpuStream::Mode;
  const std::string expected = with(1, Mode::inline_, {});
  EXPECT_TRUE(with(2, Mode::inline_, {}) == expected) << "2 threads";
  EXPECT_TRUE(with(3, Mode::inline_, {}) == expected) << "3 threads";
  EXPECT_TRUE(with(2, Mode::threaded, {}) == expected) << "a stream with a thread of its own";
  const std::vector<int64_t> anywhere{1, 65536, 65543, 150001}, at_blocks{128, 65536, 65664, 150016};
  EXPECT_TRUE(with(2, Mode::inline_, block_of(rule->slots()) == 1 ? anywhere : at_blocks) == expected)
      << "in spans";
}

INSTANTIATE_TEST_SUITE_P(Table, PathsTest,
                         testing::ValuesIn(optimizer_table().begin(), optimizer_table().end()),
                         [](const auto& info) { return row_name(info.param); });

}  // namespace
}  // namespace strata::test
