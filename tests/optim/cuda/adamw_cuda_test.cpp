// SPDX-License-Identifier: Apache-2.0
// The GPU's passes over every state format give the bits of the scalar formula, whatever the bits they start from:
// NaN of every kind, Inf, denormals. Aligned arrays go through vectors, others element by element.
#include "optim/cuda/adamw_cuda.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <random>

#include "optim/adamw.h"
#include "optim/optimizer_table.h"
#include "optim/state_fp32.h"
#include "optim/state_master.h"
#include "optim/state_split.h"
#include "tests/optim/moment8_reference.h"
#include "tests/optim/rule_fixture.h"
#include "tests/support/cuda/cuda_device.h"

namespace strata::test {
namespace {

using Bytes = std::vector<std::byte>;

// Any bits at all, a good part of them ordinary numbers.
Bytes random_bytes(DType dtype, int64_t n, std::mt19937& random) {
  Bytes bytes(static_cast<size_t>(n * size_of(dtype)));
  for (int64_t i = 0; i < n; ++i) {
    auto bits = static_cast<uint32_t>(random());
    if (random() % 2 == 0) bits = (bits & 0x83FFFFFFu) | 0x3C000000u;  // magnitude 2^-7 to 2^0
    if (size_of(dtype) == 2) bits >>= 16;
    std::memcpy(bytes.data() + i * size_of(dtype), &bits, static_cast<size_t>(size_of(dtype)));
  }
  return bytes;
}

// The arrays of one state format: the weight, then the slots.
template <typename State>
std::vector<DType> array_types() {
  std::vector<DType> types{State::kWeight};
  for (const StateSlot& slot : State::slots()) types.push_back(slot.dtype);
  return types;
}

template <typename State>
State state_of(const std::vector<Tensor>& arrays) {
  return State::bind(arrays[0], std::span(arrays).subspan(1));
}

std::vector<Tensor> on_host(std::vector<Bytes>& bytes, const std::vector<DType>& types, int64_t n) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < types.size(); ++i) tensors.push_back(Tensor::borrow(bytes[i].data(), types[i], {n}));
  return tensors;
}

// The same on the device, each `shift` elements behind an aligned address.
class DeviceArrays {
 public:
  DeviceArrays(TestMemory& memory, int64_t shift) : memory_(memory), shift_(shift) {}

  Tensor add(DType dtype, const Bytes& bytes) {
    const int64_t n = static_cast<int64_t>(bytes.size()) / size_of(dtype);
    const Tensor array = memory_.allocate(dtype, n + shift_).slice(0, shift_, n);
    memory_.write(array.raw(), bytes.data(), array.bytes());
    return array;
  }
  Bytes read(const Tensor& array) const {
    Bytes bytes(static_cast<size_t>(array.bytes()));
    memory_.read(bytes.data(), array.raw(), array.bytes());
    return bytes;
  }

 private:
  TestMemory& memory_;
  int64_t shift_;
};

template <typename State>
class CudaAdamw : public testing::Test {};
using States = testing::Types<Fp32State, MasterState, SplitState>;
TYPED_TEST_SUITE(CudaAdamw, States);

TYPED_TEST(CudaAdamw, GivesTheBitsOfTheScalarFormula) {
  using State = TypeParam;
  const AdamwCoefficients coefficients = adamw_coefficients(
      {}, {.learning_rate = 3e-4f, .weight_decay = 0.1f, .gradient_scale = 0.37f, .step = 7});
  const std::vector<DType> types = array_types<State>();
  for_schedules([&] {
    for (const int64_t n : {1, 3, 4, 5, 8, 1023, 2048, 2052, 5003})
      for (const int64_t shift : {0, 1}) {
        std::mt19937 random(static_cast<uint32_t>(n));
        std::vector<Bytes> arrays;
        for (const DType type : types) arrays.push_back(random_bytes(type, n, random));
        Bytes grad = random_bytes(DType::f32, n, random);

        const auto memory = make_cuda_test_memory();
        DeviceArrays device(*memory, shift);
        std::vector<Tensor> tensors;
        for (size_t i = 0; i < types.size(); ++i) tensors.push_back(device.add(types[i], arrays[i]));
        const Tensor device_grad = device.add(DType::f32, grad);
        const auto stream = make_cuda_test_stream();
        cuda::adamw_update(*stream, state_of<State>(tensors), device_grad.data<float>(), n, coefficients);
        const Tensor values = device.add(DType::f32, grad);
        cuda::export_state(*stream, state_of<State>(tensors), values.data<float>(), n);
        stream->synchronize();

        const std::vector<Tensor> host = on_host(arrays, types, n);
        const State state = state_of<State>(host);
        std::vector<float> masters;
        for (int64_t i = 0; i < n; ++i) {
          float g;
          std::memcpy(&g, grad.data() + i * 4, 4);
          state.store(i, adamw_step(state.load(i), g, coefficients));
          masters.push_back(state.load(i).value);
        }
        for (size_t i = 0; i < types.size(); ++i)
          ASSERT_TRUE(device.read(tensors[i]) == arrays[i])
              << State::kName << " array " << i << " n " << n << " shift " << shift;
        ASSERT_EQ(std::memcmp(device.read(values).data(), masters.data(), masters.size() * 4), 0) << "export";

        cuda::initialize_state(*stream, state_of<State>(tensors), device_grad.data<float>(), n);
        stream->synchronize();
        for (int64_t i = 0; i < n; ++i) {
          float g;
          std::memcpy(&g, grad.data() + i * 4, 4);
          state.store(i, {.value = canonical_nan(g)});
        }
        for (size_t i = 0; i < types.size(); ++i)
          ASSERT_TRUE(device.read(tensors[i]) == arrays[i]) << State::kName << " initial array " << i;
      }
  });
}

// Through the rule itself, on both devices: three steps from the same start.
class CudaRules : public testing::TestWithParam<OptimizerRow> {};

TEST_P(CudaRules, SameBitsAsOnTheCpu) {
  const auto rule = GetParam().make({});
  constexpr int64_t kCount = 3001;
  std::vector<float> values = normal_values(kCount, 0.02f, 3);
  WorkerPool pool(1);
  CpuStream cpu(pool);
  RuleState expected(*rule, kCount);
  rule->initialize(cpu, tensor_of(values), expected.weight, expected.slots);

  const auto memory = make_cuda_test_memory();
  const auto stream = make_cuda_test_stream();
  const Tensor device_values = memory->allocate(DType::f32, kCount), grad = memory->allocate(DType::f32, kCount);
  memory->write(device_values.raw(), values.data(), device_values.bytes());
  const Tensor weight = memory->allocate(rule->weight_dtype(), kCount);
  std::vector<Tensor> slots;
  for (const StateSlot& slot : rule->slots()) slots.push_back(memory->allocate(slot.dtype, slot.entries(kCount)));
  rule->initialize(*stream, device_values, weight, slots);
  for (int64_t step = 1; step <= 3; ++step) {
    const std::vector<float> gradients = normal_values(kCount, 1.0f, static_cast<uint32_t>(step));
    const UpdateScalars scalars{
        .learning_rate = 1e-3f, .weight_decay = 0.1f, .gradient_scale = 0.5f, .step = step};
    std::ranges::copy(gradients, expected.grad.data<float>());
    expected.update(*rule, cpu, scalars);
    stream->synchronize();
    memory->write(grad.raw(), gradients.data(), grad.bytes());
    rule->update(*stream, {.weight = weight, .grad = grad, .state = slots, .scalars = scalars});
  }
  rule->export_values(*stream, weight, slots, device_values);
  stream->synchronize();

  std::string bits;
  const auto append = [&](const Tensor& x) {
    const size_t begin = bits.size();
    bits.resize(begin + static_cast<size_t>(x.bytes()));
    memory->read(bits.data() + begin, x.raw(), x.bytes());
  };
  append(weight);
  for (const Tensor& slot : slots) append(slot);
  EXPECT_TRUE(bits == expected.bits());
  const std::vector<float> masters = exported(*rule, cpu, expected);
  std::vector<float> got(masters.size());
  memory->read(got.data(), device_values.raw(), device_values.bytes());
  EXPECT_EQ(std::memcmp(got.data(), masters.data(), masters.size() * sizeof(float)), 0);
}

INSTANTIATE_TEST_SUITE_P(Table, CudaRules,
                         testing::ValuesIn(optimizer_table().begin(), optimizer_table().end()),
                         [](const auto& info) { return row_name(info.param); });

template <typename State>
class CudaBlockState : public testing::Test {};
using BlockStates = testing::Types<Split8State, Sr8State>;
TYPED_TEST_SUITE(CudaBlockState, BlockStates);

TYPED_TEST(CudaBlockState, GivesTheBitsOfTheScalarFormula) {
  using State = TypeParam;
  AdamwCoefficients coefficients = adamw_coefficients(
      {}, {.learning_rate = 3e-4f, .weight_decay = 0.1f, .gradient_scale = 0.37f, .step = 7});
  coefficients.key = {.seed = 5, .stream = 0x123456789abcdef0u, .step = 9};
  for_schedules([&] {
    for (const int64_t n : {1, 31, 127, 128, 129, 1000, 5003}) {
      coefficients.first_index = static_cast<uint64_t>(n) * kMomentBlock;
      std::mt19937 random(static_cast<uint32_t>(n));
      BlockArrays arrays(n, random);
      std::vector<float> grad = normal_values(n, 0.1f, static_cast<uint32_t>(n));
      if (n > 3) grad[1] = std::nanf(""), grad[2] = -std::numeric_limits<float>::infinity(), grad[3] = 0;

      const auto memory = make_cuda_test_memory();
      DeviceArrays device(*memory, 0);
      const auto bytes_of = [](const auto& values) {
        const auto bytes = std::as_bytes(std::span(values));
        return Bytes(bytes.begin(), bytes.end());
      };
      const Tensor weight = device.add(DType::bf16, bytes_of(arrays.weight)),
                   low = device.add(DType::i16, bytes_of(arrays.low)),
                   code1 = device.add(DType::u8, bytes_of(arrays.code1)),
                   top1 = device.add(DType::u8, bytes_of(arrays.top1)),
                   code2 = device.add(DType::u8, bytes_of(arrays.code2)),
                   top2 = device.add(DType::u8, bytes_of(arrays.top2)),
                   gradient = device.add(DType::f32, bytes_of(grad));
      std::vector<Tensor> slots{code1, top1, code2, top2};
      if (State::slots().size() > slots.size()) slots.insert(slots.begin(), low);
      const auto stream = make_cuda_test_stream();
      cuda::adamw_update(*stream, State::bind(weight, slots), gradient.data<float>(), n, coefficients);
      const Tensor values = device.add(DType::f32, bytes_of(grad));
      cuda::export_state(*stream, State::bind(weight, slots), values.data<float>(), n);
      stream->synchronize();

      const State state = arrays.template state<State>();
      step_blocks(state, grad, 0, coefficients);
      std::vector<float> masters;
      for (int64_t i = 0; i < n; ++i) masters.push_back(state.value(i));
      ASSERT_TRUE(device.read(weight) == bytes_of(arrays.weight)) << State::kName << " n " << n;
      ASSERT_TRUE(device.read(low) == bytes_of(arrays.low)) << State::kName << " n " << n;
      ASSERT_TRUE(device.read(code1) == bytes_of(arrays.code1)) << State::kName << " n " << n;
      ASSERT_TRUE(device.read(top1) == bytes_of(arrays.top1)) << State::kName << " n " << n;
      ASSERT_TRUE(device.read(code2) == bytes_of(arrays.code2)) << State::kName << " n " << n;
      ASSERT_TRUE(device.read(top2) == bytes_of(arrays.top2)) << State::kName << " n " << n;
      ASSERT_TRUE(device.read(values) == bytes_of(masters)) << State::kName << " n " << n;

      cuda::initialize_state(*stream, State::bind(weight, slots), gradient.data<float>(), n);
      stream->synchronize();
      for (const Tensor& cleared : {code1, top1, code2, top2})
        ASSERT_TRUE(device.read(cleared) == Bytes(static_cast<size_t>(cleared.bytes()))) << State::kName;
    }
  });
}

}  // namespace
}  // namespace strata::test
