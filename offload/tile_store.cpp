// SPDX-License-Identifier: Apache-2.0
#include "offload/tile_store.h"

#include <algorithm>
#include <chrono>

#include "core/base/check.h"
#include "core/io/crc32c.h"
#include "offload/tile_snapshot.h"

namespace strata {
namespace {

StoreShape shape_of(const TileStoreOptions& options) {
  StoreShape shape{
      .slots = options.slots, .tile_bytes = options.tile_bytes, .spare_bytes = options.spare_bytes};
  shape.weights =
      options.speeds.empty() ? std::vector<int>(options.folders.size(), 1) : weights_of(options.speeds);
  return shape;
}

}  // namespace

StorePlan plan_store(std::vector<StoredValue> values, const TileStoreOptions& options) {
  return plan_store(std::move(values), shape_of(options));
}

std::unique_ptr<TileStore> TileStore::open(FileSystem& files, const TileStoreOptions& options,
                                           std::vector<StoredValue> values) {
  const StoreFilesRequest request = {
      .folders = options.folders,
      .run = options.run,
      .rank = options.rank,
      // One slot: what a process left behind may be torn.
      .existing = options.slots == 1 ? ExistingFiles::discard : options.existing,
      .volumes = options.volumes,
      .io = {.depth = options.write_credits, .engine = options.engine, .threads = options.threads},
      .progress = options.progress};
  return std::unique_ptr<TileStore>(new TileStore(
      files, options, open_store_files(files, request, plan_store(std::move(values), options))));
}

TileStore::TileStore(FileSystem& files, const TileStoreOptions& options, StoreFiles opened)
    : file_system_(files),
      options_(options),
      files_(std::move(opened)),
      reads_(make_lane(options.read_credits)),
      writes_(make_lane(options.write_credits)),
      slots_(std::in_place, files_.plan, files_.map->newest()),
      file_written_(files_.tiles.size(), 0) {
  if (files_.map->newest()) committed_step_ = files_.map->newest()->step;
  if (!reads_->io().note().empty()) files_.notes.push_back(reads_->io().note());
}

TileStore::~TileStore() { check(num_pinned_ == 0, "[tile store] closed before its snapshots"); }

std::unique_ptr<TransferLane> TileStore::make_lane(int credits) {
  auto io =
      file_system_.make_async_io({.depth = credits, .engine = options_.engine, .threads = options_.threads});
  for (const auto& file : files_.tiles) io->register_file(*file);  // an optional saving
  return std::make_unique<TransferLane>(
      std::move(io), options_.transfers, [this](int64_t tile) { return describe(tile); }, options_.waiting);
}

std::string TileStore::describe(int64_t t) const {
  const StorePlan::Tile& tile = plan().tiles[t];
  return fmt::format("tile {} of {}", tile.index, plan().values[tile.value].value);
}

std::pair<int64_t, int64_t> TileStore::tiles_of(const Value& value, int64_t offset,
                                                std::span<const std::byte> memory) const {
  const int32_t v = plan().find(value);
  const int64_t bytes = plan().values[v].bytes, end = offset + std::ssize(memory);
  check(offset >= 0 && offset % tile_bytes() == 0 && !memory.empty() && end <= bytes &&
            (end % tile_bytes() == 0 || end == bytes),
        "[tile store] {}: [{}, {}) of {} bytes is no range of tiles of {} bytes", value, offset, end, bytes,
        tile_bytes());
  check(reinterpret_cast<uintptr_t>(memory.data()) % kStoreAlignment == 0,
        "[tile store] {}: memory must begin at a multiple of {} bytes", value, kStoreAlignment);
  const int64_t first = plan().first_tile[v];
  return {first + offset / tile_bytes(), first + (end + tile_bytes() - 1) / tile_bytes()};
}

TileTransfer TileStore::transfer(IoRequest::Op op, int64_t tile, SlotTable::Version version,
                                 std::span<std::byte> memory) const {
  const StorePlan::Slot& slot = plan().slots[version.slot];
  return {op, files_.tiles[slot.path].get(), slot.offset, memory, version.crc, tile};
}

BackingStore::Ticket TileStore::read(const Value& value, int64_t offset, std::span<std::byte> into) {
  const auto [begin, end] = tiles_of(value, offset, into);
  const uint64_t ticket = reads_->open_ticket();
  for (int64_t t = begin; t < end; ++t) {
    std::optional<SlotTable::Version> version;
    {
      const std::lock_guard lock(mutex_);
      version = slots_->newest(t);
    }
    check(version.has_value(), "[tile store] {} is read before it was written", describe(t));
    const auto at = static_cast<size_t>((t - begin) * tile_bytes());
    const auto bytes = static_cast<size_t>(plan().tiles[t].bytes);
    reads_->begin(ticket, transfer(IoRequest::Op::read, t, *version, into.subspan(at, bytes)));
  }
  return {Lane::read, ticket};
}

BackingStore::Ticket TileStore::write(const Value& value, int64_t offset, std::span<const std::byte> from) {
  require_whole();
  const auto [begin, end] = tiles_of(value, offset, from);
  const uint64_t ticket = writes_->open_ticket();
  for (int64_t t = begin; t < end; ++t) {
    const auto at = static_cast<size_t>((t - begin) * tile_bytes());
    const auto memory = from.subspan(at, static_cast<size_t>(plan().tiles[t].bytes));
    const SlotTable::Version version = {take_slot(t), crc32c(memory)};
    {
      const std::lock_guard lock(mutex_);
      slots_->set_crc(t, version.crc);
      file_written_[plan().tiles[t].path] = 1;
      written_since_commit_ |= plan().values[plan().tiles[t].value].lifetime != Lifetime::scratch;
    }
    writes_->begin(ticket, transfer(IoRequest::Op::write, t, version,
                                    {const_cast<std::byte*>(memory.data()), memory.size()}));
  }
  return {Lane::write, ticket};
}

uint32_t TileStore::take_slot(int64_t tile) {
  std::unique_lock lock(mutex_);
  std::optional<uint32_t> slot = slots_->slot_for_write(tile);
  if (slot) return *slot;
  const auto begin = std::chrono::steady_clock::now();
  while (!slot) {
    check(num_pinned_ > 0, "[tile store] no slot is free for {}, and no snapshot holds one", describe(tile));
    slot_freed_.wait(lock);
    slot = slots_->slot_for_write(tile);
  }
  back_pressure_s_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return *slot;
}

void TileStore::wait(Ticket ticket) {
  if (ticket.lane == Lane::read) return reads_->wait(ticket.id);
  try {
    writes_->wait(ticket.id);
  } catch (...) {
    failed_ = true;
    throw;
  }
}

void TileStore::commit(int64_t step, std::string_view note) {
  require_whole();
  check(writes_->idle(), "[tile store] commit of step {} with writes that were not waited for", step);
  check(step > committed_step_, "[tile store] commit of step {} after that of step {}", step,
        committed_step_);
  SlotMap map;
  std::vector<File*> written;
  {
    const std::lock_guard lock(mutex_);
    map = slots_->map_of_newest(step);
    map.note = note;
    for (size_t p = 0; p < files_.tiles.size(); ++p)
      if (file_written_[p]) written.push_back(files_.tiles[p].get());
  }
  if (plan().shape.slots > 1) {
    try {
      writes_->sync(written);
      files_.map->commit(map);
    } catch (...) {
      failed_ = true;  // which map a restart will find is not known: no slot may be given away any more
      throw;
    }
  }
  {
    const std::lock_guard lock(mutex_);
    slots_->commit_newest();
    committed_step_ = step;
    written_since_commit_ = false;
    std::fill(file_written_.begin(), file_written_.end(), 0);
  }
  slot_freed_.notify_all();
}

int64_t TileStore::committed_step() const {
  const std::lock_guard lock(mutex_);
  return committed_step_;
}

const std::string& TileStore::committed_note() const {
  check(files_.map->newest().has_value(), "[tile store] a note before the first commit");
  return files_.map->newest()->note;
}

void TileStore::go_back() {
  const std::lock_guard lock(mutex_);
  check(!written_since_commit_ && num_pinned_ == 0, "[tile store] going back after it was used");
  files_.map->go_back();
  slots_.emplace(files_.plan, files_.map->newest());
  committed_step_ = files_.map->newest()->step;
}

double TileStore::back_pressure_s() const {
  const std::lock_guard lock(mutex_);
  return back_pressure_s_;
}

std::unique_ptr<TileSnapshot> TileStore::pin() {
  std::vector<SlotTable::Version> versions(plan().tiles.size());
  int64_t step;
  {
    const std::lock_guard lock(mutex_);
    check(committed_step_ >= 0, "[tile store] a snapshot before the first commit");
    check(plan().shape.slots > 1 || !written_since_commit_,
          "[tile store] one slot: a snapshot of step {} after more was written", committed_step_);
    step = committed_step_;
    for (size_t t = 0; t < versions.size(); ++t) {
      const auto version = slots_->committed(static_cast<int64_t>(t));
      if (!version) continue;
      versions[t] = *version;
      slots_->pin(version->slot);
      ++num_pinned_;
    }
  }
  return std::unique_ptr<TileSnapshot>(new TileSnapshot(*this, step, std::move(versions)));
}

std::string TileStore::register_memory(std::span<const std::span<std::byte>> memory) {
  const std::string note = reads_->io().register_buffers(memory);
  const std::string also = writes_->io().register_buffers(memory);
  return note.empty() ? also : note;
}

void TileStore::require_whole() const {
  check(!failed_, "[tile store] used after a write or commit failed: close it and open it again");
}

}  // namespace strata
