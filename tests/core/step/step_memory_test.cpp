// SPDX-License-Identifier: Apache-2.0
// Memory comes from the plan: after the second step nothing is allocated any more but the small change of the
// C++ library (a closure of a kernel, say), and what an action takes never exceeds what was planned for it.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include "core/base/error.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/models/architectures.h"
#include "core/step/step_runner.h"
#include "optim/clip.h"
#include "optim/optimizer_table.h"

namespace {

std::atomic<bool> watching{false};
std::atomic<size_t> largest{0};

void* allocate(size_t bytes) {
  if (watching) {
    size_t before = largest;
    while (bytes > before && !largest.compare_exchange_weak(before, bytes)) {
    }
  }
  if (void* const memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(size_t bytes) { return allocate(bytes); }
void* operator new[](size_t bytes) { return allocate(bytes); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return allocate(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace strata {
namespace {

// Largest block a kernel's closure may take; the smallest tensor of the model below is larger.
constexpr size_t kSmallChange = 512;

struct Case {
  const char* arch;
  const char* state;
  DType compute;
  bool recompute;
  bool away = false;  // weights, state and inputs of blocks in the host's arena
  ActivationFormat format = ActivationFormat::values;
};

class StepMemory : public testing::TestWithParam<Case> {};

Batch counting_batch(int64_t rows, int64_t seq_len) {
  Batch batch{.rows = rows, .seq_len = seq_len, .num_targets = rows * seq_len};
  for (int64_t i = 0; i < rows * seq_len; ++i) {
    batch.tokens.push_back(static_cast<int32_t>(i * 7 % 90));
    batch.targets.push_back(static_cast<int32_t>((i + 1) * 7 % 90));
    batch.positions.push_back(static_cast<int32_t>(i % seq_len));
    if (i % seq_len == 0) batch.segment_begin.push_back(static_cast<int32_t>(i));
  }
  batch.segment_begin.push_back(static_cast<int32_t>(rows * seq_len));
  return batch;
}

TEST_P(StepMemory, NothingIsAllocatedAfterTheSecondStep) {
  const Case c = GetParam();
  const Model model = make_model({.arch = c.arch,
                                  .layers = 3,
                                  .hidden = 64,
                                  .heads = 4,
                                  .kv_heads = 4,
                                  .head_dim = 16,
                                  .ffn = 128,
                                  .vocab = 90,
                                  .max_positions = 32,
                                  .tied = true},
                                 c.compute);
  const auto rule = make_update_rule("adamw", c.state, c.compute, {});
  const StepPlan plan(model, {.geometry = {.rows = 3, .seq_len = 32, .micro_batches = 2},
                              .rule = rule.get(),
                              .recompute = c.recompute,
                              .tiers = c.away ? TierOptions{.weights = {Tier::host},
                                                            .master = {Tier::host},
                                                            .moments = {Tier::host},
                                                            .activations = {Tier::host},
                                                            .activation_format = c.format}
                                              : TierOptions{}});
  EXPECT_EQ(plan.arena_bytes(Tier::host) > 0, c.away);
  WorkerPool pool(2);
  CpuStream stream(pool);
  const auto allocator = make_cpu_allocator();
  WorkerPool loading(1), storing(1);
  CpuStream loads(loading), stores(storing);
  const StepStreams streams{.compute = stream, .host_to_device = &loads, .device_to_host = &stores};
  StepRunner runner(plan, streams, *allocator, [](StepScalars& sums) {
    sums.grad_norm = clip_by_norm(sums.squares, 0).norm;
    ASSERT_TRUE(std::isfinite(sums.grad_norm));
  });
  runner.initialize(1);
  const std::vector<Batch> batches{counting_batch(3, 32), counting_batch(3, 32)};
  auto step = [&](int64_t number) {
    return runner.train_step(
        batches, [&](const Parameter&) { return UpdateScalars{.learning_rate = 1e-3F, .step = number}; });
  };
  const double first = step(1).loss.value();
  step(2);
  const int64_t allocations = allocator->total().count;
  const int64_t bytes = allocator->total().bytes;

  largest = 0;
  watching = true;
  double last = 0;
  for (int64_t number = 3; number <= 6; ++number) last = step(number).loss.value();
  watching = false;
  EXPECT_LE(largest, kSmallChange);
  EXPECT_EQ(allocator->total().count, allocations);
  EXPECT_EQ(allocator->total().bytes, bytes);
  EXPECT_LT(last, first);  // it did train

  // The whole of it: the arenas, the sums and, for rotary models, the table of angles.
  const int64_t angles = model.rotary ? 2 * 32 * 8 * 4 : 0;
  EXPECT_EQ(bytes, plan.arena_bytes() + plan.arena_bytes(Tier::host) + angles +
                       static_cast<int64_t>(sizeof(StepScalars)));
}

// Token files may hold documents of one token: then there is nothing to predict.
TEST(StepRunner, AStepWithoutTargetsIsAFaultOfTheData) {
  const Model model = make_model({.arch = "gpt2",
                                  .layers = 1,
                                  .hidden = 16,
                                  .heads = 2,
                                  .kv_heads = 2,
                                  .head_dim = 8,
                                  .ffn = 16,
                                  .vocab = 90,
                                  .max_positions = 8,
                                  .tied = true},
                                 DType::f32);
  const auto rule = make_update_rule("adamw", "fp32", DType::f32, {});
  const StepPlan plan(model, {.geometry = {.rows = 1, .seq_len = 8, .micro_batches = 1}, .rule = rule.get()});
  WorkerPool pool(1);
  CpuStream stream(pool);
  const auto allocator = make_cpu_allocator();
  StepRunner runner(plan, {stream}, *allocator, [](StepScalars&) {});
  runner.initialize(1);
  Batch batch = counting_batch(1, 8);
  std::fill(batch.targets.begin(), batch.targets.end(), kNoTarget);
  batch.num_targets = 0;
  try {
    runner.train_step({&batch, 1}, [](const Parameter&) { return UpdateScalars{}; });
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::data);
    EXPECT_NE(std::string(error.what()).find("no token has a target"), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, StepMemory,
    testing::Values(Case{"llama", "split", DType::bf16, false}, Case{"llama", "fp32", DType::f32, true},
                    Case{"gpt2", "fp32", DType::bf16, false}, Case{"gpt2", "split", DType::bf16, true},
                    Case{"llama", "split", DType::bf16, true, true},
                    Case{"llama", "split", DType::bf16, true, true, ActivationFormat::fp8}),
    [](const auto& info) {
      return std::string(info.param.arch) + "_" + info.param.state +
             (info.param.compute == DType::f32 ? "_f32" : "_bf16") +
             (info.param.recompute ? "_recomputed" : "") + (info.param.away ? "_away" : "") +
             (info.param.format == ActivationFormat::fp8 ? "_in_8_bits" : "");
    });

}  // namespace
}  // namespace strata
