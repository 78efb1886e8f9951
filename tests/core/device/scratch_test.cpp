// SPDX-License-Identifier: Apache-2.0
#include "core/device/scratch.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "core/base/check.h"

namespace strata {
namespace {

TEST(Scratch, IsAStackOfAlignedBytes) {
  Scratch scratch(make_cpu_allocator());
  std::byte* first = nullptr;
  {
    Scratch::Scope scope(scratch);
    first = scratch.take(1);
    std::byte* second = scratch.take(100);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % kTensorAlignment, 0u);
    EXPECT_EQ(second - first, kTensorAlignment);
    {
      Scratch::Scope inner(scratch);
      EXPECT_EQ(scratch.take(64) - first, 64 + 128);
    }
    EXPECT_EQ(scratch.take(64) - first, 64 + 128) << "the inner scope gave its bytes back";
  }
  EXPECT_EQ(scratch.high_water(), 64 + 128 + 64);
  Scratch::Scope scope(scratch);
  EXPECT_EQ(scratch.take(64), first);
  scratch.reset_high_water();
  EXPECT_EQ(scratch.high_water(), 64);
}

TEST(Scratch, BoundBytesAreAllThereIs) {
  alignas(64) std::byte memory[256];
  Scratch scratch;
  EXPECT_THROW(scratch.take(1), ContractError);
  scratch.bind(memory, sizeof(memory));
  Scratch::Scope scope(scratch);
  EXPECT_EQ(scratch.take(128), memory);
  EXPECT_THROW(scratch.bind(memory, 10), ContractError) << "while bytes are in use";
  EXPECT_EQ(scratch.take(128), memory + 128);
  try {
    scratch.take(1);
    ADD_FAILURE() << "more than was bound";
  } catch (const ContractError& error) {
    EXPECT_STREQ(error.what(), "[scratch] the plan gives 256 bytes, an operation needs 320");
  }
}

TEST(Scratch, OnTheMetaDeviceOnlyCounts) {
  Scratch scratch(make_meta_allocator());
  {
    Scratch::Scope scope(scratch);
    EXPECT_EQ(scratch.take(int64_t{1} << 40), nullptr);
    EXPECT_EQ(scratch.take(1), nullptr);
  }
  EXPECT_EQ(scratch.high_water(), (int64_t{1} << 40) + 64);
}

// Operations of one size: memory is taken from the allocator once.
TEST(Scratch, SettlesAfterTheFirstRound) {
  const auto allocator = make_cpu_allocator();
  Scratch scratch(allocator);
  const auto round = [&] {
    Scratch::Scope outer(scratch);
    scratch.take(700 << 10);
    for (int64_t bytes : {100, 3 << 20, 20 << 20}) {
      Scratch::Scope inner(scratch);
      scratch.take(bytes);
    }
  };
  round();
  round();
  const int64_t count = allocator->total().count;
  for (int i = 0; i < 10; ++i) round();
  EXPECT_EQ(allocator->total().count, count);
}

// What was handed out stays mapped after its scope, because work on the stream may still be using it; and
// nested takes never overlap, whatever the order of sizes.
TEST(Scratch, GrowingNeitherFreesNorOverlaps) {
  Scratch scratch(make_cpu_allocator());
  std::mt19937 random(1);
  std::vector<std::byte*> ever;
  for (int round = 0; round < 200; ++round) {
    Scratch::Scope outer(scratch);
    struct Piece {
      std::byte* data;
      size_t bytes;
    };
    std::vector<Piece> live;
    std::vector<std::unique_ptr<Scratch::Scope>> scopes;
    std::vector<size_t> marks;
    for (int step = 0; step < 20; ++step) {
      if (!scopes.empty() && random() % 3 == 0) {
        scopes.pop_back();
        live.resize(marks.back());
        marks.pop_back();
        continue;
      }
      scopes.push_back(std::make_unique<Scratch::Scope>(scratch));
      marks.push_back(live.size());
      const size_t bytes = size_t{1} << random() % 22;
      std::byte* data = scratch.take(static_cast<int64_t>(bytes));
      for (const Piece& other : live)
        ASSERT_TRUE(data + bytes <= other.data || other.data + other.bytes <= data)
            << "overlap in round " << round;
      data[0] = data[bytes - 1] = std::byte{1};
      live.push_back({data, bytes});
      ever.push_back(data);
    }
    while (!scopes.empty()) scopes.pop_back();
  }
  for (std::byte* data : ever) *data = std::byte{2};  // faults when the memory is gone
}

}  // namespace
}  // namespace strata
