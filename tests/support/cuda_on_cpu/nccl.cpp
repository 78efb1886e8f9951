// SPDX-License-Identifier: Apache-2.0
// The functions of NCCL that Strata calls, for pretended GPUs: ranks are threads of one process.
// Communicators are of the non-blocking kind alone, and stay "in progress" until every member has come to the
// same call: the work is done then, by the last of them. A stream that is late is first finished: NCCL's work
// comes after what was enqueued before it. Where NCCL would wait for ever or spoil memory because members
// differ, this answers with an error on all of them.
#include <nccl.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/tensor/bf16.h"
#include "tests/support/cuda_on_cpu/call_faults.h"
#include "tests/support/cuda_on_cpu/device_memory.h"
#include "tests/support/cuda_on_cpu/nccl_faults.h"
#include "tests/support/cuda_on_cpu/streams.h"

namespace {

using strata::bf16;
using strata::to_bf16;
using strata::to_float;

enum class Kind { all_gather, reduce_scatter, all_reduce, broadcast, send, receive };

struct Call {
  Kind kind;
  const void* from;
  void* to;
  size_t count;
  ncclDataType_t type;
  ncclRedOp_t operation;
  int peer;  // or root
  ncclComm_t comm;
  cudaStream_t stream;
};

struct Message {  // of two members, once both have come
  const Call *send = nullptr, *receive = nullptr;
};

struct Clique {
  explicit Clique(int size) : members(static_cast<size_t>(size)) {}
  std::vector<ncclComm_t> members;
  int joined = 0, finalized = 0;
  bool broken = false;  // a member has aborted: nobody's calls are ever done
  ncclResult_t error = ncclSuccess;
  std::string why;
  std::map<int64_t, std::vector<const Call*>> meetings;         // by number: the members' collective calls
  std::map<std::pair<int, int>, std::deque<Message>> messages;  // by sender and receiver, in order
};

size_t size_of(ncclDataType_t type) {
  return type == ncclUint8 ? 1 : type == ncclBfloat16 ? 2 : type == ncclFloat32 ? 4 : 8;
}
size_t bytes_of(const Call& call) { return call.count * size_of(call.type); }

std::mutex& library() {
  static std::mutex mutex;
  return mutex;
}
auto* const all_cliques = new std::map<uint64_t, std::shared_ptr<Clique>>;  // before main(): as all_addresses
std::map<uint64_t, std::shared_ptr<Clique>>& cliques() { return *all_cliques; }
struct Faults {
  int rank = -1;
  ncclResult_t code = ncclSuccess;
  strata::cuda_on_cpu::NcclCounts counts;
} faults;

thread_local int group_depth = 0;
thread_local std::vector<Call> group;

}  // namespace

struct ncclComm {
  std::shared_ptr<Clique> clique;
  int rank = 0, device = 0;
  int polls_until_ready = 3;  // even when everybody has come
  int64_t collectives = 0;
  std::vector<Call> pending;
  size_t undone = 0;
  bool finalizing = false;
  std::string last_error;
};

namespace {

int size_of(const Clique& clique) { return static_cast<int>(clique.members.size()); }

ncclResult_t refuse(ncclComm_t comm, ncclResult_t code, std::string why) {
  comm->last_error = std::move(why);
  return code;
}
void spoil(Clique& clique, std::string why) {
  clique.error = ncclInvalidUsage;
  clique.why = std::move(why);
}

ncclResult_t state_of(const ncclComm& comm) {
  const Clique& clique = *comm.clique;
  if (faults.rank == comm.rank && faults.code != ncclSuccess) return faults.code;
  if (clique.error != ncclSuccess) return clique.error;
  if (clique.joined < size_of(clique) || comm.polls_until_ready > 0 || comm.undone > 0) return ncclInProgress;
  if (comm.finalizing && clique.finalized < size_of(clique)) return ncclInProgress;
  return ncclSuccess;
}

template <typename T>
T join(ncclRedOp_t operation, T a, T b) {
  if constexpr (std::is_same_v<T, bf16>)  // rounds at every step, as NCCL does
    return to_bf16(join(operation, to_float(a), to_float(b)));
  else if constexpr (std::is_same_v<T, int64_t>)
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
  else
    return operation == ncclSum ? a + b : std::max(a, b);
}

// A ring's order: the member's part begins with the member after it.
template <typename T>
void reduce(const std::vector<const Call*>& calls, const Call& mine, size_t first) {
  const size_t q = calls.size();
  std::vector<T> sums(mine.count);
  for (size_t i = 0; i < mine.count; ++i) {
    const size_t begin = mine.kind == Kind::all_reduce ? i % q : static_cast<size_t>(mine.comm->rank) + 1;
    for (size_t step = 0; step < q; ++step) {
      const T x = static_cast<const T*>(calls[(begin + step) % q]->from)[first + i];
      sums[i] = step == 0 ? x : join(mine.operation, sums[i], x);
    }
  }
  std::memcpy(mine.to, sums.data(), sums.size() * sizeof(T));
}

void copy(const void* from, void* to, size_t bytes) { std::memmove(to, from, bytes); }

// What one member gets. Reductions in place must not spoil what others still read: see meet().
void fill_in(const std::vector<const Call*>& calls, const Call& mine) {
  const size_t bytes = bytes_of(mine);
  switch (mine.kind) {
    case Kind::all_gather:
      for (size_t i = 0; i < calls.size(); ++i)
        copy(calls[i]->from, static_cast<char*>(mine.to) + i * bytes, bytes);
      break;
    case Kind::broadcast:
      copy(calls[static_cast<size_t>(mine.peer)]->from, mine.to, bytes);
      break;
    default: {
      const size_t first =
          mine.kind == Kind::reduce_scatter ? static_cast<size_t>(mine.comm->rank) * mine.count : 0;
      if (mine.type == ncclFloat32) reduce<float>(calls, mine, first);
      if (mine.type == ncclBfloat16) reduce<bf16>(calls, mine, first);
      if (mine.type == ncclInt64) reduce<int64_t>(calls, mine, first);
    }
  }
}

bool agree(const Call& a, const Call& b) {
  return a.kind == b.kind && a.count == b.count && a.type == b.type && a.operation == b.operation &&
         a.peer == b.peer;
}

void meet(Clique& clique, const std::vector<const Call*>& calls) {
  for (const Call* call : calls)
    if (!agree(*call, *calls[0])) return spoil(clique, "members made different collective calls");
  const strata::cuda_on_cpu::DeviceMemoryAccess open;
  // From copies of what everybody brought: results may lie in the same place.
  std::vector<std::vector<char>> brought;
  std::vector<Call> copies;
  for (const Call* call : calls) {
    const size_t bytes = bytes_of(*call) * (call->kind == Kind::reduce_scatter ? calls.size() : 1);
    const char* const from = static_cast<const char*>(call->from);
    brought.emplace_back(from, from + bytes);
    copies.push_back(*call);
    copies.back().from = brought.back().data();
  }
  std::vector<const Call*> from_copies;
  for (const Call& call : copies) from_copies.push_back(&call);
  for (const Call* call : from_copies) fill_in(from_copies, *call);
  for (const Call* call : calls) --call->comm->undone;
}

void post_message(Clique& clique, const Call& call) {
  const bool sends = call.kind == Kind::send;
  const int own = call.comm->rank;
  auto& queue = clique.messages[sends ? std::pair(own, call.peer) : std::pair(call.peer, own)];
  const auto side = sends ? &Message::send : &Message::receive;
  auto at = std::ranges::find_if(queue, [side](const Message& m) { return (m.*side) == nullptr; });
  if (at == queue.end()) at = queue.emplace(queue.end());
  (*at).*side = &call;
  if (!at->send || !at->receive) return;
  const Message message = *at;
  queue.erase(at);
  if (bytes_of(*message.send) != bytes_of(*message.receive))
    return spoil(clique, "a message is not as long as its receiver expects");
  const strata::cuda_on_cpu::DeviceMemoryAccess open;
  copy(message.send->from, message.receive->to, bytes_of(*message.send));
  --message.send->comm->undone;
  --message.receive->comm->undone;
}

ncclResult_t add(const Call& call) {
  const std::lock_guard lock(library());
  ncclComm_t const comm = call.comm;
  if (group_depth == 0) return refuse(comm, ncclInvalidUsage, "a call outside of a group");
  if (state_of(*comm) == ncclInProgress)
    return refuse(comm, ncclInvalidArgument, "the communicator has not finished what it did before");
  if (state_of(*comm) != ncclSuccess) return state_of(*comm);
  int device = -1;
  cudaGetDevice(&device);
  if (device != comm->device) return refuse(comm, ncclInvalidUsage, "another device is current");
  if (call.peer < 0 || call.peer >= size_of(*comm->clique))
    return refuse(comm, ncclInvalidArgument, "there is no such peer");
  for (const void* side : {call.from, static_cast<const void*>(call.to)})
    if (side && !strata::cuda_on_cpu::is_device_memory(side))
      return refuse(comm, ncclInvalidArgument, "memory of the host");
  group.push_back(call);
  return ncclSuccess;
}

}  // namespace

namespace strata::cuda_on_cpu {

void break_nccl(int rank, ncclResult_t code) {
  const std::lock_guard lock(library());
  faults.rank = rank;
  faults.code = code;
}
NcclCounts nccl_counts() {
  const std::lock_guard lock(library());
  return faults.counts;
}
void reset_nccl_counts() {
  const std::lock_guard lock(library());
  faults.counts = {.alive = faults.counts.alive};
}

}  // namespace strata::cuda_on_cpu

extern "C" {

const char* ncclGetErrorString(ncclResult_t code) {
  switch (code) {
    case ncclSuccess:
      return "no error";
    case ncclInProgress:
      return "NCCL operation in progress";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclInvalidArgument:
      return "invalid argument";
    default:
      return "an error of the pretended NCCL";
  }
}

const char* ncclGetLastError(ncclComm_t comm) {
  const std::lock_guard lock(library());
  thread_local std::string text;
  text = comm->clique->why.empty() ? comm->last_error : comm->clique->why;
  return text.c_str();
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (const int code = strata::cuda_on_cpu::call_fault("ncclGetUniqueId"))
    return static_cast<ncclResult_t>(code);
  static std::atomic<uint64_t> next = 1;
  const uint64_t number = next++;
  std::memset(id, 0, sizeof(*id));
  std::memcpy(id->internal, &number, sizeof(number));
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  *comm = nullptr;
  if (const int code = strata::cuda_on_cpu::call_fault("ncclCommInitRankConfig"))
    return static_cast<ncclResult_t>(code);
  *comm = nullptr;
  if (!config || config->magic != 0xcafebeef || config->blocking != 0) return ncclInvalidArgument;
  if (rank < 0 || rank >= size) return ncclInvalidArgument;
  uint64_t number = 0;
  std::memcpy(&number, id.internal, sizeof(number));
  const std::lock_guard lock(library());
  auto& clique = cliques()[number];
  if (!clique) clique = std::make_shared<Clique>(size);
  auto* const made = new ncclComm{.clique = clique, .rank = rank};
  cudaGetDevice(&made->device);
  *comm = made;
  ++faults.counts.alive;
  if (size_of(*clique) != size || clique->members[static_cast<size_t>(rank)])
    spoil(*clique, "members disagree on who they are");
  for (const ncclComm_t other : clique->members)
    if (other && other->device == made->device) spoil(*clique, "Duplicate GPU detected");
  clique->members[static_cast<size_t>(rank)] = made;
  ++clique->joined;
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  if (const int code = strata::cuda_on_cpu::call_fault("ncclCommGetAsyncError"))
    return static_cast<ncclResult_t>(code);
  const std::lock_guard lock(library());
  if (comm->polls_until_ready > 0) --comm->polls_until_ready;
  *state = state_of(*comm);
  if (*state == ncclSuccess) comm->pending.clear();
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  if (const int code = strata::cuda_on_cpu::call_fault("ncclCommFinalize"))
    return static_cast<ncclResult_t>(code);
  const std::lock_guard lock(library());
  if (state_of(*comm) != ncclSuccess) return ncclInvalidArgument;
  comm->finalizing = true;
  comm->polls_until_ready = 2;
  ++comm->clique->finalized;
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const std::lock_guard lock(library());
  if (!comm->finalizing || state_of(*comm) != ncclSuccess) return ncclInvalidUsage;
  --faults.counts.alive;
  ++faults.counts.destroyed;
  delete comm;
  return static_cast<ncclResult_t>(strata::cuda_on_cpu::call_fault("ncclCommDestroy"));
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const std::lock_guard lock(library());
  comm->clique->broken = true;
  comm->clique->meetings.clear();
  comm->clique->messages.clear();
  std::ranges::replace(comm->clique->members, comm, nullptr);
  --faults.counts.alive;
  ++faults.counts.aborted;
  delete comm;
  return static_cast<ncclResult_t>(strata::cuda_on_cpu::call_fault("ncclCommAbort"));
}

ncclResult_t ncclGroupStart() {
  if (const int code = strata::cuda_on_cpu::call_fault("ncclGroupStart"))
    return static_cast<ncclResult_t>(code);
  ++group_depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (const int code = strata::cuda_on_cpu::call_fault("ncclGroupEnd")) {
    --group_depth;
    group.clear();
    return static_cast<ncclResult_t>(code);
  }
  if (--group_depth > 0) return ncclSuccess;
  std::vector<Call> calls = std::exchange(group, {});
  if (calls.empty()) return ncclSuccess;
  for (const Call& call : calls) strata::cuda_on_cpu::finish(call.stream);
  const std::lock_guard lock(library());
  ncclComm_t const comm = calls[0].comm;
  const auto collective = [](const Call& call) { return call.kind < Kind::send; };
  for (const Call& call : calls)
    if (call.comm != comm || (collective(call) && calls.size() > 1))
      return refuse(comm, ncclInvalidUsage,
                    "the stand-in knows groups of messages of one communicator alone");
  faults.counts.calls_in_one_group =
      std::max(faults.counts.calls_in_one_group, static_cast<int>(calls.size()));
  comm->pending = std::move(calls);
  comm->undone = comm->pending.size();
  comm->polls_until_ready = 1;
  Clique& clique = *comm->clique;
  if (clique.broken) return ncclInProgress;
  for (const Call& call : comm->pending) {
    if (!collective(call)) {
      post_message(clique, call);
      continue;
    }
    auto& meeting = clique.meetings[comm->collectives];
    meeting.resize(clique.members.size());
    meeting[static_cast<size_t>(comm->rank)] = &call;
    if (std::ranges::find(meeting, nullptr) == meeting.end()) {
      meet(clique, meeting);
      clique.meetings.erase(comm->collectives);
    }
    ++comm->collectives;
  }
  return ncclInProgress;
}

ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  if (const int code = strata::cuda_on_cpu::call_fault("ncclAllGather"))
    return static_cast<ncclResult_t>(code);
  return add({Kind::all_gather, from, to, count, type, ncclSum, 0, comm, stream});
}
ncclResult_t ncclReduceScatter(const void* from, void* to, size_t count, ncclDataType_t type,
                               ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream) {
  if (const int code = strata::cuda_on_cpu::call_fault("ncclReduceScatter"))
    return static_cast<ncclResult_t>(code);
  return add({Kind::reduce_scatter, from, to, count, type, operation, 0, comm, stream});
}
ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type,
                           ncclRedOp_t operation, ncclComm_t comm, cudaStream_t stream) {
  if (const int code = strata::cuda_on_cpu::call_fault("ncclAllReduce"))
    return static_cast<ncclResult_t>(code);
  return add({Kind::all_reduce, from, to, count, type, operation, 0, comm, stream});
}
ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  if (const int code = strata::cuda_on_cpu::call_fault("ncclBroadcast"))
    return static_cast<ncclResult_t>(code);
  return add({Kind::broadcast, from, to, count, type, ncclSum, root, comm, stream});
}
ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  if (const int code = strata::cuda_on_cpu::call_fault("ncclSend")) return static_cast<ncclResult_t>(code);
  return add({Kind::send, from, nullptr, count, type, ncclSum, peer, comm, stream});
}
ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  if (const int code = strata::cuda_on_cpu::call_fault("ncclRecv")) return static_cast<ncclResult_t>(code);
  return add({Kind::receive, nullptr, to, count, type, ncclSum, peer, comm, stream});
}

}  // extern "C"
