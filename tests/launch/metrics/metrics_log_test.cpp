// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/metrics_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "core/base/error.h"
#include "launch/metrics/event_file.h"
#include "tests/launch/metrics/sample_run.h"

namespace strata {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string file_of_steps(int64_t count) {
  std::string text;
  for (int64_t step = 1; step <= count; ++step) text += to_json(sample_step(step)) + "\n";
  return text;
}

TEST(MetricsLine, HasTheDocumentedKeysInOrder) {
  StepRecord r = sample_step(50);
  const auto o = nlohmann::ordered_json::parse(to_json(r));
  std::vector<std::string> keys;
  for (const auto& [key, value] : o.items()) keys.push_back(key);
  EXPECT_THAT(keys, testing::ElementsAre("step", "loss", "valid_loss", "grad_norm", "lr", "tokens",
                                         "tokens_per_s", "step_ms", "mfu", "memory", "wait", "tokens_seen",
                                         "steps_total", "flops", "memory_peak"));
  EXPECT_EQ(o["step"], 50);
  EXPECT_EQ(o["tokens"], 8192);
  EXPECT_NEAR(o["tokens_per_s"].get<double>(), 8192 / r.step_seconds, 0.05);
  EXPECT_NEAR(o["step_ms"].get<double>(), 1e3 * r.step_seconds, 5e-4);
  EXPECT_EQ(o["mfu"], 0.41);
  EXPECT_EQ(o["memory"], (json{{"device", 0}, {"host", 512 << 20}, {"nvme", int64_t{3} << 30}}));
  EXPECT_EQ(o["wait"], (json{{"compute", 0.25}, {"disk", 1.5}}));
  EXPECT_EQ(to_json(r).find('\n'), std::string::npos);
}

TEST(MetricsLine, OptionalPartsAppearOnlyWhenTheyAreThere) {
  StepRecord r = sample_step(7);
  json o = json::parse(to_json(r));
  for (const char* key : {"valid_loss", "nonfinite", "skipped", "phase"})
    EXPECT_FALSE(o.contains(key)) << key;
  r.mfu.reset();
  r.skipped = true;
  r.phase = "warm \"up\"\n\xff";
  o = json::parse(to_json(r));
  EXPECT_TRUE(o["mfu"].is_null());
  EXPECT_EQ(o["skipped"], true);
  EXPECT_EQ(o["phase"], "warm \"up\"\n\xef\xbf\xbd");
}

TEST(MetricsLine, LossIsTheShortestTextOfTheDouble) {
  StepRecord r;
  r.loss = 0.1;
  EXPECT_THAT(to_json(r), HasSubstr("\"loss\": 0.1,"));
  r.loss = 0.1 + 0.2;
  EXPECT_THAT(to_json(r), HasSubstr("\"loss\": 0.30000000000000004,"));
  r.loss = 1.0 / 3;
  EXPECT_THAT(to_json(r), HasSubstr("\"loss\": 0.3333333333333333,"));
  r.loss = 2;
  EXPECT_THAT(to_json(r), HasSubstr("\"loss\": 2,"));
}

TEST(MetricsLine, ExactValuesKeepEveryBit) {
  std::mt19937_64 bits(7);
  std::vector<double> values = {0.0, 5e-324, std::numeric_limits<double>::min(),
                                std::numeric_limits<double>::max(), 1 / 3.0};
  while (values.size() < 2000) {
    const double value = std::bit_cast<double>(bits());
    if (std::isfinite(value)) values.push_back(value);
  }
  for (const double value : values) {
    StepRecord r = sample_step(3);
    r.loss = r.lr = r.grad_norm = value;
    r.valid_loss = value;
    const StepRecord back = parse_record(to_json(r));
    for (const double read : {back.loss, back.lr, back.grad_norm, back.valid_loss.value()})
      ASSERT_EQ(std::bit_cast<uint64_t>(read), std::bit_cast<uint64_t>(value)) << to_json(r);
  }
}

TEST(MetricsLine, NonFiniteValuesAreNullAndSaidSo) {
  const double bad[] = {NAN, -NAN, INFINITY, -INFINITY};
  for (const double value : bad) {
    for (int which = 0; which < 4; ++which) {
      StepRecord r = sample_step(50);
      if (which == 0) r.loss = value;
      if (which == 1) r.grad_norm = value;
      if (which == 2) r.valid_loss = value;
      if (which == 3) r.lr = value;
      const char* key = std::array{"loss", "grad_norm", "valid_loss", "lr"}[which];
      const json o = json::parse(to_json(r));
      EXPECT_TRUE(o[key].is_null()) << key;
      EXPECT_EQ(o["nonfinite"], true) << key;
      const StepRecord back = parse_record(to_json(r));
      EXPECT_EQ(std::isnan(back.loss), which == 0);
      EXPECT_EQ(std::isnan(back.grad_norm), which == 1);
      EXPECT_EQ(std::isnan(back.valid_loss.value()), which == 2);
    }
  }
}

TEST(MetricsLine, ReadsBackWhole) {
  StepRecord r = sample_step(100);
  r.skipped = true;
  r.phase = "decay";
  r.joules = 62.5;
  const StepRecord back = parse_record(to_json(r));
  EXPECT_EQ(to_json(back), to_json(r));
  EXPECT_EQ(back.memory, r.memory);
  EXPECT_EQ(back.waits_ms, r.waits_ms);
  EXPECT_EQ(back.tokens_seen, r.tokens_seen);
  EXPECT_EQ(back.steps_total, r.steps_total);
  EXPECT_EQ(back.flops, r.flops);
  EXPECT_EQ(back.mfu, r.mfu);
  EXPECT_EQ(back.joules, 62.5);
  EXPECT_TRUE(back.skipped);
  EXPECT_EQ(back.phase, "decay");
}

TEST(MetricsLog, EveryLineIsInTheFileWhenWriteReturns) {
  const TempFolder folder;
  MetricsLog log(folder.files(), folder / "metrics.jsonl");
  for (int64_t step = 1; step <= 5; ++step) {
    log.write(sample_step(step));
    EXPECT_EQ(folder.read("metrics.jsonl"), file_of_steps(step));
    EXPECT_EQ(read_metrics(folder.files(), folder / "metrics.jsonl").size(), static_cast<size_t>(step));
  }
}

TEST(MetricsLog, ContinuesBehindHalfALine) {
  const MemoryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  const std::string whole = file_of_steps(4), three = file_of_steps(3);
  // Every place a crash can cut the fourth line at, the newline alone missing included.
  for (size_t size = three.size(); size < whole.size(); ++size) {
    folder.write("metrics.jsonl", whole.substr(0, size));
    EXPECT_EQ(read_metrics(folder.files(), path).size(), 3u) << size;
    MetricsLog(folder.files(), path).write(sample_step(4));
    ASSERT_EQ(folder.read("metrics.jsonl"), whole) << size;
  }
}

TEST(MetricsLog, CutBackKeepsTheStepsBefore) {
  const MemoryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  EXPECT_EQ(cut_back(folder.files(), path, 3), 0);
  EXPECT_FALSE(folder.has("metrics.jsonl"));
  // What crashes leave: nothing, half a line, half a line that happens to end one, blocks that were never
  // written.
  const std::string tails[] = {"", "{\"step\": 7, \"lo", "{\"step\": 7, \"lo\n", std::string(3, '\0')};
  for (const int64_t step : {0, 1, 3, 6, 7, 100}) {
    for (const std::string& tail : tails) {
      folder.write("metrics.jsonl", file_of_steps(6) + tail);
      EXPECT_EQ(cut_back(folder.files(), path, step), std::max<int64_t>(6 - step, 0));
      EXPECT_EQ(folder.read("metrics.jsonl"), file_of_steps(std::min<int64_t>(step, 6))) << step << tail;
      EXPECT_FALSE(folder.has("metrics.jsonl.tmp"));
    }
  }
}

TEST(MetricsLog, CutBackLeavesKeptLinesByteForByte) {
  const MemoryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  // A line that we would write differently: another key order, another key, spaces.
  std::string first = to_json(sample_step(1));
  first.insert(1, "  \"note\" : \"by hand\", ");
  folder.write("metrics.jsonl", first + "\n" + to_json(sample_step(2)) + "\n");
  EXPECT_EQ(cut_back(folder.files(), path, 1), 1);
  EXPECT_EQ(folder.read("metrics.jsonl"), first + "\n");
}

TEST(MetricsLog, CutBackThatChangesNothingDoesNotRewrite) {
  const TempFolder folder;
  const std::string path = folder / "metrics.jsonl";
  folder.write("metrics.jsonl", file_of_steps(3));
  std::filesystem::create_hard_link(path, folder / "same");
  cut_back(folder.files(), path, 3);
  EXPECT_EQ(std::filesystem::hard_link_count(path), 2u);  // a replaced file is another file
}

// Every call of a cut fails, or is the last before the power goes: the old file or the new one is there,
// whole.
TEST(MetricsLog, CutBackThatFailsLeavesTheOldFileOrTheNew) {
  using Kind = IoFault::Kind;
  for (const Kind kind : {Kind::error, Kind::crash}) {
    int64_t faults = 0;
    for (bool hit = true; hit; ++faults) {
      ASSERT_LT(faults, 100);
      const MemoryFolder folder({.seed = static_cast<uint64_t>(faults)});
      folder.write("metrics.jsonl", file_of_steps(6));
      folder.files().inject({.kind = kind, .at = faults, .code = ENOSPC});
      hit = false;
      try {
        cut_back(folder.files(), folder / "metrics.jsonl", 3);
      } catch (const IoError& error) {
        hit = true;
        EXPECT_EQ(error.fault(), Fault::environment);
        EXPECT_THAT(error.what(), HasSubstr("/run"));
      }
      if (folder.files().crashed()) {
        hit = true;
        folder.files().reboot();
      }
      folder.files().clear_faults();
      const std::string after = folder.read("metrics.jsonl");
      EXPECT_TRUE(after == file_of_steps(6) || after == file_of_steps(3)) << faults << after;
      cut_back(folder.files(), folder / "metrics.jsonl", 3);  // and it can be done again
      EXPECT_EQ(folder.read("metrics.jsonl"), file_of_steps(3));
    }
    EXPECT_GT(faults, 5) << "the faults hit nothing";
  }
}

TEST(MetricsLog, DamageBeforeTheEndIsNamed) {
  const MemoryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  for (const char* damage : {"{\"step\": 2, \"lo\n", "\n", "[1]\n", "{}\n", "{\"step\": \"two\"}\n"}) {
    folder.write("metrics.jsonl", file_of_steps(1) + damage + to_json(sample_step(3)) + "\n");
    for (const bool cut : {false, true}) {
      try {
        if (cut) {
          cut_back(folder.files(), path, 2);
        } else {
          read_metrics(folder.files(), path);
        }
        FAIL() << damage;
      } catch (const Error& error) {
        EXPECT_EQ(error.fault(), Fault::data);
        EXPECT_THAT(error.report().where, testing::EndsWith("metrics.jsonl:2"));
        EXPECT_THAT(error.report().fix, HasSubstr("delete that line"));
      }
    }
  }
}

TEST(MetricsLog, AMissingFileOrFolderIsNamed) {
  const MemoryFolder folder;
  auto expect_error = [&](auto action) {
    try {
      action();
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::environment);
      EXPECT_THAT(error.what(), HasSubstr(folder / "none/metrics.jsonl"));
      EXPECT_THAT(error.what(), HasSubstr("No such file"));
    }
  };
  expect_error([&] { read_metrics(folder.files(), folder / "none/metrics.jsonl"); });
  expect_error([&] { MetricsLog(folder.files(), folder / "none/metrics.jsonl"); });
}

// A disk that fills up at every place inside the second line.
TEST(MetricsLog, ALineThatDoesNotFitIsTakenBack) {
  const auto one = static_cast<int64_t>(file_of_steps(1).size()),
             two = static_cast<int64_t>(file_of_steps(2).size());
  for (int64_t capacity = one; capacity < two; ++capacity) {
    const MemoryFolder folder({.capacity_bytes = capacity});
    MetricsLog log(folder.files(), folder / "metrics.jsonl");
    log.write(sample_step(1));
    try {
      log.write(sample_step(2));
      ADD_FAILURE();
    } catch (const IoError& error) {
      EXPECT_EQ(error.code(), ENOSPC);
      EXPECT_THAT(error.what(), HasSubstr("/run/metrics.jsonl"));
    }
    ASSERT_EQ(folder.read("metrics.jsonl"), file_of_steps(1)) << capacity;
  }
}

TEST(MetricsLog, GoesOnAfterAFailedLine) {
  const MemoryFolder folder;
  MetricsLog log(folder.files(), folder / "metrics.jsonl");
  log.write(sample_step(1));
  // Half a line gets into the file, and taking it back fails as well.
  folder.files().inject({.kind = IoFault::Kind::short_transfer, .call = IoCall::write});
  folder.files().inject({.kind = IoFault::Kind::error, .at = 1, .call = IoCall::write});
  folder.files().inject({.kind = IoFault::Kind::error, .call = IoCall::truncate});
  EXPECT_THROW(log.write(sample_step(2)), IoError);
  EXPECT_NE(folder.read("metrics.jsonl"), file_of_steps(1)) << "the fault hit nothing";
  EXPECT_EQ(read_metrics(folder.files(), folder / "metrics.jsonl").size(), 1u);
  log.write(sample_step(2));
  EXPECT_EQ(folder.read("metrics.jsonl"), file_of_steps(2));
}

// The best of several rounds: a busy neighbour process does not count.
TEST(MetricsLog, ARecordCostsLessThanAMillisecond) {
  const TempFolder folder;
  MetricsLog log(folder.files(), folder / "metrics.jsonl");
  EventFile events(folder.files(), folder.path(), 5);
  constexpr int kRounds = 20, kSteps = 25;
  double best_ms = HUGE_VAL;
  for (int round = 0; round < kRounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    for (int64_t step = 1; step <= kSteps; ++step) {
      log.write(sample_step(step));
      events.write(sample_step(step), 6);
    }
    const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - begin;
    best_ms = std::min(best_ms, spent.count() / kSteps);
  }
  RecordProperty("microseconds_per_record", std::to_string(1e3 * best_ms));
  EXPECT_LT(best_ms, 1.0);
}

}  // namespace
}  // namespace strata
