// SPDX-License-Identifier: Apache-2.0
// Boundary activations as 8-bit codes away from the device: what comes back is what the scalar formula of
// core/format makes of every element, where it lies in memory is written down, and a plan counts its bytes.
#include "core/step/quantized_activation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/hash.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/device/devices.h"
#include "core/device/meta_stream.h"
#include "core/format/fp8.h"
#include "core/models/architectures.h"
#include "core/program/backing_store.h"
#include "core/step/step_plan.h"
#include "core/tensor/bf16.h"
#include "optim/optimizer_table.h"

namespace strata {
namespace {

constexpr int64_t kCodesAlignment = 64, kTile = 128;

// Magnitudes from 2^-12 to 2^12, zeros among them.
float sample(int64_t i) {
  const uint64_t random = hash_combine(11, static_cast<uint64_t>(i));
  if (random % 17 == 0) return 0;
  const float fraction = 1 + static_cast<float>(random >> 40) / static_cast<float>(1 << 24);
  return std::ldexp(random & 1 ? -fraction : fraction, static_cast<int>(random / 32 % 25) - 12);
}

template <typename T>
void comes_back_as_the_formula_says(DType dtype, int64_t rows, int64_t hidden) {
  WorkerPool pool(2);
  CpuStream stream(pool);
  std::vector<T> x(static_cast<size_t>(rows * hidden)), back(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    if constexpr (std::is_same_v<T, float>)
      x[i] = sample(static_cast<int64_t>(i));
    else
      x[i] = to_bf16(sample(static_cast<int64_t>(i)));
  }
  const auto value = [&](const std::vector<T>& of, int64_t r, int64_t c) {
    return to_float(of[static_cast<size_t>(r * hidden + c)]);
  };
  const QuantizedActivation codes({rows, hidden}, {});
  const int64_t tiles = (hidden + kTile - 1) / kTile;
  const int64_t scales_begin = (rows * hidden + kCodesAlignment - 1) / kCodesAlignment * kCodesAlignment;
  ASSERT_EQ(codes.bytes(), scales_begin + 4 * rows * tiles);
  std::vector<std::byte> host(static_cast<size_t>(codes.bytes()));
  codes.store(stream, Tensor::borrow(x.data(), dtype, {rows, hidden}), host.data());
  codes.load(stream, host.data(), Tensor::borrow(back.data(), dtype, {rows, hidden}));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t end = std::min(hidden, (tile + 1) * kTile);
      float amax = 0;
      for (int64_t c = tile * kTile; c < end; ++c) amax = std::max(amax, std::abs(value(x, r, c)));
      const Fp8Scale scale = scale_of(E4m3::kLargestValue, amax, ScaleKind::pow2);
      float kept;
      std::memcpy(&kept, host.data() + scales_begin + 4 * (r * tiles + tile), 4);
      ASSERT_EQ(kept, scale.factor);
      for (int64_t c = tile * kTile; c < end; ++c) {
        const uint8_t code = E4m3::encode(value(x, r, c) * scale.multiplier);
        ASSERT_EQ(static_cast<uint8_t>(host[static_cast<size_t>(r * hidden + c)]), code) << r << " " << c;
        // A code has 4 significant bits and the factor is a power of two: bf16 has the product exactly.
        ASSERT_EQ(value(back, r, c), E4m3::decode(code) * scale.factor) << r << " " << c;
      }
    }
}

TEST(QuantizedActivation, ComesBackAsTheFormulaSays) {
  const std::vector<std::pair<int, int>> shapes{{1, 1},    {1, 128},   {3, 127}, {5, 130},
                                                {128, 64}, {130, 257}, {64, 384}};
  for (const auto& [rows, hidden] : shapes) {
    comes_back_as_the_formula_says<float>(DType::f32, rows, hidden);
    comes_back_as_the_formula_says<bf16>(DType::bf16, rows, hidden);
  }
}

Model wide_model(DType compute) {
  return make_model({.arch = "llama",
                     .layers = 4,
                     .hidden = 320,
                     .heads = 4,
                     .kv_heads = 4,
                     .head_dim = 80,
                     .ffn = 96,
                     .vocab = 90,
                     .max_positions = 32},
                    compute);
}

struct Moved {
  std::array<int64_t, kNumLanes> bytes{};
  int count = 0;
};

Moved moved_activations(const StepPlan& plan) {
  Moved moved;
  for (const Action& action : plan.train().program.list) {
    if (!is_move(action) || action.cls != ValueClass::x) continue;
    moved.bytes[static_cast<size_t>(default_lane(action))] += plan.costs().moved_bytes(action);
    ++moved.count;
  }
  return moved;
}

// Inputs of four layers, of three micro-batches each; the head's never leaves. Where half is kept it is that
// of the head, which counts, and of the first layer.
TEST(QuantizedActivation, APlanCountsCodesAndFactors) {
  constexpr int64_t kRows = 2 * 32, kCodes = kRows * 320 + 4 * kRows * 3;
  const int64_t on_drive = round_up(kCodes, kStoreAlignment);
  for (const DType compute : {DType::bf16, DType::f32}) {
    const Model model = wide_model(compute);
    const auto rule = make_update_rule("adamw", "fp32", compute, {});
    const auto planned = [&](Tier home, ActivationFormat format, double kept, bool recompute) {
      return StepPlan(model,
                      {.geometry = {.rows = 2, .seq_len = 32, .micro_batches = 3},
                       .rule = rule.get(),
                       .recompute = recompute,
                       .tiers = {.activations = {home, kept}, .activation_format = format, .prefetch = 0}});
    };
    for (const bool recompute : {false, true}) {
      const Moved host = moved_activations(planned(Tier::host, ActivationFormat::fp8, 0, recompute));
      constexpr int64_t all = 4 * 3, less_kept = 3 * 3;
      EXPECT_EQ(host.bytes[static_cast<size_t>(Lane::d2h)], all * kCodes);
      EXPECT_EQ(host.bytes[static_cast<size_t>(Lane::h2d)], all * kCodes);
      const StepPlan far = planned(Tier::nvme, ActivationFormat::fp8, 0, recompute);
      const Moved nvme = moved_activations(far);
      for (const Lane lane : {Lane::d2h, Lane::h2d, Lane::disk_write, Lane::disk_read})
        EXPECT_EQ(nvme.bytes[static_cast<size_t>(lane)], all * on_drive) << name(lane);
      for (const StoredValue& value : far.stored_values()) EXPECT_EQ(value.bytes, on_drive);
      const Moved half = moved_activations(planned(Tier::nvme, ActivationFormat::fp8, 0.5, recompute));
      EXPECT_EQ(half.bytes[static_cast<size_t>(Lane::disk_write)], less_kept * on_drive);
      const Moved less = moved_activations(planned(Tier::host, ActivationFormat::fp8, 0.5, recompute));
      EXPECT_EQ(less.bytes[static_cast<size_t>(Lane::d2h)], less_kept * kCodes);
    }
    // A value's own bytes: 2 or 4 an element.
    const StepPlan plain = planned(Tier::host, ActivationFormat::values, 0, true);
    const Value x{.cls = ValueClass::x, .block = 1, .micro_batch = 0, .tier = Tier::host};
    EXPECT_EQ(plain.costs().bytes(x), kRows * 320 * size_of(compute));
    EXPECT_EQ(planned(Tier::host, ActivationFormat::fp8, 0, true).costs().bytes(x), kCodes);
  }
}

// A GPU makes codes in memory of its own, which the plan has: one region a lane.
TEST(QuantizedActivation, AGpuHasWorkingMemoryForThem) {
  if (!has_cuda()) GTEST_SKIP() << "this build plans for no GPU";
  MetaStream gpu({DeviceKind::cuda, 0}), cpu({DeviceKind::cpu, 0});
  for (MetaStream* stream : {&gpu, &cpu}) {
    const Tensor x = Tensor::borrow(nullptr, DType::bf16, {64, 320}, stream->device());
    const QuantizedActivation codes({64, 320}, stream->target());
    codes.store(*stream, x, nullptr);
    codes.load(*stream, nullptr, x);
    EXPECT_EQ(stream->scratch().high_water(), stream == &gpu ? codes.bytes() : 0);
  }
}

}  // namespace
}  // namespace strata
