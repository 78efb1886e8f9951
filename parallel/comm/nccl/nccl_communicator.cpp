// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/nccl/nccl_communicator.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/device/cuda/cuda_stream.h"
#include "parallel/comm/byte_collectives.h"
#include "parallel/comm/device_world.h"
#include "parallel/comm/nccl/tree_sum.h"

namespace strata {
namespace {

bool on_host(const Tensor& tensor) { return tensor.device().kind == DeviceKind::cpu; }

ncclDataType_t type_of(DType dtype) {
  if (dtype == DType::f32) return ncclFloat32;
  if (dtype == DType::bf16) return ncclBfloat16;
  check(dtype == DType::i64, "[nccl] a reduction of {}", name(dtype));
  return ncclInt64;
}
ncclRedOp_t operation_of(Reduction reduction) { return reduction == Reduction::sum ? ncclSum : ncclMax; }

size_t unsigned_size(int64_t n) { return static_cast<size_t>(n); }

}  // namespace

template <typename Body>
void NcclCommunicator::for_others(const Body& body) const {
  for (int step = 1; step < size(); ++step) {
    const int peer = (rank() + step) % size();
    body(peer, peer < rank() ? peer : peer - 1);
  }
}

int64_t NcclCommunicator::scratch_bytes(const Collective& op, DeviceKind device) const {
  if (device == DeviceKind::cpu) return CommunicatorDecorator::scratch_bytes(op, device);
  return gpu_scratch(ordered_ ? GpuTransport::nccl_ordered : GpuTransport::nccl, op, size());
}

void NcclCommunicator::run(Stream& stream, const Collective& op, std::byte* scratch) {
  if (stream.device().kind != DeviceKind::cuda) return CommunicatorDecorator::run(stream, op, scratch);
  if (op.kind != CollectiveKind::exchange) {
    if (on_host(op.from) || on_host(op.to)) return CommunicatorDecorator::run(stream, op, scratch);
    if (op.from.numel() > 0) run_on_gpu(stream, op, scratch);
    return;
  }
  const auto split = [](std::span<const Message> messages, bool host) {
    std::vector<Message> some;
    std::ranges::copy_if(messages, std::back_inserter(some),
                         [host](const Message& m) { return on_host(m.tensor) == host; });
    return some;
  };
  Collective part = op;
  for (const bool host : {false, true}) {
    const std::vector<Message> sends = split(op.sends, host), receives = split(op.receives, host);
    part.sends = sends;
    part.receives = receives;
    if (!host)
      exchange(stream, part);
    else if (!sends.empty() || !receives.empty())
      CommunicatorDecorator::run(stream, part, nullptr);
  }
}

// All moves are of bytes: NCCL lacks some types.
void NcclCommunicator::run_on_gpu(Stream& stream, const Collective& op, std::byte* scratch) {
  const cudaStream_t on = cuda_stream(stream).handle();
  const auto call = [&](const auto& body) { link_->run(op.kind, payload_bytes(op), body); };
  switch (op.kind) {
    case CollectiveKind::all_gather:
      return call([&](ncclComm_t comm) {
        return ncclAllGather(op.from.raw(), op.to.raw(), unsigned_size(op.from.bytes()), ncclUint8, comm, on);
      });
    case CollectiveKind::broadcast:
      return call([&](ncclComm_t comm) {
        return ncclBroadcast(op.from.raw(), op.from.raw(), unsigned_size(op.from.bytes()), ncclUint8, op.root,
                             comm, on);
      });
    case CollectiveKind::reduce_scatter:
      if (scratch) return reduce_scatter(stream, op, scratch);
      return call([&](ncclComm_t comm) {
        return ncclReduceScatter(op.from.raw(), op.to.raw(), unsigned_size(op.to.numel()),
                                 type_of(op.from.dtype()), operation_of(op.reduction), comm, on);
      });
    case CollectiveKind::all_reduce:
      if (scratch) return all_reduce(stream, op, scratch);
      return call([&](ncclComm_t comm) {
        return ncclAllReduce(op.from.raw(), op.from.raw(), unsigned_size(op.from.numel()),
                             type_of(op.from.dtype()), operation_of(op.reduction), comm, on);
      });
    case CollectiveKind::all_to_all:
      return all_to_all(stream, op);
    default:
      fail_contract(fmt::format("[nccl] {} does not run on a GPU", name(op.kind)));
  }
}

void NcclCommunicator::transport(Stream& stream, const Collective& op, const std::vector<Piece>& sends,
                                 const std::vector<Piece>& receives) {
  const auto is_empty = [](const Piece& piece) { return piece.bytes == 0; };
  if (std::ranges::all_of(sends, is_empty) && std::ranges::all_of(receives, is_empty)) return;
  const cudaStream_t on = cuda_stream(stream).handle();
  link_->run(op.kind, payload_bytes(op), [&](ncclComm_t comm) {
    ncclResult_t code = ncclSuccess;
    const auto each = [&](const std::vector<Piece>& pieces, const auto& call) {
      for (const Piece& piece : pieces)
        if (piece.bytes > 0 && (code == ncclSuccess || code == ncclInProgress)) code = call(piece);
    };
    each(sends, [&](const Piece& p) {
      return ncclSend(p.data, unsigned_size(p.bytes), ncclUint8, p.peer, comm, on);
    });
    each(receives, [&](const Piece& p) {
      return ncclRecv(p.data, unsigned_size(p.bytes), ncclUint8, p.peer, comm, on);
    });
    return code;
  });
}

void NcclCommunicator::exchange(Stream& stream, const Collective& op) {
  std::vector<Piece> sends, receives;
  auto own = op.receives.begin();  // messages of this member to itself match in order
  for (const Message& message : op.sends) {
    if (message.peer != rank()) {
      sends.push_back({message.peer, message.tensor.raw(), message.tensor.bytes()});
      continue;
    }
    own = std::find_if(own, op.receives.end(), [&](const Message& m) { return m.peer == rank(); });
    check(own != op.receives.end(), "[exchange] member {} sends itself from the GPU to the host", rank());
    stream.copy_bytes(message.tensor.raw(), own->tensor.raw(), message.tensor.bytes());
    ++own;
  }
  for (const Message& message : op.receives)
    if (message.peer != rank())
      receives.push_back({message.peer, message.tensor.raw(), message.tensor.bytes()});
  transport(stream, op, sends, receives);
}

void NcclCommunicator::all_to_all(Stream& stream, const Collective& op) {
  const int64_t bytes = op.from.bytes() / size();
  std::vector<Piece> sends, receives;
  for_others([&](int peer, int) {
    sends.push_back({peer, op.from.raw() + peer * bytes, bytes});
    receives.push_back({peer, op.to.raw() + peer * bytes, bytes});
  });
  transport(stream, op, sends, receives);
  stream.copy_bytes(op.from.raw() + rank() * bytes, op.to.raw() + rank() * bytes, bytes);
}

void NcclCommunicator::add_up(Stream& stream, const Collective& op, std::byte* own, std::byte* slots,
                              int64_t slot, std::byte* to, int64_t bytes) {
  cuda::tree_sum(stream, {.dtype = op.from.dtype(),
                          .reduction = op.reduction,
                          .members = size(),
                          .rank = rank(),
                          .own = own,
                          .slots = slots,
                          .slot = slot,
                          .to = to,
                          .count = bytes / size_of(op.from.dtype())});
}

void NcclCommunicator::reduce_scatter(Stream& stream, const Collective& op, std::byte* scratch) {
  const int64_t part = op.to.bytes(), slot = byte_collective_scratch(op, size()) / (size() - 1);
  for (int64_t at = 0; at < part; at += slot) {
    const int64_t bytes = std::min(slot, part - at);
    std::vector<Piece> sends, receives;
    for_others([&](int peer, int place) {
      sends.push_back({peer, op.from.raw() + peer * part + at, bytes});
      receives.push_back({peer, scratch + place * slot, bytes});
    });
    transport(stream, op, sends, receives);
    add_up(stream, op, op.from.raw() + rank() * part + at, scratch, slot, op.to.raw() + at, bytes);
  }
}

// A reduce-scatter of even shares and their all-gather; a small one goes to everybody whole, in one round.
void NcclCommunicator::all_reduce(Stream& stream, const Collective& op, std::byte* scratch) {
  std::byte* const values = op.from.raw();
  const int64_t n = op.from.numel(), unit = size_of(op.from.dtype());
  const int64_t slot = byte_collective_scratch(op, size()) / (size() - 1);
  std::vector<Piece> sends, receives;
  if (slot >= n * unit) {
    for_others([&](int peer, int place) {
      sends.push_back({peer, values, n * unit});
      receives.push_back({peer, scratch + place * slot, n * unit});
    });
    transport(stream, op, sends, receives);
    return add_up(stream, op, values, scratch, slot, values, n * unit);
  }
  // Of a member, in bytes, from `at` on; shares differ by one element, so a last slice may be empty.
  const auto slice = [&](int member, int64_t at) {
    const Share whole = share(n, size(), member);
    return Piece{member, values + whole.begin * unit + at,
                 std::clamp<int64_t>(whole.count * unit - at, 0, slot)};
  };
  for (int64_t at = 0; at < share(n, size(), 0).count * unit; at += slot) {
    const Piece mine = slice(rank(), at);
    sends.clear();
    receives.clear();
    for_others([&](int peer, int place) {
      sends.push_back(slice(peer, at));
      receives.push_back({peer, scratch + place * slot, mine.bytes});
    });
    transport(stream, op, sends, receives);
    add_up(stream, op, mine.data, scratch, slot, mine.data, mine.bytes);
  }
  sends.clear();
  receives.clear();
  const auto all_of = [&](int member) {
    const Share whole = share(n, size(), member);
    return Piece{member, values + whole.begin * unit, whole.count * unit};
  };
  for_others([&](int peer, int) {
    sends.push_back({peer, all_of(rank()).data, all_of(rank()).bytes});
    receives.push_back(all_of(peer));
  });
  transport(stream, op, sends, receives);
}

}  // namespace strata
