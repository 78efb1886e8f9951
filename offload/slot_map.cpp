// SPDX-License-Identifier: Apache-2.0
#include "offload/slot_map.h"

#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "core/io/crc32c.h"

namespace strata {
namespace {

static_assert(std::endian::native == std::endian::little, "records are written as they lie in memory");

constexpr int64_t kBlock = 4096;
constexpr uint64_t kMagic = 0x32'50'41'4d'54'4f'4c'53;  // "SLOTMAP2"

// Before the entries.
struct Head {
  uint64_t magic = kMagic;
  uint64_t identity = 0;
  uint64_t sequence = 0;
  int64_t step = 0;
  int64_t num_entries = 0;
  int64_t note_bytes = 0;
};
static_assert(sizeof(Head) == 48 && sizeof(SlotMap::Entry) == 8);

// Head, entries, room for the note, CRC-32C of all.
int64_t record_bytes(int64_t num_entries) {
  return int64_t{sizeof(Head)} + 8 * num_entries + SlotMapFile::kMostNote + 4;
}

int64_t area_bytes(int64_t num_entries) { return (record_bytes(num_entries) + kBlock - 1) / kBlock * kBlock; }

}  // namespace

int64_t SlotMapFile::file_bytes(int64_t num_entries) { return 2 * area_bytes(num_entries); }

void SlotMapFile::create(FileSystem& files, const std::string& path, int64_t num_entries) {
  const std::vector<std::byte> empty(static_cast<size_t>(file_bytes(num_entries)));
  replace_file(files, path, empty);
}

SlotMapFile::SlotMapFile(FileSystem& files, const std::string& path, uint64_t identity, int64_t num_entries)
    : file_(files.open(path, OpenMode::update)), identity_(identity), num_entries_(num_entries) {
  const int64_t area = area_bytes(num_entries_);
  if (const int64_t found = file_->size(); found != 2 * area)
    throw Error(Fault::data, {.what = "the map of the tile store is damaged",
                              .where = path,
                              .found = fmt::format("{} bytes", found),
                              .expected = fmt::format("{} bytes", 2 * area),
                              .fix = "resume from a checkpoint with the store's files removed"});
  std::vector<std::byte> bytes(static_cast<size_t>(area));
  for (const int64_t offset : {int64_t{0}, area}) {
    file_->read(offset, bytes);
    std::optional<Record> record = decode(bytes);
    if (!record) continue;
    if (record->sequence < sequence_) {
      before_ = std::move(record->map);
      continue;
    }
    sequence_ = record->sequence;
    before_ = std::exchange(newest_, std::move(record->map));
  }
}

void SlotMapFile::go_back() {
  check(before_.has_value(), "[slot map] there is nothing before the newest record");
  const std::vector<std::byte> nothing(static_cast<size_t>(area_bytes(num_entries_)));
  file_->write(sequence_ % 2 == 0 ? 0 : area_bytes(num_entries_), nothing);
  file_->sync();
  --sequence_;
  newest_ = std::exchange(before_, std::nullopt);
}

void SlotMapFile::commit(const SlotMap& map) {
  check(std::ssize(map.entries) == num_entries_, "[slot map] {} entries, not {}", num_entries_,
        map.entries.size());
  check(std::ssize(map.note) <= kMostNote, "[slot map] a note of {} bytes", map.note.size());
  const Record record = {sequence_ + 1, map};
  file_->write(record.sequence % 2 == 0 ? 0 : area_bytes(num_entries_), encode(record));
  file_->sync();
  sequence_ = record.sequence;
  before_ = std::exchange(newest_, map);
}

std::vector<std::byte> SlotMapFile::encode(const Record& record) const {
  std::vector<std::byte> bytes(static_cast<size_t>(area_bytes(num_entries_)));
  const Head head = {.identity = identity_,
                     .sequence = record.sequence,
                     .step = record.map.step,
                     .num_entries = num_entries_,
                     .note_bytes = std::ssize(record.map.note)};
  std::memcpy(bytes.data(), &head, sizeof head);
  std::memcpy(bytes.data() + sizeof head + 8 * num_entries_, record.map.note.data(), record.map.note.size());
  if (num_entries_ > 0)
    std::memcpy(bytes.data() + sizeof head, record.map.entries.data(), static_cast<size_t>(8 * num_entries_));
  const auto summed = static_cast<size_t>(record_bytes(num_entries_) - 4);
  const uint32_t crc = crc32c(std::span(bytes).first(summed));
  std::memcpy(bytes.data() + summed, &crc, sizeof crc);
  return bytes;
}

std::optional<SlotMapFile::Record> SlotMapFile::decode(std::span<const std::byte> bytes) const {
  Head head;
  std::memcpy(&head, bytes.data(), sizeof head);
  if (head.magic != kMagic || head.identity != identity_ || head.num_entries != num_entries_ ||
      head.note_bytes < 0 || head.note_bytes > kMostNote)
    return std::nullopt;
  const auto summed = static_cast<size_t>(record_bytes(num_entries_) - 4);
  uint32_t crc;
  std::memcpy(&crc, bytes.data() + summed, sizeof crc);
  if (crc != crc32c(bytes.first(summed))) return std::nullopt;
  Record record = {head.sequence, {.step = head.step}};
  record.map.note.assign(reinterpret_cast<const char*>(bytes.data() + sizeof head + 8 * num_entries_),
                         static_cast<size_t>(head.note_bytes));
  record.map.entries.resize(static_cast<size_t>(num_entries_));
  if (num_entries_ > 0)
    std::memcpy(record.map.entries.data(), bytes.data() + sizeof head, static_cast<size_t>(8 * num_entries_));
  return record;
}

}  // namespace strata
