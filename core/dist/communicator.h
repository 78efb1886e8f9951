// SPDX-License-Identifier: Apache-2.0
// Collectives and grouped point-to-point messages among a fixed list of ranks. A communicator exists for one
// member list and one purpose: two purposes never share one, so their operations cannot be mixed up.
//
// Every operation is enqueued on a stream and may return before it is done: its tensors must live and stay
// untouched until an Event recorded after it has been waited for. All members call the same operations in the
// same order with the same sizes. Sums are a balanced binary tree over the members in their order, in f32
// (bf16 is widened and rounded once): the bits do not depend on transport, placement or timing.
//
// On a meta stream an operation only checks shapes, takes the working memory it would take and counts the
// bytes this rank would receive: what is planned is what is used.
//
// Errors: Error(communication) with the operation, the communicator and the reason when a member is lost, the
// job aborts, or (in debug mode) members called different operations.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/device/stream.h"
#include "core/dist/mesh.h"
#include "core/tensor/tensor.h"

namespace strata {

enum class Reduction : uint8_t { sum, max };

// One message of an exchange. `peer` is a place in the communicator's member list.
struct Message {
  int peer = 0;
  Tensor tensor;  // contiguous
};

enum class CollectiveKind : uint8_t {
  all_gather,
  reduce_scatter,
  all_reduce,
  all_to_all,
  broadcast,
  exchange,
  barrier
};
std::string_view name(CollectiveKind kind);

// Who takes part, and what for.
struct GroupSpec {
  std::string purpose;       // "tensor", "data", "pipeline": names it in messages and records
  std::vector<int> members;  // global ranks, in the order of the group
  LinkLevel level = LinkLevel::self;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  const GroupSpec& spec() const { return spec_; }
  int rank() const { return rank_; }  // this rank's place in members
  int size() const { return static_cast<int>(spec_.members.size()); }

  // whole[i * n, (i + 1) * n) = part of member i, where n = part.numel(); whole has size() * n elements. `part`
  // may be this rank's own place in `whole`. Any dtype; contiguous.
  void all_gather(Stream& stream, const Tensor& part, const Tensor& whole);
  // part = sum over members of their whole[rank * n, (rank + 1) * n). f32 or bf16, both alike, contiguous. `part`
  // may be this rank's own place in `whole`.
  void reduce_scatter(Stream& stream, const Tensor& whole, const Tensor& part);
  // In place; f32, bf16 or i64 (sum only).
  void all_reduce(Stream& stream, const Tensor& values, Reduction reduction = Reduction::sum);
  // Member i's j-th of size() equal parts becomes member j's i-th. `to` may not be `from`.
  void all_to_all(Stream& stream, const Tensor& from, const Tensor& to);
  void broadcast(Stream& stream, const Tensor& values, int root);
  // All sends and receives at once, in no order among themselves; between two members messages match in the
  // order of the lists.
  void exchange(Stream& stream, std::span<const Message> sends, std::span<const Message> receives);
  // Blocks the caller until every member has come.
  void barrier();

 protected:
  Communicator(GroupSpec spec, int rank);

  // The device's part, on tensors that were checked; never called for one member or on a meta stream. `scratch`
  // of reductions: reduction_scratch() bytes of the stream's.
  virtual void do_all_gather(Stream& stream, const Tensor& part, const Tensor& whole) = 0;
  virtual void do_reduce_scatter(Stream& stream, const Tensor& whole, const Tensor& part, std::byte* scratch) = 0;
  virtual void do_all_reduce(Stream& stream, const Tensor& values, Reduction reduction, std::byte* scratch) = 0;
  virtual void do_all_to_all(Stream& stream, const Tensor& from, const Tensor& to) = 0;
  virtual void do_broadcast(Stream& stream, const Tensor& values, int root) = 0;
  virtual void do_exchange(Stream& stream, std::span<const Message> sends, std::span<const Message> receives) = 0;
  virtual void do_barrier() = 0;
  // Working memory of a reduction of `bytes` bytes per member.
  virtual int64_t reduction_scratch(CollectiveKind kind, int64_t bytes) const = 0;

 private:
  GroupSpec spec_;
  int rank_;
};

// The ranks of a job as one of them sees it. Implementations: one rank alone (here), threads of one process and
// MPI (parallel/).
class World {
 public:
  virtual ~World() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string host() const = 0;

  // Collective over the members, each of which must call it in the same order relative to its other groups.
  // `spec.members` must hold this rank. The world must outlive the communicator.
  virtual std::unique_ptr<Communicator> group(GroupSpec spec) = 0;

  // Makes every pending and future operation of every rank of the job end with Error(communication); `reason`
  // names the first cause. Callable from any thread, does not block, the first call counts.
  virtual void abort(const std::string& reason) = 0;
};

// A job of one rank: every collective is the identity.
std::unique_ptr<World> make_solo_world();

}  // namespace strata
