// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/byte_collectives.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "core/device/buffer.h"
#include "parallel/comm/tree_reduce.h"

namespace strata {
namespace {

// Below this an all-reduce is one round trip instead of two: everybody gets everything.
constexpr int64_t kTinyBytes = 4 << 10;
// Below this a broadcast comes from the root alone.
constexpr int64_t kSmallBroadcastBytes = 64 << 10;

// Bytes that one member's slice of a reduction takes; a multiple of every element size.
int64_t slot_bytes(int64_t bytes_per_member, int size) {
  constexpr int64_t kMember = 1 << 20, kAll = 64 << 20;
  const int64_t limit = std::min<int64_t>(kMember, std::max<int64_t>(kAll / size, 4 << 10));
  return std::min(round_up(bytes_per_member, kTensorAlignment), limit / kTensorAlignment * kTensorAlignment);
}

bool is_tiny(const Collective& op) { return op.from.bytes() <= kTinyBytes; }

int64_t slot_bytes(const Collective& op, int size) {
  if (op.kind == CollectiveKind::reduce_scatter) return slot_bytes(op.to.bytes(), size);
  if (is_tiny(op)) return round_up(op.from.bytes(), kTensorAlignment);
  return slot_bytes(share(op.from.numel(), size, 0).count * size_of(op.from.dtype()), size);
}

void copy_bytes(const std::byte* from, std::byte* to, int64_t bytes) {
  if (bytes > 0 && from != to) std::memcpy(to, from, static_cast<size_t>(bytes));
}

}  // namespace

int64_t byte_collective_scratch(const Collective& op, int size) {
  if (op.kind != CollectiveKind::reduce_scatter && op.kind != CollectiveKind::all_reduce) return 0;
  return (size - 1) * slot_bytes(op, size);
}

template <typename Body>
void ByteCollectives::for_others(const Body& body) {
  // Beginning with the next in rank, so that not everybody turns to member 0 at once.
  for (int step = 1; step < size_; ++step) {
    const int peer = (rank_ + step) % size_;
    body(peer, peer < rank_ ? peer : peer - 1);
  }
}

void ByteCollectives::flush() {
  transport_.exchange(sends_, receives_);
  sends_.clear();
  receives_.clear();
}

void ByteCollectives::run(const Collective& op, std::byte* scratch) {
  sends_.clear();
  receives_.clear();
  switch (op.kind) {
    case CollectiveKind::all_gather:
      return all_gather(op);
    case CollectiveKind::reduce_scatter:
      return reduce_scatter(op, scratch);
    case CollectiveKind::all_reduce:
      return all_reduce(op, scratch);
    case CollectiveKind::all_to_all:
      return all_to_all(op);
    case CollectiveKind::broadcast:
      return broadcast(op);
    case CollectiveKind::exchange:
      return exchange(op);
    case CollectiveKind::barrier:
      return barrier();
  }
}

void ByteCollectives::all_gather(const Collective& op) {
  const int64_t bytes = op.from.bytes();
  if (bytes == 0) return;
  for_others([&](int peer, int) { send(peer, op.from.raw(), bytes); });
  for_others([&](int peer, int) { receive(peer, op.to.raw() + peer * bytes, bytes); });
  flush();
  copy_bytes(op.from.raw(), op.to.raw() + rank_ * bytes, bytes);
}

void ByteCollectives::reduce_slots(const Collective& op, const std::byte* own, const std::byte* slots,
                                   int64_t slot, std::byte* to, int64_t count) {
  inputs_.resize(static_cast<size_t>(size_));
  inputs_[static_cast<size_t>(rank_)] = own;
  for_others([&](int peer, int place) { inputs_[static_cast<size_t>(peer)] = slots + place * slot; });
  tree_reduce(op.from.dtype(), op.reduction, inputs_, to, count);
}

void ByteCollectives::reduce_scatter(const Collective& op, std::byte* scratch) {
  const int64_t part = op.to.bytes(), unit = size_of(op.to.dtype());
  const int64_t slot = slot_bytes(op, size_);
  for (int64_t at = 0; at < part; at += slot) {
    const int64_t bytes = std::min(slot, part - at);
    for_others([&](int peer, int) { send(peer, op.from.raw() + peer * part + at, bytes); });
    for_others([&](int peer, int place) { receive(peer, scratch + place * slot, bytes); });
    flush();
    reduce_slots(op, op.from.raw() + rank_ * part + at, scratch, slot, op.to.raw() + at, bytes / unit);
  }
}

void ByteCollectives::all_reduce(const Collective& op, std::byte* scratch) {
  std::byte* const values = op.from.raw();
  const int64_t n = op.from.numel(), unit = size_of(op.from.dtype());
  const int64_t slot = slot_bytes(op, size_);
  if (n == 0) return;
  if (is_tiny(op)) {
    for_others([&](int peer, int) { send(peer, values, n * unit); });
    for_others([&](int peer, int place) { receive(peer, scratch + place * slot, n * unit); });
    flush();
    return reduce_slots(op, values, scratch, slot, values, n);
  }
  // A reduce-scatter of shares, in place, and their all-gather. Shares differ by one element at most: members
  // whose share ends before a last slice begins take part with nothing.
  const auto slice = [&](int member, int64_t at) {
    const Share own = share(n, size_, member);
    return Share{own.begin + at, std::clamp<int64_t>(own.count - at, 0, slot / unit)};
  };
  for (int64_t at = 0; at < share(n, size_, 0).count; at += slot / unit) {
    const Share mine = slice(rank_, at);
    for_others([&](int peer, int) {
      const Share theirs = slice(peer, at);
      if (theirs.count > 0) send(peer, values + theirs.begin * unit, theirs.count * unit);
    });
    if (mine.count > 0)
      for_others([&](int peer, int place) { receive(peer, scratch + place * slot, mine.count * unit); });
    flush();
    std::byte* const own = values + mine.begin * unit;
    if (mine.count > 0) reduce_slots(op, own, scratch, slot, own, mine.count);
  }
  gather_shares(values, n, unit);
}

void ByteCollectives::gather_shares(std::byte* values, int64_t count, int64_t unit) {
  const Share mine = share(count, size_, rank_);
  if (mine.count > 0)
    for_others([&](int peer, int) { send(peer, values + mine.begin * unit, mine.count * unit); });
  for_others([&](int peer, int) {
    const Share theirs = share(count, size_, peer);
    if (theirs.count > 0) receive(peer, values + theirs.begin * unit, theirs.count * unit);
  });
  flush();
}

void ByteCollectives::all_to_all(const Collective& op) {
  const int64_t bytes = op.from.bytes() / size_;
  if (bytes == 0) return;
  for_others([&](int peer, int) { send(peer, op.from.raw() + peer * bytes, bytes); });
  for_others([&](int peer, int) { receive(peer, op.to.raw() + peer * bytes, bytes); });
  flush();
  copy_bytes(op.from.raw() + rank_ * bytes, op.to.raw() + rank_ * bytes, bytes);
}

// Large: the root deals shares to the others, who then exchange them, so that no link carries more than X
// twice.
void ByteCollectives::broadcast(const Collective& op) {
  std::byte* const values = op.from.raw();
  const int64_t bytes = op.from.bytes();
  const bool root = rank_ == op.root;
  if (bytes == 0) return;
  if (bytes <= kSmallBroadcastBytes || size_ == 2) {
    if (root)
      for_others([&](int peer, int) { send(peer, values, bytes); });
    else
      receive(op.root, values, bytes);
    return flush();
  }
  const auto place = [&](int member) { return member < op.root ? member : member - 1; };
  const auto share_of = [&](int member) { return share(bytes, size_ - 1, place(member)); };
  if (root) {
    for_others([&](int peer, int) { send(peer, values + share_of(peer).begin, share_of(peer).count); });
    return flush();
  }
  const Share mine = share_of(rank_);
  receive(op.root, values + mine.begin, mine.count);
  flush();
  for_others([&](int peer, int) {
    if (peer != op.root) send(peer, values + mine.begin, mine.count);
  });
  for_others([&](int peer, int) {
    if (peer != op.root) receive(peer, values + share_of(peer).begin, share_of(peer).count);
  });
  flush();
}

void ByteCollectives::exchange(const Collective& op) {
  size_t own = 0;  // messages of this member to itself match in order
  for (const Message& message : op.sends) {
    if (message.peer != rank_) {
      send(message.peer, message.tensor.raw(), message.tensor.bytes());
      continue;
    }
    while (op.receives[own].peer != rank_) ++own;
    copy_bytes(message.tensor.raw(), op.receives[own++].tensor.raw(), message.tensor.bytes());
  }
  for (const Message& message : op.receives)
    if (message.peer != rank_) receive(message.peer, message.tensor.raw(), message.tensor.bytes());
  flush();
}

// Dissemination: after round k everybody knows of 2^(k+1) members that they have come.
void ByteCollectives::barrier() {
  sends_.clear();
  receives_.clear();
  for (int distance = 1; distance < size_; distance *= 2) {
    send((rank_ + distance) % size_, nullptr, 0);
    receive((rank_ + size_ - distance) % size_, nullptr, 0);
    flush();
  }
}

}  // namespace strata
