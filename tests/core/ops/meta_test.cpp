// SPDX-License-Identifier: Apache-2.0
// The meta device checks and counts as the target device would work.
#include <gtest/gtest.h>

#include "core/device/devices.h"
#include "core/device/meta_stream.h"
#include "core/ops/meta/meta_ops.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

// A tensor of the same shape on the meta device.
Tensor meta(DType dtype, Shape shape) { return make_tensor(*make_meta_allocator(), dtype, shape, "meta"); }

TEST(Meta, CountsMatrixProductsAndAttention) {
  MetaStream stream({});
  matmul(stream, {.a = meta(DType::f32, {5, 7}),
                  .b = meta(DType::f32, {7, 3}),
                  .packed_b = {},
                  .out = meta(DType::f32, {5, 3}),
                  .bias = {},
                  .add = {}});
  EXPECT_EQ(stream.count.matmul_flops, 2 * 5 * 7 * 3);

  const std::vector<AttentionSegment> segments = {{0, 3, 0, 3, 0}, {3, 2, 3, 4, 1}};
  // 1 + 2 + 3 pairs and 2 + 3; without the mask 9 and 8.
  EXPECT_EQ(meta::visible_pairs(segments, true), 11);
  EXPECT_EQ(meta::visible_pairs(segments, false), 17);
  const std::vector<AttentionSegment> clipped = {{0, 4, 0, 2, -1}, {4, 1, 0, 2, 100}};
  EXPECT_EQ(meta::visible_pairs(clipped, true), 0 + 1 + 2 + 2 + 2);
  const Tensor q = meta(DType::bf16, {5, 4 * 8}), k = meta(DType::bf16, {7, 2 * 8});
  attention_forward(stream, {q, k, k, q, meta(DType::f32, {4, 5}), 4, 2, 1.0f, true, segments});
  EXPECT_EQ(stream.count.attention_flops, 2 * 2 * 8 * 4 * 11);
  attention_backward(stream, {q, k, k, q, meta(DType::f32, {4, 5}), q, q, k, k, 4, 2, 1.0f, true, segments});
  EXPECT_EQ(stream.count.attention_flops, (2 + 5) * 2 * 8 * 4 * 11);
}

TEST(Meta, CountsBytes) {
  MetaStream stream({});
  const auto bytes_of_call = [&](const auto& call) {
    stream.count = {};
    call();
    return stream.count.bytes;
  };
  const Tensor x = meta(DType::bf16, {4, 8}), w = meta(DType::f32, {8}), rstd = meta(DType::f32, {4});
  EXPECT_EQ(bytes_of_call([&] { rms_norm_forward(stream, {x, w, x, rstd}); }), 64 + 32 + 64 + 16);
  EXPECT_EQ(bytes_of_call([&] {
              rms_norm_backward(stream, {x, w, rstd, x, x, {}, w, Write::overwrite});
            }),
            64 + 32 + 16 + 64 + 64 + 32);
  EXPECT_EQ(bytes_of_call([&] {
              rms_norm_backward(stream, {x, w, rstd, x, x, x, w, Write::accumulate});
            }),
            64 + 32 + 16 + 64 + 64 + 64 + 2 * 32);
  EXPECT_EQ(bytes_of_call([&] { copy(stream, x, meta(DType::f32, {4, 8})); }), 64 + 128);
  EXPECT_EQ(bytes_of_call(
                [&] { stochastic_round(stream, meta(DType::f32, {32}), meta(DType::bf16, {32}), {}, 0); }),
            128 + 64);
  EXPECT_EQ(bytes_of_call([&] { scale(stream, w, 2); }), 64);
}

// The same call on both devices: the plan's scratch is what the run takes, to the byte.
TEST(Meta, TakesTheScratchOfTheTarget) {
  WorkerPool pool(1);
  CpuStream cpu(pool);
  MetaStream plan({});
  TestTensors t;
  const auto expect_equal = [&](const char* what, const auto& call) {
    cpu.scratch().reset_high_water();
    plan.scratch().reset_high_water();
    call(static_cast<Stream&>(cpu), [&](DType type, Shape shape) {
      if (type == DType::i32) return t.ids(std::vector<int32_t>(static_cast<size_t>(shape[0])));
      return t.filled(type, shape, 0);
    });
    call(static_cast<Stream&>(plan), [&](DType type, Shape shape) { return meta(type, shape); });
    EXPECT_EQ(plan.scratch().high_water(), cpu.scratch().high_water()) << what;
    EXPECT_GT(cpu.scratch().high_water(), 0) << what;
  };
  expect_equal("rms_norm_backward", [](Stream& stream, const auto& make) {
    const Tensor x = make(DType::f32, {100, 33}), w = make(DType::f32, {33});
    rms_norm_backward(stream, {x, w, make(DType::f32, {100}), x, x, {}, w});
  });
  expect_equal("layer_norm_backward", [](Stream& stream, const auto& make) {
    const Tensor x = make(DType::f32, {9, 33}), w = make(DType::f32, {33}), s = make(DType::f32, {9});
    layer_norm_backward(stream, {x, w, s, s, x, x, {}, w, make(DType::f32, {33})});
  });
  expect_equal("column_sum", [](Stream& stream, const auto& make) {
    column_sum(stream, {make(DType::bf16, {1000, 7}), make(DType::f32, {7})});
  });
  expect_equal("embedding_backward", [](Stream& stream, const auto& make) {
    embedding_backward(stream, {make(DType::i32, {20}), make(DType::bf16, {20, 5}),
                                make(DType::f32, {30 * 5}).view({30, 5})});
  });
  expect_equal("attention_backward", [](Stream& stream, const auto& make) {
    const Tensor q = make(DType::f32, {10, 4 * 5}), k = make(DType::f32, {10, 2 * 5});
    const std::vector<AttentionSegment> segments = {{0, 10, 0, 10, 0}};
    attention_backward(stream,
                       {q, k, k, q, make(DType::f32, {40}).view({4, 10}), q, make(DType::f32, {10, 20}),
                        make(DType::f32, {10, 10}), make(DType::f32, {10, 10}), 4, 2, 1.0f, true, segments});
  });
}

TEST(Meta, ChecksOperandsAsTheDeviceDoes) {
  MetaStream stream({});
  try {
    rms_norm_forward(stream, {meta(DType::f32, {4, 6}), meta(DType::f32, {6}), meta(DType::f32, {4, 5}), {}});
    ADD_FAILURE() << "no error";
  } catch (const ContractError& error) {
    EXPECT_STREQ(error.what(), "[rms_norm_forward] y: expected [4, 6], got [4, 5]");
  }
  if (!has_cuda()) {
    EXPECT_THROW(op_table(DeviceKind::cuda), ContractError);
  }
}

}  // namespace
}  // namespace strata
