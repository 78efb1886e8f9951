// SPDX-License-Identifier: Apache-2.0
// Decodes event files with a reader written for this test alone: its own CRC, framing and protocol buffer
// walk.
#include "launch/metrics/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <stdexcept>
#include <variant>

#include "core/base/error.h"
#include "core/io/io_error.h"
#include "tests/launch/metrics/sample_run.h"

namespace strata {
namespace {

// Castagnoli's polynomial, one bit at a time (RFC 3720 appendix B.4).
uint32_t slow_crc32c(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? (crc >> 1) ^ 0x82F63B78u : crc >> 1;
  }
  return ~crc;
}

uint32_t unmask(uint32_t masked) {
  const uint32_t rotated = masked - 0xA282EAD8u;
  return (rotated >> 17) | (rotated << 15);
}

template <typename T>
T read_as(const std::string& bytes, size_t at) {
  T value;
  if (at + sizeof(T) > bytes.size()) throw std::runtime_error("file ends inside a record");
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

std::vector<std::string> records_of(const std::string& file) {
  std::vector<std::string> records;
  for (size_t at = 0; at < file.size();) {
    const auto length = read_as<uint64_t>(file, at);
    EXPECT_EQ(unmask(read_as<uint32_t>(file, at + 8)), slow_crc32c(file.substr(at, 8)));
    const std::string record = file.substr(at + 12, length);
    EXPECT_EQ(unmask(read_as<uint32_t>(file, at + 12 + length)), slow_crc32c(record));
    records.push_back(record);
    at += 16 + length;
  }
  return records;
}

// A protocol buffer as field number -> values; fixed-size values as their bytes.
using Message = std::multimap<uint64_t, std::variant<uint64_t, std::string>>;
Message decode(const std::string& bytes) {
  size_t at = 0;
  auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(at++));
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
  };
  auto take = [&](size_t count) {
    if (at + count > bytes.size()) throw std::runtime_error("message ends inside a field");
    at += count;
    return bytes.substr(at - count, count);
  };
  Message message;
  while (at < bytes.size()) {
    const uint64_t key = varint();
    switch (key & 7) {
      case 0:
        message.emplace(key >> 3, varint());
        break;
      case 1:
        message.emplace(key >> 3, take(8));
        break;
      case 2: {
        const uint64_t length = varint();
        message.emplace(key >> 3, take(length));
        break;
      }
      case 5:
        message.emplace(key >> 3, take(4));
        break;
      default:
        throw std::runtime_error("unknown wire type");
    }
  }
  return message;
}
std::string bytes_of(const Message& message, uint64_t field) {
  return std::get<std::string>(message.find(field)->second);
}
uint64_t int_of(const Message& message, uint64_t field) {
  return std::get<uint64_t>(message.find(field)->second);
}
std::map<std::string, float> scalars_in(const Message& event) {
  std::map<std::string, float> scalars;
  const Message summary = decode(bytes_of(event, 5));
  for (const auto& [field, bytes] : summary) {
    EXPECT_EQ(field, 1u);
    const Message value = decode(std::get<std::string>(bytes));
    scalars[bytes_of(value, 1)] = read_as<float>(bytes_of(value, 2), 0);
  }
  return scalars;
}

std::vector<Message> events_of(const MemoryFolder& folder, const EventFile& file) {
  std::vector<Message> events;
  for (const std::string& record : records_of(read_file(folder.files(), file.path())))
    events.push_back(decode(record));
  return events;
}

TEST(EventFile, SlowCrcIsRight) { EXPECT_EQ(slow_crc32c("123456789"), 0xE3069283u); }

TEST(EventFile, NameIsWhatTensorBoardLooksFor) {
  const MemoryFolder folder;
  const EventFile file(folder.files(), folder / "tensorboard", 1700000000.75);
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  EXPECT_EQ(file.path(), folder / "tensorboard/events.out.tfevents.1700000000." + host.data() + "." +
                             std::to_string(::getpid()) + ".v2");
}

TEST(EventFile, BeginsWithTheVersion) {
  const MemoryFolder folder;
  const EventFile file(folder.files(), folder.path(), 1700000000.75);
  const auto events = events_of(folder, file);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(bytes_of(events[0], 3), "brain.Event:2");
  EXPECT_EQ(read_as<double>(bytes_of(events[0], 1), 0), 1700000000.75);
}

TEST(EventFile, EachStepIsOneEventThatIsThereWhenWriteReturns) {
  const MemoryFolder folder;
  EventFile file(folder.files(), folder.path(), 5);
  // Steps whose varint has 1, 2, 3 and 5 bytes; a tag and a summary long enough for two-byte lengths.
  const int64_t steps[] = {0, 1, 127, 128, 16384, int64_t{1} << 33};
  const std::string long_tag(300, 't');
  for (size_t i = 0; i < std::size(steps); ++i) {
    file.write(steps[i], 10.5 + static_cast<double>(i),
               {{"a", 1.5 * static_cast<double>(i)}, {long_tag, -0.1}});
    const auto events = events_of(folder, file);
    ASSERT_EQ(events.size(), i + 2);
    EXPECT_EQ(int_of(events.back(), 2), static_cast<uint64_t>(steps[i]));
    EXPECT_EQ(read_as<double>(bytes_of(events.back(), 1), 0), 10.5 + static_cast<double>(i));
    EXPECT_EQ(scalars_in(events.back()),
              (std::map<std::string, float>{{"a", 1.5f * static_cast<float>(i)}, {long_tag, -0.1f}}));
  }
}

TEST(EventFile, NonFiniteValuesAreKept) {
  const MemoryFolder folder;
  EventFile file(folder.files(), folder.path(), 5);
  file.write(1, 6, {{"nan", NAN}, {"inf", INFINITY}, {"large", 1e300}});
  auto scalars = scalars_in(events_of(folder, file).back());
  EXPECT_TRUE(std::isnan(scalars["nan"]));
  EXPECT_EQ(scalars["inf"], INFINITY);
  EXPECT_EQ(scalars["large"], INFINITY);
}

TEST(EventFile, NoScalarsNoEvent) {
  const MemoryFolder folder;
  EventFile file(folder.files(), folder.path(), 5);
  file.write(1, 6, EventFile::Scalars{});
  EXPECT_EQ(events_of(folder, file).size(), 1u);
}

TEST(EventFile, ARecordGivesTheseScalars) {
  StepRecord r = sample_step(50);
  r.joules = static_cast<double>(2 * r.tokens);
  std::map<std::string, double> scalars;
  for (const auto& [tag, value] : EventFile::scalars_of(r)) scalars[tag] = value;
  EXPECT_EQ(scalars, (std::map<std::string, double>{{"train/loss", r.loss},
                                                    {"valid/loss", r.valid_loss.value()},
                                                    {"train/grad_norm", r.grad_norm},
                                                    {"train/lr", r.lr},
                                                    {"perf/tokens_per_s", r.tokens_per_second()},
                                                    {"perf/step_ms", 1e3 * r.step_seconds},
                                                    {"perf/mfu", 0.41},
                                                    {"perf/joules_per_token", 2},
                                                    {"memory/host", 512 << 20},
                                                    {"memory/nvme", static_cast<double>(int64_t{3} << 30)},
                                                    {"wait/compute", 0.25},
                                                    {"wait/disk", 1.5}}));
}

TEST(EventFile, AResumedRunSaysWhereItBegins) {
  const MemoryFolder folder;
  const EventFile file(folder.files(), folder.path(), 5, 120);
  const auto events = events_of(folder, file);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(int_of(events[1], 2), 121u);
  EXPECT_EQ(int_of(decode(bytes_of(events[1], 7)), 1), 1u);  // SessionLog.status = START
}

TEST(EventFile, TwoInOneSecondGetTwoFiles) {
  const MemoryFolder folder;
  std::set<std::string> paths;
  for (int i = 0; i < 3; ++i) paths.insert(EventFile(folder.files(), folder.path(), 5).path());
  EXPECT_EQ(paths.size(), 3u);
}

TEST(EventFile, AFolderThatCannotBeMadeIsNamed) {
  const MemoryFolder folder;
  folder.write("file", "x");
  try {
    EventFile(folder.files(), folder / "file/tensorboard", 5);
    FAIL();
  } catch (const IoError& error) {
    EXPECT_EQ(error.fault(), Fault::environment);
    EXPECT_THAT(error.what(), testing::HasSubstr(folder / "file"));
  }
}

}  // namespace
}  // namespace strata
