// SPDX-License-Identifier: Apache-2.0
// GGUF files are read: blocks against numbers worked out by hand, rectangles against the whole, and what is
// damaged or hostile is refused. The files are made here, byte by byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/adapters/gguf_blocks/block_format.h"
#include "checkpoint/adapters/gguf_rotary.h"
#include "checkpoint/adapters/gguf_source.h"
#include "checkpoint/adapters/gguf_tokenizer.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/adapters/memory_source.h"

namespace strata {
namespace {

using testing::HasSubstr;

template <typename T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
std::string text(const std::string& s) { return raw<uint64_t>(s.size()).append(s); }

struct Stored {
  std::string name;
  std::vector<uint64_t> extents;  // fastest first
  uint32_t type;
  uint64_t offset;
};

std::string gguf(const std::vector<Stored>& tensors, const std::string& data, uint32_t version = 3,
                 const std::string& values = "", uint64_t keys = 0) {
  std::string file("GGUF");
  file += raw(version) + raw<uint64_t>(tensors.size()) + raw(keys) + values;
  for (const Stored& t : tensors) {
    file += text(t.name) + raw(static_cast<uint32_t>(t.extents.size()));
    for (const uint64_t extent : t.extents) file += raw(extent);
    file += raw(t.type) + raw(t.offset);
  }
  file.resize((file.size() + 31) / 32 * 32);
  return file + data;
}

void put(MemoryFileSystem& files, const std::string& content) {
  files.open("/x.gguf", OpenMode::create)->write(0, std::as_bytes(std::span(content)));
}

std::string gguf_fault(const std::string& content) {
  MemoryFileSystem files;
  put(files, content);
  try {
    const GgufSource source(files, "/x.gguf");
    for (size_t t = 0; t < source.tensors().size(); ++t) read_whole(source, t);
    make_gguf_tokenizer(source);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

// half 0.5 is 0x3800, half -2 is 0xc000.
TEST(GgufBlocks, AreWhatTheFormulasSay) {
  std::array<float, 32> x{};
  std::string q8 = raw<uint16_t>(0x3800), q40 = q8, q41 = q8 + raw<uint16_t>(0xc000);
  for (int i = 0; i < 32; ++i) q8 += static_cast<char>(i == 0 ? -128 : 4 * i);
  for (int i = 0; i < 16; ++i) q40 += static_cast<char>(i | (15 - i) << 4);
  q41 += q40.substr(2);
  kBlockQ8_0.decode(reinterpret_cast<const std::byte*>(q8.data()), 1, x.data());
  EXPECT_EQ(x[0], -64);
  EXPECT_EQ(x[1], 2);
  EXPECT_EQ(x[31], 62);
  kBlockQ4_0.decode(reinterpret_cast<const std::byte*>(q40.data()), 1, x.data());
  EXPECT_EQ(x[0], -4);
  EXPECT_EQ(x[15], 3.5f);
  EXPECT_EQ(x[16], 3.5f);
  EXPECT_EQ(x[17], 3);
  kBlockQ4_1.decode(reinterpret_cast<const std::byte*>(q41.data()), 1, x.data());
  EXPECT_EQ(x[0], -2);
  EXPECT_EQ(x[1], -1.5f);
  EXPECT_EQ(x[16], 5.5f);
  EXPECT_EQ(x[31], -2);
}

TEST(GgufSource, EveryRectangleOfBlocksIsThatOfTheWhole) {
  std::string data;
  for (int b = 0; b < 2 * 3 * 3; ++b) {  // [2, 3, 96] of Q8_0
    data += raw<uint16_t>(static_cast<uint16_t>(0x3800 + b));
    for (int i = 0; i < 32; ++i) data += static_cast<char>(b * 7 + i * 5);
  }
  for (const uint32_t version : {2u, 3u}) {
    MemoryFileSystem files;
    put(files, gguf({{"a", {96, 3, 2}, 8, 0}}, data, version));
    const GgufSource source(files, "/x.gguf");
    ASSERT_EQ(to_string(source.tensors()[0]), "a (param) f32 [2, 3, 96]");
    const std::vector<std::byte> whole = read_whole(source, 0);
    std::array<float, 2> first{};
    std::memcpy(first.data(), whole.data(), sizeof first);
    EXPECT_EQ(first[1], 2.5f);
    for (const int64_t a : {0, 1})
      for (const int64_t r : {0, 1, 2})
        for (const int64_t c : {0, 1, 31, 32, 50})
          for (const int64_t w : {1, 2, 33, 46}) {
            const Rect rect{.begin = {a, r, c}, .extent = {2 - a, 3 - r, w}};
            std::vector<std::byte> got(static_cast<size_t>(rect.numel() * 4)), want(got.size());
            source.read(0, rect, row_major(got.data(), rect.extent, 4));
            copy_rect(rect, Rect::whole({2, 3, 96}), whole.data(), rect,
                      row_major(want.data(), rect.extent, 4), 4);
            EXPECT_EQ(got, want) << a << " " << r << " " << c << " " << w;
          }
  }
}

TEST(GgufSource, RowsLongerThanItsBufferAreReadInParts) {
  constexpr int64_t kBlocks = 40'000;  // 1.36 MB
  std::string data;
  for (int64_t b = 0; b < 2 * kBlocks; ++b)
    data += raw<uint16_t>(0x3c00) + std::string(32, static_cast<char>(b % 127));
  MemoryFileSystem files;
  put(files, gguf({{"a", {32 * kBlocks, 2}, 8, 0}}, data));
  const std::vector<std::byte> whole = read_whole(GgufSource(files, "/x.gguf"), 0);
  for (int64_t i = 0; i < 64 * kBlocks; i += 31) {
    float value = 0;
    std::memcpy(&value, whole.data() + i * 4, 4);
    ASSERT_EQ(value, static_cast<float>(i / 32 % 127)) << i;
  }
}

TEST(RotaryOrder, FirstHalvesComeBeforeSecond) {
  for (const Shape& shape : {Shape{12, 3}, Shape{12}}) {
    const MemorySource stored({{.name = "q", .shape = shape}});
    const RotaryOrderSource ordered(stored, {{0, 6}});
    const int64_t row = shape.numel() / 12 * 4;
    const std::vector<std::byte> from = read_whole(stored, 0), whole = read_whole(ordered, 0);
    constexpr int kOrder[] = {0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11};
    for (int64_t r = 0; r < 12; ++r)
      EXPECT_EQ(std::memcmp(whole.data() + r * row, from.data() + kOrder[r] * row, static_cast<size_t>(row)),
                0)
          << r;
    for (int64_t first = 0; first < 12; ++first)
      for (int64_t count = 1; first + count <= 12; ++count) {
        Rect part = Rect::whole(shape);
        part.begin.set(0, first);
        part.extent.set(0, count);
        std::vector<std::byte> got(static_cast<size_t>(count * row));
        ordered.read(0, part, row_major(got.data(), part.extent, 4));
        EXPECT_EQ(std::memcmp(got.data(), whole.data() + first * row, got.size()), 0)
            << first << " " << count;
      }
  }
}

TEST(GgufSource, WhatIsDamagedIsRefused) {
  const std::string block(34, 'x');
  const std::string good = gguf({{"a", {32}, 8, 0}, {"b", {2}, 0, 64}}, block + std::string(30 + 8, '\0'));
  EXPECT_EQ(gguf_fault(good), "");
  EXPECT_THAT(gguf_fault(gguf({{"a", {32}, 8, 0}, {"b", {2}, 0, 32}}, block + block)),
              HasSubstr("where the one before"));
  EXPECT_THAT(gguf_fault(good.substr(0, good.size() - 1)), HasSubstr("a file of"));
  EXPECT_THAT(gguf_fault(gguf({{"a", {256}, 14, 0}}, block)), HasSubstr("Q6_K"));
  EXPECT_THAT(gguf_fault(gguf({{"a", {31}, 8, 0}}, block)), HasSubstr("multiple of 32"));
  EXPECT_THAT(gguf_fault(gguf({{"a", {2}, 0, 8}}, block)), HasSubstr("a multiple of 32"));
  EXPECT_THAT(gguf_fault(gguf({{"a", {2}, 0, 0}, {"a", {2}, 0, 32}}, block + block)), HasSubstr("twice"));
  EXPECT_THAT(gguf_fault(gguf({{"a", {uint64_t{1} << 39, uint64_t{1} << 39}, 0, 0}}, block)), HasSubstr("a"));
  EXPECT_THAT(gguf_fault(gguf({}, "", 1)), HasSubstr("version 1"));
  EXPECT_THAT(gguf_fault(gguf({}, "", 0x03000000)), HasSubstr("big-endian"));
  EXPECT_THAT(gguf_fault(gguf({}, "", 3,
                              text("k") + raw<uint32_t>(9) + raw<uint32_t>(8) + raw(uint64_t{1} << 60), 1)),
              HasSubstr("elements"));
  EXPECT_THAT(gguf_fault(gguf({}, "", 3, text("k") + raw<uint32_t>(8) + raw(uint64_t{1} << 40), 1)),
              HasSubstr("a text of"));
  EXPECT_THAT(gguf_fault(std::string("GGUF") + raw<uint32_t>(3) + raw(uint64_t{99'999}) + raw<uint64_t>(0)),
              HasSubstr("99999 tensors"));
  for (size_t cut = 0; cut < good.size(); ++cut) EXPECT_NE(gguf_fault(good.substr(0, cut)), "") << cut;
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {  // refused, or reads in bounds
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    gguf_fault(bad);
  }
}

}  // namespace
}  // namespace strata
