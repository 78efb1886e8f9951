// SPDX-License-Identifier: Apache-2.0
// One operation of a communicator as data: what transports carry out, decorators look at and plans count.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/tensor/tensor.h"

namespace strata {

enum class Reduction : uint8_t { sum, max };
std::string_view name(Reduction reduction);

enum class CollectiveKind : uint8_t {
  all_gather,
  reduce_scatter,
  all_reduce,
  all_to_all,
  broadcast,
  exchange,
  barrier
};
inline constexpr int kNumCollectiveKinds = 7;
std::string_view name(CollectiveKind kind);

// One message of an exchange. `peer` is a place in the communicator's member list.
struct Message {
  int peer = 0;
  Tensor tensor;  // contiguous
};

// What an operation is for, in the caller's words ("step 12 backward 3"): shown in records, compared in debug
// mode.
class Note {
 public:
  Note() = default;
  Note(std::string_view text) : size_(static_cast<uint8_t>(std::min(text.size(), text_.size()))) {
    std::copy_n(text.data(), size_, text_.data());
  }
  std::string_view view() const { return {text_.data(), size_}; }

 private:
  std::array<char, 47> text_{};  // what does not fit is cut
  uint8_t size_ = 0;
};

struct Collective {
  CollectiveKind kind = CollectiveKind::barrier;
  Tensor from, to;  // the same tensor when the operation is in place; absent in an exchange
  Reduction reduction = Reduction::sum;
  int root = 0;
  std::span<const Message> sends = {}, receives = {};
  Note note = {};
};

// The bytes that `rank` of `size` members receives from the others (parallel literature counts a ring: X
// (q-1)/q for all-gather, reduce-scatter and all-to-all of X bytes in all, 2 X (q-1)/q for all-reduce, X for
// broadcast and messages). Exact for any size; which algorithm a transport uses does not change it.
int64_t received_bytes(const Collective& op, int rank, int size);
// The bytes of the operation's whole buffer, X above; of an exchange, what is sent.
int64_t payload_bytes(const Collective& op);

// How `count` things are dealt to `size` members: as evenly as possible, in order, the first ones one more.
struct Share {
  int64_t begin = 0, count = 0;
};
constexpr Share share(int64_t count, int size, int rank) {
  const int64_t each = count / size, more = count % size;
  return {rank * each + (rank < more ? rank : more), each + (rank < more ? 1 : 0)};
}

}  // namespace strata
