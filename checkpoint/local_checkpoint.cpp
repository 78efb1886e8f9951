// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/local_checkpoint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/io/crc32c.h"

namespace strata {
namespace {

constexpr std::array<char, 8> kMagic{'S', 'T', 'R', 'A', 'T', 'A', 'L', '1'};
constexpr uint32_t kVersion = 1;
constexpr int64_t kDataAlignment = 4096;
constexpr int64_t kMaxContents = int64_t{64} << 20;
constexpr std::string_view kPrefix = "step-", kSuffix = ".strata";

// The first bytes of the file, little-endian as the machine. Written last: until then the file is nothing.
struct Preamble {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t contents_crc;
  int64_t contents_offset;
  int64_t contents_bytes;
};
static_assert(sizeof(Preamble) == 32);

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

DType dtype_named(std::string_view text) {
  for (const DType type :
       {DType::f32, DType::bf16, DType::i16, DType::i32, DType::i64, DType::u8, DType::f64})
    if (name(type) == text) return type;
  throw Error(Fault::model, {.what = "a tensor of unknown type", .found = std::string(text)});
}

}  // namespace

void save_local_checkpoint(FileSystem& files, const std::string& path, const nlohmann::json& meta,
                           std::span<const NamedTensor> tensors) {
  const std::string temporary = path + ".tmp";
  auto write_all = [&] {
    auto file = files.open(temporary, OpenMode::create);
    nlohmann::json contents{{"meta", meta}, {"tensors", nlohmann::json::array()}};
    int64_t offset = kDataAlignment;
    for (const auto& [name, tensor] : tensors) {
      check(tensor.contiguous(), "[checkpoint] '{}' is strided", name);
      const std::span bytes(tensor.raw(), static_cast<size_t>(tensor.bytes()));
      file->write(offset, bytes);
      std::vector<int64_t> shape(tensor.shape().begin(), tensor.shape().end());
      contents["tensors"].push_back({{"name", name},
                                     {"dtype", strata::name(tensor.dtype())},
                                     {"shape", shape},
                                     {"offset", offset},
                                     {"crc32c", crc32c(bytes)}});
      offset = round_up(offset + tensor.bytes(), kDataAlignment);
    }
    const std::string text = contents.dump();
    const auto text_bytes = std::as_bytes(std::span(text));
    file->write(offset, text_bytes);
    const Preamble preamble{.magic = kMagic,
                            .version = kVersion,
                            .contents_crc = crc32c(text_bytes),
                            .contents_offset = offset,
                            .contents_bytes = static_cast<int64_t>(text.size())};
    file->write(0, bytes_of(preamble));
    file->sync();
  };
  try {
    write_all();
    files.rename(temporary, path);
    files.sync_directory(parent_directory(path));
  } catch (...) {
    try {
      files.remove(temporary);
    } catch (const IoError&) {
      // the first failure is the one to tell
    }
    throw;
  }
}

void LocalCheckpoint::fail(Report report) const {
  report.where = path_;
  if (report.fix.empty()) report.fix = "use another checkpoint of the run";
  throw Error(Fault::model, std::move(report));
}

LocalCheckpoint::LocalCheckpoint(FileSystem& files, const std::string& path)
    : path_(path), file_(files.open_if_exists(path, OpenMode::read)) {
  if (!file_)
    fail({.what = "there is no such checkpoint",
          .fix = "name a file OUT/checkpoints/step-N.strata, or a run's OUT"});
  const int64_t size = file_->size();
  Preamble preamble{};
  if (size < static_cast<int64_t>(sizeof preamble))
    fail({.what = "the checkpoint is cut short", .found = fmt::format("{} bytes", size)});
  file_->read(0, std::as_writable_bytes(std::span(&preamble, 1)));
  if (preamble.magic != kMagic)
    fail({.what = "this is not a checkpoint of Strata", .found = "other first bytes"});
  if (preamble.version != kVersion)
    fail({.what = "the checkpoint was written by another version of Strata",
          .found = fmt::format("format {}", preamble.version),
          .expected = fmt::format("format {}", kVersion)});
  if (preamble.contents_bytes < 0 || preamble.contents_bytes > kMaxContents || preamble.contents_offset < 0 ||
      preamble.contents_offset > size - preamble.contents_bytes)
    fail({.what = "the checkpoint is cut short or damaged",
          .found = fmt::format("{} bytes", size),
          .expected = fmt::format("a table of contents of {} bytes at {}", preamble.contents_bytes,
                                  preamble.contents_offset)});
  std::string text(static_cast<size_t>(preamble.contents_bytes), '\0');
  file_->read(preamble.contents_offset, std::as_writable_bytes(std::span(text)));
  if (crc32c(std::as_bytes(std::span(text))) != preamble.contents_crc)
    fail({.what = "the checkpoint's table of contents is damaged",
          .found = "another checksum than was written"});
  try {
    const nlohmann::json contents = nlohmann::json::parse(text);
    meta_ = contents.at("meta");
    for (const nlohmann::json& row : contents.at("tensors")) {
      Entry& entry = entries_.emplace_back();
      entry.name = row.at("name").get<std::string>();
      entry.dtype = dtype_named(row.at("dtype").get<std::string>());
      for (const int64_t extent : row.at("shape")) entry.shape.append(extent);
      entry.offset = row.at("offset").get<int64_t>();
      entry.bytes = entry.shape.numel() * size_of(entry.dtype);
      entry.crc = row.at("crc32c").get<uint32_t>();
      if (entry.offset < 0 || entry.bytes < 0 || entry.offset > size - entry.bytes)
        fail({.what = fmt::format("tensor '{}' lies outside the checkpoint", entry.name),
              .found = fmt::format("{} bytes at {}", entry.bytes, entry.offset),
              .expected = fmt::format("a place within {} bytes", size)});
    }
  } catch (const nlohmann::json::exception& e) {
    fail({.what = "the checkpoint's table of contents cannot be read", .found = e.what()});
  }
}

const LocalCheckpoint::Entry* LocalCheckpoint::find(const std::string& name) const {
  const auto entry =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.name == name; });
  return entry == entries_.end() ? nullptr : &*entry;
}

void LocalCheckpoint::read(const std::string& name, const Tensor& into) const {
  const Entry* const entry = find(name);
  if (!entry) fail({.what = fmt::format("the checkpoint has no tensor '{}'", name)});
  if (entry->dtype != into.dtype() || entry->shape != into.shape())
    fail({.what = fmt::format("tensor '{}' is not what the run needs", name),
          .found = fmt::format("{} {}", strata::name(entry->dtype), entry->shape),
          .expected = fmt::format("{} {}", strata::name(into.dtype()), into.shape())});
  check(into.contiguous(), "[checkpoint] '{}' into a strided tensor", name);
  const std::span bytes(into.raw(), static_cast<size_t>(into.bytes()));
  file_->read(entry->offset, bytes);
  if (const uint32_t crc = crc32c(bytes); crc != entry->crc)
    fail({.what = fmt::format("tensor '{}' is damaged", name),
          .found = fmt::format("checksum {:08x}", crc),
          .expected = fmt::format("{:08x}", entry->crc)});
}

std::string checkpoint_path(const std::string& directory, int64_t step) {
  return fmt::format("{}/{}{:08}{}", directory, kPrefix, step, kSuffix);
}

std::vector<SavedStep> list_checkpoints(FileSystem& files, const std::string& directory) {
  std::vector<SavedStep> steps;
  for (const std::string& file : files.list(directory).value_or(std::vector<std::string>{})) {
    if (!file.starts_with(kPrefix) || !file.ends_with(kSuffix)) continue;
    int64_t step = 0;
    const char* const begin = file.data() + kPrefix.size();
    const char* const end = file.data() + file.size() - kSuffix.size();
    if (const auto [rest, code] = std::from_chars(begin, end, step); code == std::errc() && rest == end)
      steps.push_back({step, directory + "/" + file});
  }
  std::sort(steps.begin(), steps.end(),
            [](const SavedStep& a, const SavedStep& b) { return a.step < b.step; });
  return steps;
}

void prune_checkpoints(FileSystem& files, const std::string& directory, int64_t keep) {
  const std::vector<SavedStep> steps = list_checkpoints(files, directory);
  const auto kept = static_cast<size_t>(std::max<int64_t>(keep, 1));
  for (size_t i = 0; i + kept < steps.size(); ++i) files.remove(steps[i].path);
}

}  // namespace strata
