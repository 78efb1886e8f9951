// SPDX-License-Identifier: Apache-2.0
// What the tests of the tile store share: values of awkward sizes, memory for them, content that names its
// version.
#pragma once

#include <numeric>

#include "offload/tile_snapshot.h"
#include "offload/tile_store.h"
#include "tests/core/io/io_fixture.h"

namespace strata {

inline constexpr int64_t kTile = 2 * kStoreAlignment;

inline Value nvme(ValueClass cls, int block) {
  return {.cls = cls, .block = static_cast<int16_t>(block), .tier = Tier::nvme};
}

// One tile, less than one, several and a rest; each way of keeping.
inline std::vector<StoredValue> sample_values() {
  return {{nvme(ValueClass::moments, 0), kTile, Lifetime::versioned},
          {nvme(ValueClass::moments, 1), kStoreAlignment, Lifetime::versioned},
          {nvme(ValueClass::moments, 2), 3 * kTile + kStoreAlignment, Lifetime::versioned},
          {nvme(ValueClass::weight, 0), kTile + kStoreAlignment, Lifetime::fixed},
          {nvme(ValueClass::grad, 0), 2 * kTile, Lifetime::scratch}};
}

inline uint64_t content_seed(const StoredValue& stored, int64_t version) {
  return key(stored.value) * 31 + static_cast<uint64_t>(version);
}

// All of them, since memory may not go before; then throws the first failure.
inline void wait_all(BackingStore& store, std::span<const BackingStore::Ticket> tickets) {
  std::exception_ptr failure;
  for (const auto ticket : tickets) try {
      store.wait(ticket);
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  if (failure) std::rethrow_exception(failure);
}

// Writes a version of a value, in pieces of `tiles` tiles (0: at once).
inline void put(BackingStore& store, const StoredValue& stored, int64_t version, int64_t tiles = 0) {
  const Memory memory(stored.bytes);
  fill(memory.span(), content_seed(stored, version));
  const int64_t piece = tiles == 0 ? stored.bytes : tiles * store.tile_bytes();
  std::vector<BackingStore::Ticket> tickets;
  for (int64_t at = 0; at < stored.bytes; at += piece)
    tickets.push_back(
        store.write(stored.value, at, memory.span().subspan(at, std::min(piece, stored.bytes - at))));
  wait_all(store, tickets);
}

// Whether the newest content is that of a version, read in pieces.
inline bool holds(BackingStore& store, const StoredValue& stored, int64_t version, int64_t tiles = 0) {
  const Memory memory(stored.bytes);
  const int64_t piece = tiles == 0 ? stored.bytes : tiles * store.tile_bytes();
  std::vector<BackingStore::Ticket> tickets;
  for (int64_t at = 0; at < stored.bytes; at += piece)
    tickets.push_back(
        store.read(stored.value, at, memory.span().subspan(at, std::min(piece, stored.bytes - at))));
  wait_all(store, tickets);
  return equal(memory.span(), pattern(stored.bytes, content_seed(stored, version)));
}

inline TileStoreOptions sample_options(const std::vector<std::string>& folders) {
  return {.folders = folders, .run = "run-1", .tile_bytes = kTile, .read_credits = 4, .write_credits = 3};
}

// "<folder>/drive0", ... made.
inline std::vector<std::string> drives(FileSystem& files, const std::string& folder, int count) {
  std::vector<std::string> made;
  for (int d = 0; d < count; ++d) {
    made.push_back(folder + "/drive" + std::to_string(d));
    files.make_directory(made.back());
  }
  return made;
}

// What a step does to the sample: versioned values get the version, scratch is used, fixed is made once.
inline void run_step(BackingStore& store, const std::vector<StoredValue>& values, int64_t version) {
  for (const StoredValue& stored : values)
    if (stored.lifetime != Lifetime::fixed || store.committed_step() < 0) put(store, stored, version);
}

}  // namespace strata
