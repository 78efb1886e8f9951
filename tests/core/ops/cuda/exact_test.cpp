// SPDX-License-Identifier: Apache-2.0
// What must have the bits of the CPU: exact sums, sums of losses, initial values.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/device/devices.h"
#include "core/ops/elementwise.h"
#include "core/ops/loss_sum.h"
#include "tests/support/cuda/cuda_device.h"

namespace strata {
namespace {

bool same(const BinnedSum& a, const BinnedSum& b) { return a.bins == b.bins && a.non_finite == b.non_finite; }

// A sum that the device writes and the host reads.
template <typename Sum>
class Shared {
 public:
  Shared() : buffer_(device_->host_memory()->allocate(sizeof(Sum), "sum")) { new (buffer_->data()) Sum{}; }
  Sum& operator*() { return *reinterpret_cast<Sum*>(buffer_->data()); }
  Sum* get() { return &**this; }

 private:
  std::unique_ptr<OpenDevice> device_ = open_gpu(0);
  BufferRef buffer_;
};

std::vector<double> values_of(int kind, int64_t count, std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<int> exponent(-149, 62), special(0, 40);
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) {
    float x = normal(random);
    if (kind == 1) x = std::ldexp(x, exponent(random));  // denormals too
    if (kind == 2 && special(random) == 0) x = std::numeric_limits<float>::infinity();
    if (kind == 2 && special(random) == 0) x = std::numeric_limits<float>::quiet_NaN();
    if (kind == 2 && special(random) < 20) x = 0;
    values.push_back(static_cast<double>(x));
  }
  return values;
}

TEST(CudaExact, SumsOfSquaresAreThoseOfTheCpu) {
  std::mt19937_64 random(5);
  WorkerPool pool(1);
  CpuStream cpu(pool);
  for (const int kind : {0, 1, 2})
    for (const DType type : {DType::f32, DType::bf16})
      for (const int64_t count : {1, 3, 31, 257, 5000, 40001}) {
        const std::vector<double> values = values_of(kind, count, random);
        TestTensors host;
        BinnedSum expected;
        const Tensor on_host = host.numbers(type, {count}, values);
        sum_of_squares(cpu, on_host, &expected);
        sum_of_squares(cpu, on_host, &expected);  // adds to what is there
        for (const auto placing : {TestTensors::Placing::aligned, TestTensors::Placing::unaligned})
          for_schedules([&] {
            const auto stream = make_cuda_test_stream();
            TestTensors device(1, make_cuda_test_memory(), placing);
            const Tensor x = device.numbers(type, {count}, values);
            Shared<BinnedSum> sum;
            sum_of_squares(*stream, x, sum.get());
            sum_of_squares(*stream, x, sum.get());
            stream->synchronize();
            EXPECT_TRUE(same(*sum, expected))
                << count << " of kind " << kind << ": " << (*sum).value() << " not " << expected.value()
                << ", " << (*sum).non_finite << " not finite";
          });
      }
}

TEST(CudaExact, SumsOfLossesAreThoseOfTheCpu) {
  std::mt19937_64 random(6);
  WorkerPool pool(1);
  CpuStream cpu(pool);
  for (const int kind : {0, 1, 2})
    for (const int64_t rows : {1, 7, 256, 1000}) {
      const std::vector<double> values = values_of(kind, rows, random);
      std::vector<int32_t> targets;
      for (int64_t i = 0; i < rows; ++i) targets.push_back(static_cast<int32_t>(i % 5) - 1);
      TestTensors host;
      LossSum expected;
      const Tensor nll = host.numbers(DType::f32, {rows}, values);
      sum_losses(cpu, nll, host.ids(targets), &expected);
      for_schedules([&] {
        const auto stream = make_cuda_test_stream();
        TestTensors device(1, make_cuda_test_memory());
        Shared<LossSum> sum;
        sum_losses(*stream, device.numbers(DType::f32, {rows}, values), device.ids(targets), sum.get());
        stream->synchronize();
        EXPECT_TRUE(same((*sum).nll, expected.nll)) << rows << " of kind " << kind;
        EXPECT_EQ((*sum).targets, expected.targets);
      });
    }
}

TEST(CudaExact, InitialValuesAreThoseOfTheCpu) {
  WorkerPool pool(1);
  CpuStream cpu(pool);
  const RandomKey key{.seed = 0x123456789abcdefULL, .stream = 0xfedcba9876543210ULL, .step = 3};
  for (const int64_t count : {1, 2, 5, 1000, 20001})
    for (const uint64_t first : {uint64_t{0}, uint64_t{1}, uint64_t{7}, (uint64_t{1} << 33) + 2}) {
      TestTensors host;
      const Tensor expected = host.uninitialised(DType::f32, {count});
      fill_normal(cpu, expected, key, first, 0.02f);
      const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
        const Tensor x = tensors.uninitialised(DType::f32, {count});
        fill_normal(stream, x, key, first, 0.02f);
        return std::vector{x};
      });
      EXPECT_EQ(bytes_of(got[0]), bytes_of(expected)) << count << " from " << first;
    }
}

}  // namespace
}  // namespace strata
