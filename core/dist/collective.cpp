// SPDX-License-Identifier: Apache-2.0
#include "core/dist/collective.h"

#include <array>

namespace strata {

std::string_view name(Reduction reduction) { return reduction == Reduction::sum ? "sum" : "max"; }

std::string_view name(CollectiveKind kind) {
  constexpr std::array<std::string_view, kNumCollectiveKinds> names = {
      "all_gather", "reduce_scatter", "all_reduce", "all_to_all", "broadcast", "exchange", "barrier"};
  return names[static_cast<size_t>(kind)];
}

int64_t payload_bytes(const Collective& op) {
  switch (op.kind) {
    case CollectiveKind::all_gather:
      return op.to.bytes();
    case CollectiveKind::reduce_scatter:
    case CollectiveKind::all_reduce:
    case CollectiveKind::all_to_all:
    case CollectiveKind::broadcast:
      return op.from.bytes();
    case CollectiveKind::exchange: {
      int64_t bytes = 0;
      for (const Message& message : op.sends) bytes += message.tensor.bytes();
      return bytes;
    }
    case CollectiveKind::barrier:
      break;
  }
  return 0;
}

int64_t received_bytes(const Collective& op, int rank, int size) {
  switch (op.kind) {
    case CollectiveKind::all_gather:
      return op.from.bytes() * (size - 1);
    case CollectiveKind::reduce_scatter:
      return op.to.bytes() * (size - 1);
    case CollectiveKind::all_reduce: {
      // A reduce-scatter of uneven shares, then their all-gather.
      const int64_t n = op.from.numel(), own = share(n, size, rank).count;
      return (own * (size - 1) + n - own) * size_of(op.from.dtype());
    }
    case CollectiveKind::all_to_all:
      return op.from.bytes() / size * (size - 1);
    case CollectiveKind::broadcast:
      return rank == op.root ? 0 : op.from.bytes();
    case CollectiveKind::exchange: {
      int64_t bytes = 0;
      for (const Message& message : op.receives)
        if (message.peer != rank) bytes += message.tensor.bytes();
      return bytes;
    }
    case CollectiveKind::barrier:
      break;
  }
  return 0;
}

}  // namespace strata
