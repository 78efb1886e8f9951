// SPDX-License-Identifier: Apache-2.0
// STREAM (McCalpin, 1995) on f32: copy, scale and sum through the loop that our element-wise operations share
// (for_elements), beside the plainest kernel that does the same, in turns.
#include <fmt/format.h>

#include "core/base/check.h"
#include "core/device/cuda/kernel.cuh"
#include "tests/gpu/gpu_bench.h"

namespace strata {
namespace {

using cuda::Vector;

constexpr int kThreads = 256;

struct Copied {
  __device__ float operator()(float a, float) const { return a; }
};
struct Scaled {
  __device__ float operator()(float a, float) const { return 0.5F * a; }
};
struct Summed {
  __device__ float operator()(float a, float b) const { return a + b; }
};

// A thread for every four elements, nothing else. b may be null.
template <typename Body>
__global__ void plain_kernel(const float* a, const float* b, float* out, int64_t vectors) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= vectors) return;
  const Vector<float, 4> x = cuda::load_vector<float, 4>(a + 4 * i);
  const Vector<float, 4> y = b ? cuda::load_vector<float, 4>(b + 4 * i) : x;
  Vector<float, 4> result;
#pragma unroll
  for (int e = 0; e < 4; ++e) result.at[e] = Body()(x.at[e], y.at[e]);
  cuda::store_vector(out + 4 * i, result);
}

}  // namespace

std::vector<std::string> stream_rates(Bench& bench, bool tiny) {
  const int64_t count = tiny ? 4096 : int64_t{1} << 28;
  const auto operand = [&] {
    const Tensor x = make_tensor(*bench.device.memory(), DType::f32, {count}, "bench");
    fill_normal(bench.stream, x, {.seed = 3}, 0, 1);
    return x;
  };
  const Tensor a = operand(), b = operand(), out = operand();
  CudaStream& stream = cuda_stream(bench.stream);
  const auto plain = [&](auto kernel, const float* first, const float* second) {
    return [&stream, &out, kernel, first, second, count] {
      cuda::launch(stream, kernel, {dim3(narrow<unsigned>(div_up(count / 4, kThreads))), dim3(kThreads)},
                   first, second, out.data<float>(), count / 4);
    };
  };
  std::vector<std::string> rows;
  const auto row = [&](const char* what, int64_t bytes, const std::function<void()>& ours,
                       const std::function<void()>& peer) {
    // In turns, so that clocks and temperature are the same for both.
    double our_s = bench.seconds(ours), peer_s = bench.seconds(peer);
    our_s = std::min(our_s, bench.seconds(ours)), peer_s = std::min(peer_s, bench.seconds(peer));
    rows.push_back(fmt::format(
        R"({{"what":"stream {} f32","gb_per_s":{:.0f},"plain_gb_per_s":{:.0f},"of_plain":{:.3f}}})", what,
        static_cast<double>(bytes) / our_s / 1e9, static_cast<double>(bytes) / peer_s / 1e9, peer_s / our_s));
  };
  row(
      "copy", 8 * count, [&] { copy(bench.stream, a, out); },
      plain(plain_kernel<Copied>, a.data<float>(), nullptr));
  row(
      "scale", 8 * count, [&] { scale(bench.stream, out, 0.5F); },
      plain(plain_kernel<Scaled>, out.data<float>(), nullptr));
  row(
      "sum", 12 * count, [&] { add(bench.stream, a, b, out); },
      plain(plain_kernel<Summed>, a.data<float>(), b.data<float>()));
  return rows;
}

}  // namespace strata
