// SPDX-License-Identifier: Apache-2.0
// The stream of the meta device: nothing runs on it, but it adds up the work that was asked for.
#pragma once

#include <array>
#include <cstdint>

#include "core/device/stream.h"

namespace strata {

// Work of the operations enqueued since the last reset. Matrix-product FLOPs count a multiply-add as two.
struct WorkCount {
  int64_t matmul_flops = 0;
  int64_t attention_flops = 0;  // counted for the causal half only, over the segments as given
  int64_t bytes = 0;            // operands read and written by the other operations
  // Received from other ranks, by the level of the link (LinkLevel in core/dist/mesh.h).
  std::array<int64_t, 5> wire_bytes{};

  WorkCount& operator+=(const WorkCount& other) {
    matmul_flops += other.matmul_flops;
    attention_flops += other.attention_flops;
    bytes += other.bytes;
    for (size_t level = 0; level < wire_bytes.size(); ++level) wire_bytes[level] += other.wire_bytes[level];
    return *this;
  }
  friend WorkCount operator+(WorkCount a, const WorkCount& b) { return a += b; }
};

class MetaStream : public Stream {
 public:
  // `target` is the device whose working-memory needs are counted.
  explicit MetaStream(Device target) : Stream(Scratch(make_meta_allocator())), target_(target) {}

  Device target() const { return target_; }
  Device device() const override { return {DeviceKind::meta, 0}; }
  Event record() override { return {}; }
  void wait(const Event&) override {}
  void copy_bytes(const std::byte*, std::byte*, int64_t bytes) override { count.bytes += 2 * bytes; }

  WorkCount count;

 private:
  Device target_;
};

// The stream as a meta stream; throws ContractError when it is of another device.
MetaStream& meta_stream(Stream& stream);

}  // namespace strata
