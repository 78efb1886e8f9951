// SPDX-License-Identifier: Apache-2.0
#include "core/device/buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {
namespace {

TEST(Device, Prints) {
  EXPECT_EQ(to_string(Device{}), "cpu");
  EXPECT_EQ(to_string(Device{DeviceKind::cuda, 3}), "cuda:3");
  EXPECT_EQ(to_string(Device{DeviceKind::meta, 0}), "meta");
}

TEST(CpuAllocator, BytesAreAlignedZeroedAndWritable) {
  const auto allocator = make_cpu_allocator();
  for (const int64_t bytes : {int64_t{0}, int64_t{1}, int64_t{63}, int64_t{4097}, (int64_t{2} << 20) - 1,
                              int64_t{2} << 20, (int64_t{5} << 20) + 3}) {
    const BufferRef buffer = allocator->allocate(bytes, "x");
    EXPECT_EQ(buffer->bytes(), bytes);
    EXPECT_EQ(buffer->label(), "x");
    EXPECT_EQ(buffer->device(), Device{});
    const auto address = reinterpret_cast<uintptr_t>(buffer->data());
    EXPECT_EQ(address % kTensorAlignment, 0u) << bytes;
    if (bytes >= int64_t{2} << 20) {
      EXPECT_EQ(address % (uintptr_t{2} << 20), 0u) << bytes;
    }
    EXPECT_TRUE(
        std::all_of(buffer->data(), buffer->data() + bytes, [](std::byte b) { return b == std::byte{0}; }));
    std::fill(buffer->data(), buffer->data() + bytes, std::byte{0xA5});
  }
  EXPECT_EQ(allocator->total().bytes, 0);
}

TEST(Allocator, CountsByLabel) {
  for (const auto& allocator : {make_cpu_allocator(), make_meta_allocator()}) {
    BufferRef a = allocator->allocate(1000, "weights");
    BufferRef b = allocator->allocate(500, "weights");
    BufferRef c = allocator->allocate(70, "gradients");
    b.reset();
    const BufferRef d = allocator->allocate(100, "weights");
    EXPECT_EQ(allocator->table().at("weights").bytes, 1100);
    EXPECT_EQ(allocator->table().at("weights").peak_bytes, 1500);
    EXPECT_EQ(allocator->table().at("weights").count, 3);
    EXPECT_EQ(allocator->table().at("gradients").bytes, 70);
    EXPECT_EQ(allocator->total().bytes, 1170);
    EXPECT_EQ(allocator->total().peak_bytes, 1570);
    EXPECT_EQ(allocator->total().count, 4);
  }
}

TEST(Allocator, BuffersOutliveIt) {
  for (auto allocator : {make_cpu_allocator(), make_meta_allocator()}) {
    BufferRef buffer = allocator->allocate(100, "x");
    allocator.reset();
    if (buffer->data()) buffer->data()[99] = std::byte{1};
    buffer.reset();
  }
}

TEST(Allocator, CountsFromManyThreads) {
  const auto allocator = make_meta_allocator();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) allocator->allocate(8, "x");
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(allocator->total().bytes, 0);
  EXPECT_EQ(allocator->total().count, 4000);
}

TEST(MetaAllocator, HoldsNoBytes) {
  const BufferRef buffer = make_meta_allocator()->allocate(int64_t{1} << 50, "a petabyte");
  EXPECT_EQ(buffer->data(), nullptr);
  EXPECT_EQ(buffer->bytes(), int64_t{1} << 50);
  EXPECT_EQ(buffer->device().kind, DeviceKind::meta);
}

TEST(CpuAllocator, SaysWhatDidNotFit) {
  const auto allocator = make_cpu_allocator();
  const BufferRef held = allocator->allocate(3000, "weights");
  try {
    allocator->allocate(int64_t{1} << 60, "activations");
    ADD_FAILURE() << "an exabyte was given";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::memory);
    EXPECT_EQ(error.report().what, "no host memory for 'activations'");
    EXPECT_EQ(error.report().found.substr(0, 52), "1152921504606846976 bytes asked for, 3000 held (Cann");
  }
  EXPECT_EQ(allocator->total().bytes, 3000);
  EXPECT_THROW(allocator->allocate(-1, "x"), ContractError);
}

TEST(Allocator, TablePrintsLargestFirst) {
  const auto allocator = make_meta_allocator();
  const BufferRef a = allocator->allocate(int64_t{1} << 20, "small"),
                  b = allocator->allocate(int64_t{3} << 20, "large");
  const std::string text = memory_table(*allocator);
  EXPECT_LT(text.find("large"), text.find("small"));
  EXPECT_NE(text.find("4.0"), std::string::npos) << text;
}

}  // namespace
}  // namespace strata
