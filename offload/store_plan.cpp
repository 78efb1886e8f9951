// SPDX-License-Identifier: Apache-2.0
#include "offload/store_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "offload/slot_map.h"

namespace strata {
namespace {

// Deals tiles to paths such that every run of tiles, not only all of them, is shared by weight: each path
// gains its weight, the richest is served and pays the sum.
class Dealer {
 public:
  explicit Dealer(std::span<const int> weights)
      : weights_(weights.begin(), weights.end()), credit_(weights.size(), 0) {}

  int32_t next() {
    for (size_t p = 0; p < weights_.size(); ++p) credit_[p] += weights_[p];
    const auto richest = std::max_element(credit_.begin(), credit_.end());
    *richest -= std::accumulate(weights_.begin(), weights_.end(), int64_t{0});
    return static_cast<int32_t>(richest - credit_.begin());
  }

 private:
  std::vector<int64_t> weights_, credit_;
};

void check_arguments(const std::vector<StoredValue>& values, const StoreShape& shape) {
  check(!shape.weights.empty(), "[plan_store] a store needs a path");
  for (const int weight : shape.weights)
    check(weight >= 1, "[plan_store] weights are 1 or more, not {}", weight);
  check(shape.slots == 1 || shape.slots == 2, "[plan_store] slots are 1 or 2, not {}", shape.slots);
  check(shape.tile_bytes > 0 && shape.tile_bytes % kStoreAlignment == 0,
        "[plan_store] tiles of {} bytes are not a multiple of {}", shape.tile_bytes, kStoreAlignment);
  for (const StoredValue& value : values)
    check(value.bytes > 0 && value.bytes % kStoreAlignment == 0,
          "[plan_store] {}: {} bytes are not a positive multiple of {}", value.value, value.bytes,
          kStoreAlignment);
}

}  // namespace

StorePlan plan_store(std::vector<StoredValue> values, const StoreShape& shape) {
  check_arguments(values, shape);
  StorePlan plan{.shape = shape, .values = std::move(values)};
  const auto num_paths = shape.weights.size();
  plan.file_bytes.assign(num_paths, kStoreAlignment);  // the header
  const auto add_slot = [&](int32_t path, int64_t bytes) {
    plan.slots.push_back({path, plan.file_bytes[path], bytes});
    plan.file_bytes[path] += bytes;
  };

  Dealer dealer(shape.weights);
  int64_t kept_tiles = 0;
  for (size_t v = 0; v < plan.values.size(); ++v) {
    const StoredValue& stored = plan.values[v];
    check(plan.value_of_key.emplace(key(stored.value), static_cast<int32_t>(v)).second,
          "[plan_store] {} is there twice", stored.value);
    plan.first_tile.push_back(std::ssize(plan.tiles));
    for (int64_t at = 0; at < stored.bytes; at += shape.tile_bytes) {
      const StorePlan::Tile tile = {.value = static_cast<int32_t>(v),
                                    .index = static_cast<int32_t>(at / shape.tile_bytes),
                                    .path = dealer.next(),
                                    .bytes = std::min(shape.tile_bytes, stored.bytes - at),
                                    .first_slot = std::ssize(plan.slots),
                                    .num_slots = stored.lifetime == Lifetime::versioned ? shape.slots : 1};
      for (int32_t s = 0; s < tile.num_slots; ++s) add_slot(tile.path, tile.bytes);
      plan.tiles.push_back(tile);
      kept_tiles += stored.lifetime != Lifetime::scratch;
    }
  }
  plan.first_tile.push_back(std::ssize(plan.tiles));

  // A path's share of the spares is its share of the tiles; a snapshot pins the same share of each.
  const int64_t total = std::accumulate(shape.weights.begin(), shape.weights.end(), int64_t{0});
  for (size_t p = 0; p < num_paths; ++p) {
    plan.first_spare.push_back(std::ssize(plan.slots));
    const int64_t unit = total * shape.tile_bytes;
    const int64_t spares = (shape.spare_bytes * shape.weights[p] + unit - 1) / unit;
    for (int64_t s = 0; s < spares; ++s) add_slot(static_cast<int32_t>(p), shape.tile_bytes);
  }
  plan.first_spare.push_back(std::ssize(plan.slots));
  plan.map_bytes = SlotMapFile::file_bytes(kept_tiles);
  return plan;
}

int64_t StorePlan::disk_bytes() const {
  return std::accumulate(file_bytes.begin(), file_bytes.end(), map_bytes);
}

uint64_t StorePlan::hash() const {
  uint64_t h = hash_name("strata tile store 1");
  const auto mix = [&h](auto x) { h = hash_combine(h, static_cast<uint64_t>(x)); };
  mix(shape.slots), mix(shape.tile_bytes), mix(shape.spare_bytes), mix(shape.weights.size());
  for (const int weight : shape.weights) mix(weight);
  mix(values.size());
  for (const StoredValue& stored : values) mix(key(stored.value)), mix(stored.bytes), mix(stored.lifetime);
  return h;
}

int32_t StorePlan::find(const Value& value) const {
  const auto found = value_of_key.find(key(value));
  check(found != value_of_key.end(), "[tile store] {} is not kept here", value);
  return found->second;
}

std::vector<int> weights_of(std::span<const double> speeds) {
  const double fastest = speeds.empty() ? 0 : *std::max_element(speeds.begin(), speeds.end());
  std::vector<int> weights;
  for (const double speed : speeds)  // eighths of the fastest
    weights.push_back(fastest > 0 ? std::max(1, static_cast<int>(std::lround(8 * speed / fastest))) : 1);
  int divisor = 0;
  for (const int weight : weights) divisor = std::gcd(divisor, weight);
  for (int& weight : weights) weight /= std::max(1, divisor);
  return weights;
}

}  // namespace strata
