// SPDX-License-Identifier: Apache-2.0
#include "launch/bisect/record.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "core/base/error.h"

namespace strata {
namespace {

Summary summary(uint64_t begin, uint64_t end) {
  Summary sum;
  for (uint64_t i = begin; i < end; ++i) sum.add(i, i * 3, std::sin(static_cast<double>(i)));
  return sum;
}

TEST(Record, KeysStandInTheOrderOfCauses) {
  const std::vector<RecordKey> order = {{1, Quantity::token, -1, 0, ""},
                                        {1, Quantity::token, -1, 1, ""},
                                        {1, Quantity::weight_used, 0, -1, "a"},
                                        {1, Quantity::output, 0, 0, ""},
                                        {1, Quantity::output, 0, 3, ""},
                                        {1, Quantity::received_input, 1, 0, ""},
                                        {1, Quantity::weight_used, 1, -1, "b"},
                                        {1, Quantity::output, 1, 0, ""},
                                        {1, Quantity::loss, -1, -1, ""},
                                        {1, Quantity::input_gradient, 2, 0, ""},
                                        {1, Quantity::received_gradient, 1, 0, ""},
                                        {1, Quantity::input_gradient, 1, 0, ""},
                                        {1, Quantity::gradient, 0, -1, "a"},
                                        {1, Quantity::gradient, 1, -1, "b"},
                                        {1, Quantity::gradient_norm, -1, -1, ""},
                                        {1, Quantity::weight, 0, -1, "a"},
                                        {1, Quantity::state, 0, -1, "a/moment1"},
                                        {2, Quantity::token, -1, 0, ""}};
  std::vector<RecordKey> shuffled = order;
  std::ranges::shuffle(shuffled, std::mt19937(1));
  std::sort(shuffled.begin(), shuffled.end());
  EXPECT_EQ(shuffled, order);
}

TEST(Record, CopiesShareAPartAndShardsAddUp) {
  RecordEntry entry{.count = 10};
  entry.add({.ranks = {2}, .action = "", .summary = summary(5, 10)});
  entry.add({.ranks = {0}, .action = "", .summary = summary(0, 5)});
  entry.add({.ranks = {1}, .action = "", .summary = summary(0, 5)});
  ASSERT_EQ(entry.parts.size(), 2U);
  EXPECT_EQ(entry.parts[0].ranks, (std::vector{0, 1}));
  EXPECT_TRUE(entry.whole().same_bits(summary(0, 10)));
  EXPECT_EQ(entry.other_copy(entry.parts[0]), nullptr);
  Summary wrong = summary(0, 5);
  wrong.bits += 1;
  entry.add({.ranks = {3}, .action = "", .summary = wrong});
  ASSERT_EQ(entry.parts.size(), 3U);
  EXPECT_EQ(entry.other_copy(entry.parts[0])->ranks, std::vector{3});
  EXPECT_EQ(entry.whole().count, 10);  // one copy of each
}

Record sample() {
  Record record{.header = {.name = "run",
                           .layout = "dp 2",
                           .batch = "4 of 1 x 16",
                           .ordered = true,
                           .compute = "bf16",
                           .isa = "avx2",
                           .blocks = {"embedding", "layer 0", "head"},
                           .ranks = {"rank 0 (dp 0)", "rank 1 (dp 1)"}},
                .entries = {}};
  RecordEntry entry{.count = 10, .width = 5};
  entry.add({.ranks = {0}, .action = "forward 1 mb=0", .summary = summary(0, 5)});
  entry.add({.ranks = {1}, .action = "forward 1 mb=0", .summary = summary(5, 10)});
  record.add({3, Quantity::output, 1, 7, ""}, entry);
  Summary nothing;
  nothing.add(0, 5, NAN);
  RecordEntry bad{.count = 1, .integer = true};
  bad.add({.ranks = {0, 1}, .action = "", .summary = nothing});
  record.add({3, Quantity::state, 0, -1, "layers.0.x/moment1"}, bad);
  return record;
}

std::string text_of(const Record& record) {
  std::string text = to_line(record.header);
  for (const auto& [key, entry] : record.entries) text += to_line(key, entry);
  return text;
}

TEST(Record, TextGivesBackEveryBit) {
  const Record record = sample();
  const std::string text = text_of(record);
  EXPECT_TRUE(is_record(text));
  EXPECT_FALSE(is_record("[run]\nsteps = 1\n"));
  const Record again = parse_record(text, "file");
  EXPECT_EQ(text_of(again), text);
  EXPECT_EQ(again.header.blocks, record.header.blocks);
  const RecordKey key{3, Quantity::output, 1, 7, ""};
  ASSERT_TRUE(again.entries.contains(key));
  const Summary a = record.entries.at(key).whole(), b = again.entries.at(key).whole();
  EXPECT_TRUE(a.same_bits(b));
  EXPECT_EQ(a.sketch, b.sketch);
  EXPECT_EQ(a.squares, b.squares);
}

TEST(Record, LinesOfSeveralRanksMeet) {
  const Record whole = sample();
  Record met{.header = whole.header, .entries = {}};
  for (const int rank : {1, 0}) {
    std::string lines;
    for (const auto& [key, entry] : whole.entries) {
      RecordEntry own{.count = entry.count, .width = entry.width, .integer = entry.integer, .parts = {}};
      for (RecordPart part : entry.parts) {
        if (std::ranges::count(part.ranks, rank) == 0) continue;
        part.ranks = {rank};
        own.add(part);
      }
      lines += to_line(key, own);
    }
    parse_entries(lines, "rank", met);
  }
  EXPECT_EQ(text_of(met), text_of(whole));
}

TEST(Record, ALineThatWasCutIsLeftOutAndAnythingElseIsRefused) {
  const std::string text = text_of(sample());
  EXPECT_EQ(parse_record(text.substr(0, text.size() - 20), "file").entries.size(), 1U);
  const auto refusal = [&](const std::string& word, const std::string& other) {
    std::string spoilt = text;
    spoilt.replace(spoilt.find(word), word.size(), other);
    try {
      parse_record(spoilt, "file");
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::usage);
      return error.report().where;
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refusal("\"strata_record\":1", "\"strata_record\":9"), "file:1");
  EXPECT_EQ(refusal("\"sketch\"", "\"sketsh\""), "file:2");
  EXPECT_EQ(refusal("\"state\"", "\"statf\""), "file:3");
}

}  // namespace
}  // namespace strata
