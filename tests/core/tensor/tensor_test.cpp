// SPDX-License-Identifier: Apache-2.0
#include "core/tensor/tensor.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace strata {
namespace {

std::string message_of(const auto& call) {
  try {
    call();
  } catch (const ContractError& error) {
    return error.what();
  }
  return "no error";
}

TEST(DType, NamesAndSizes) {
  EXPECT_EQ(size_of(DType::f32), 4);
  EXPECT_EQ(size_of(DType::bf16), 2);
  EXPECT_EQ(size_of(DType::i16), 2);
  EXPECT_EQ(size_of(DType::i32), 4);
  EXPECT_EQ(size_of(DType::i64), 8);
  EXPECT_EQ(size_of(DType::u8), 1);
  EXPECT_EQ(size_of(DType::f64), 8);
  EXPECT_EQ(name(DType::bf16), "bf16");
  EXPECT_EQ(name(DType::f64), "f64");
}

TEST(Shape, IsASmallValue) {
  Shape shape{2, 3, 4};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape.numel(), 24);
  EXPECT_EQ(shape[-1], 4);
  EXPECT_EQ(to_string(shape), "[2, 3, 4]");
  EXPECT_EQ(fmt::format("{}", Shape{}), "[]");
  EXPECT_EQ(Shape{}.numel(), 1) << "a scalar";
  shape.set(-2, 0);
  EXPECT_EQ(shape, (Shape{2, 0, 4}));
  EXPECT_EQ(shape.numel(), 0);
  shape.append(5);
  shape.append(6);
  EXPECT_EQ(message_of([&] { shape.append(7); }), "[shape] rank 5 is the limit");
  EXPECT_EQ(message_of([] { Shape{1, 1, 1, 1, 1, 1}; }), "[shape] rank 6 is above the limit of 5");
  EXPECT_NE((Shape{2, 3}), (Shape{2, 3, 1}));
}

TEST(Tensor, AbsentUntilGivenBytes) {
  EXPECT_FALSE(Tensor());
  const auto allocator = make_cpu_allocator();
  const Tensor x = make_tensor(*allocator, DType::f32, {3, 5}, "x");
  EXPECT_TRUE(x);
  EXPECT_TRUE(x.contiguous());
  EXPECT_EQ(x.bytes(), 60);
  EXPECT_EQ(x.stride(0), 5);
  EXPECT_EQ(x.stride(1), 1);
  for (const float v : x.span<float>()) EXPECT_EQ(v, 0);
}

TEST(Tensor, HandlesShareAndKeepTheBytes) {
  const auto allocator = make_cpu_allocator();
  Tensor copy;
  {
    const Tensor x = make_tensor(*allocator, DType::i32, {4}, "x");
    copy = x;
    x.data<int32_t>()[2] = 9;
  }
  EXPECT_EQ(allocator->total().bytes, 16);
  EXPECT_EQ(copy.data<int32_t>()[2], 9);
  copy = {};
  EXPECT_EQ(allocator->total().bytes, 0);
}

TEST(Tensor, ViewsOfOneMatrix) {
  std::vector<float> memory(24);
  std::iota(memory.begin(), memory.end(), 0.0f);
  const Tensor x = Tensor::borrow(memory.data(), DType::f32, {4, 6});
  const auto at = [](const Tensor& t, int64_t i, int64_t j) {
    return t.data<float>()[i * t.stride(0) + j * t.stride(1)];
  };
  const Tensor transposed = x.t();
  EXPECT_EQ(transposed.shape(), (Shape{6, 4}));
  EXPECT_FALSE(transposed.contiguous());
  EXPECT_EQ(at(transposed, 5, 3), 23);
  const Tensor inner = x.slice(0, 1, 2).slice(1, 2, 3);
  EXPECT_EQ(inner.shape(), (Shape{2, 3}));
  EXPECT_EQ(at(inner, 1, 2), 16);
  EXPECT_FALSE(inner.contiguous());
  EXPECT_TRUE(x.slice(0, 1, 2).contiguous());
  EXPECT_TRUE(x.slice(1, 3, 1).slice(0, 2, 1).contiguous()) << "one element";
  EXPECT_EQ(at(inner.t(), 2, 1), 16);
  EXPECT_EQ(at(x.view({3, 8}), 2, 7), 23);
  EXPECT_EQ(x.slice(1, 6, 0).numel(), 0);
}

TEST(Tensor, BrokenContractsAreNamed) {
  std::vector<float> memory(24);
  const Tensor x = Tensor::borrow(memory.data(), DType::f32, {4, 6});
  EXPECT_EQ(message_of([&] { x.data<int32_t>(); }),
            "[tensor] asked for elements of type i32 of a f32 tensor [4, 6]");
  EXPECT_EQ(message_of([&] { x.t().span<float>(); }), "[tensor] span of a strided tensor [6, 4]");
  EXPECT_EQ(message_of([&] { x.t().view({24}); }), "[tensor] cannot view [6, 4] (strided) as [24]");
  EXPECT_EQ(message_of([&] { x.view({5, 5}); }), "[tensor] cannot view [4, 6] (contiguous) as [5, 5]");
  EXPECT_EQ(message_of([&] { x.slice(1, 4, 3); }), "[tensor] slice [4, 7) of dim 1 of [4, 6]");
  EXPECT_EQ(message_of([&] { x.slice(2, 0, 1); }), "[tensor] slice [0, 1) of dim 2 of [4, 6]");
  EXPECT_EQ(message_of([&] { x.view({24}).t(); }), "[tensor] transpose of rank 1 tensor [24]");
  const BufferRef buffer = make_cpu_allocator()->allocate(100, "small");
  EXPECT_EQ(message_of([&] { Tensor(buffer, 64, DType::f32, {10}); }),
            "[tensor] f32 [10] at byte 64 does not fit in 'small' of 100 bytes");
}

TEST(Tensor, OnTheMetaDeviceHasShapeOnly) {
  const Tensor x = make_tensor(*make_meta_allocator(), DType::bf16, {1000000, 1000000}, "x");
  EXPECT_TRUE(x);
  EXPECT_EQ(x.raw(), nullptr);
  EXPECT_EQ(x.slice(0, 5, 10).t().shape(), (Shape{1000000, 10}));
  EXPECT_EQ(x.device().kind, DeviceKind::meta);
}

}  // namespace
}  // namespace strata
