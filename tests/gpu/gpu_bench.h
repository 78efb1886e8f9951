// SPDX-License-Identifier: Apache-2.0
// Operands on a GPU, and the time of what runs on its stream by its own clock.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/device/devices.h"
#include "core/ops/elementwise.h"

namespace strata {

struct Bench {
  OpenDevice& device;
  Stream& stream;

  Tensor normal(Shape shape) {
    const Tensor f32 = make_tensor(*device.memory(), DType::f32, shape, "bench");
    const Tensor x = make_tensor(*device.memory(), DType::bf16, shape, "bench");
    fill_normal(stream, f32, {.seed = 1}, 0, 1);
    copy(stream, f32, x);
    stream.record().wait();
    return x;
  }

  // Seconds of one, the median of seven rounds of a few, after one to get ready.
  double seconds(const std::function<void()>& work) {
    constexpr int kRounds = 7, kEach = 3;
    work();
    std::vector<double> times;
    for (int round = 0; round < kRounds; ++round) {
      const Event begin = stream.record();
      for (int i = 0; i < kEach; ++i) work();
      const Event end = stream.record();
      end.wait();
      times.push_back(stream.seconds_between(begin, end).value() / kEach);
    }
    std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
    return times[kRounds / 2];
  }
};

// Operations bounded by memory, each with the bytes that a plan counts for it and its share of
// `copy_bytes_per_s`: one JSON object each (bandwidth_rates.cpp).
std::vector<std::string> bandwidth_rates(Bench& bench, bool tiny, double copy_bytes_per_s);
// STREAM through our element-wise operations, beside a plain kernel (stream_rates.cu).
std::vector<std::string> stream_rates(Bench& bench, bool tiny);
// Quantizers and products of 8-bit floats (fp8_rates.cpp).
std::vector<std::string> fp8_rates(Bench& bench, bool tiny, double copy_bytes_per_s);

}  // namespace strata
