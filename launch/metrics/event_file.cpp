// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/event_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <span>
#include <string_view>

#include "core/io/crc32c.h"

namespace strata {
namespace {

// ---- protocol buffer wire format
// ------------------------------------------------------------------------------ Field numbers below are
// those of tensorflow/core/util/event.proto and framework/summary.proto.

template <typename T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  const auto bytes = std::bit_cast<std::array<char, sizeof(T)>>(value);
  return {bytes.data(), bytes.size()};
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(0x80 | (value & 0x7F));
  return bytes + static_cast<char>(value);
}

enum Wire : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string tag(uint64_t field, Wire wire) { return varint(field << 3 | wire); }
std::string int_field(uint64_t field, int64_t value) {
  return tag(field, kVarint) + varint(static_cast<uint64_t>(value));
}
std::string double_field(uint64_t field, double value) { return tag(field, kFixed64) + little_endian(value); }
std::string float_field(uint64_t field, float value) { return tag(field, kFixed32) + little_endian(value); }
std::string bytes_field(uint64_t field, std::string_view bytes) {
  return tag(field, kBytes) + varint(bytes.size()) + std::string(bytes);
}

std::string event(double wall_seconds, int64_t step, const std::string& what) {
  return double_field(1, wall_seconds) + int_field(2, step) + what;
}
std::string file_version() { return bytes_field(3, "brain.Event:2"); }
std::string session_start() { return bytes_field(7, int_field(1, /*START*/ 1)); }
std::string summary(const EventFile::Scalars& scalars) {
  std::string values;
  for (const auto& [name, value] : scalars)
    values += bytes_field(1, bytes_field(1, name) + float_field(2, static_cast<float>(value)));
  return bytes_field(5, values);
}

// ---- record framing
// -------------------------------------------------------------------------------------------

// A CRC stored beside data that itself holds CRCs is rotated and offset, as in the record format's
// definition.
uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(std::as_bytes(std::span(bytes)));
  return std::rotr(crc, 15) + 0xA282EAD8u;
}

std::string framed(std::string_view bytes) {
  const std::string length = little_endian(uint64_t{bytes.size()});
  return length + little_endian(masked_crc(length)) + std::string(bytes) + little_endian(masked_crc(bytes));
}

// A name that no earlier run of the folder has: two starts within a second may get the same process number in
// two containers that share the folder, then the second moves on.
std::string new_path(FileSystem& files, const std::string& folder, double wall_seconds) {
  make_directories(files, folder);
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') host = {"localhost"};
  for (auto seconds = static_cast<int64_t>(wall_seconds);; ++seconds) {
    std::string path =
        fmt::format("{}/events.out.tfevents.{}.{}.{}.v2", folder, seconds, host.data(), ::getpid());
    if (!files.info(path)) return path;
  }
}

}  // namespace

EventFile::EventFile(FileSystem& files, const std::string& folder, double wall_seconds,
                     std::optional<int64_t> resumed_after)
    : file_(files, new_path(files, folder, wall_seconds), AppendFile::Open::create) {
  file_.append(framed(event(wall_seconds, 0, file_version())));
  // Readers drop points of this step and later that they read before the session began.
  if (resumed_after) file_.append(framed(event(wall_seconds, *resumed_after + 1, session_start())));
}

void EventFile::write(int64_t step, double wall_seconds, const Scalars& scalars) {
  if (!scalars.empty()) file_.append(framed(event(wall_seconds, step, summary(scalars))));
}

EventFile::Scalars EventFile::scalars_of(const StepRecord& r) {
  Scalars scalars = {{"train/loss", r.loss},
                     {"train/grad_norm", r.grad_norm},
                     {"train/lr", r.lr},
                     {"perf/tokens_per_s", r.tokens_per_second()},
                     {"perf/step_ms", 1e3 * r.step_seconds}};
  if (r.valid_loss) scalars.emplace_back("valid/loss", *r.valid_loss);
  if (r.mfu) scalars.emplace_back("perf/mfu", *r.mfu);
  if (r.joules && r.tokens > 0)
    scalars.emplace_back("perf/joules_per_token", *r.joules / static_cast<double>(r.tokens));
  auto tier = [&](const char* tag, const TierUse& use) {
    if (use.peak_bytes > 0) scalars.emplace_back(tag, static_cast<double>(use.bytes));
  };
  tier("memory/device", r.memory.device);
  tier("memory/host", r.memory.host);
  tier("memory/nvme", r.memory.nvme);
  for (const auto& [lane, ms] : r.waits_ms) scalars.emplace_back("wait/" + lane, ms);
  return scalars;
}

}  // namespace strata
