// SPDX-License-Identifier: Apache-2.0
// Collectives and grouped point-to-point messages among a fixed list of ranks. A communicator exists for one
// member list and one purpose: two purposes never share one, so their operations cannot be mixed up.
//
// Every operation is enqueued on a stream and may return before it is done: its tensors must live and stay
// untouched until an Event recorded after it has been waited for. All members call the same operations in the
// same order with the same sizes; one communicator is used by one stream at a time. Sums are a balanced
// binary tree over the members in their order, in f32 (bf16 is widened and rounded once): the bits do not
// depend on transport, placement or timing.
//
// On a meta stream an operation only checks shapes, takes the working memory it would take and counts the
// bytes this rank would receive: what is planned is what is used.
//
// Errors: Error(communication) with the operation, the communicator and the reason when a member is lost, the
// job aborts, or (in debug mode) members called different operations.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/device/stream.h"
#include "core/dist/collective.h"
#include "core/dist/mesh.h"

namespace strata {

// What an operation throws when the job was aborted: the part that aborted it reports the cause, every other
// only stops.
class JobAborted : public Error {
 public:
  using Error::Error;
};

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

  // whole[i * n, (i + 1) * n) = part of member i, where n = part.numel(); whole has size() * n elements.
  // `part` may be this rank's own place in `whole`. Any dtype; contiguous.
  void all_gather(Stream& stream, const Tensor& part, const Tensor& whole);
  // part = sum over members of their whole[rank * n, (rank + 1) * n). f32 or bf16, both alike, contiguous.
  // `part` may be this rank's own place in `whole`.
  void reduce_scatter(Stream& stream, const Tensor& whole, const Tensor& part);
  // In place; f32, bf16 or i64 (sum only).
  void all_reduce(Stream& stream, const Tensor& values, Reduction reduction = Reduction::sum);
  // Member i's j-th of size() equal parts becomes member j's i-th. `to` may not be `from`.
  void all_to_all(Stream& stream, const Tensor& from, const Tensor& to);
  void broadcast(Stream& stream, const Tensor& values, int root);
  // All sends and receives at once, in no order among themselves; between two members messages match in the
  // order of the lists. Only members that are named take part.
  void exchange(Stream& stream, std::span<const Message> sends, std::span<const Message> receives);
  // Blocks the caller until every member has come. Nothing that was enqueued before may be pending.
  void barrier();

  // The note of the operations enqueued from now on.
  void annotate(std::string_view note) { note_ = note; }

  // Any of the operations above, but the barrier, as data: checks it, then plans or runs it.
  void enqueue(Stream& stream, const Collective& op);

  // What transports implement and decorators wrap; everybody else calls the operations above. `op` was
  // checked, is of several members and not on a meta stream; `scratch` is scratch_bytes(op) of the stream's
  // memory. The spans of an exchange end with the call.
  virtual void run(Stream& stream, const Collective& op, std::byte* scratch) = 0;
  virtual void run_barrier() = 0;
  // Working memory on `device` (where the operation runs, or would run when planned).
  virtual int64_t scratch_bytes(const Collective& op, DeviceKind device) const = 0;

 protected:
  Communicator(GroupSpec spec, int rank);

 private:
  void check_operands(const Stream& stream, const Collective& op) const;

  GroupSpec spec_;
  int rank_;  // place in members
  Note note_;
};

// Small messages beside the collectives, for news that must not wait for anybody: heartbeats. A message is
// lost when its receiver does not take earlier ones. One thread at a time uses a channel.
class NoticeChannel {
 public:
  virtual ~NoticeChannel() = default;
  static constexpr size_t kLongest = 1024;  // bytes

  struct Notice {
    int from = 0;
    std::string bytes;
  };
  virtual void post(int to, std::string_view bytes) = 0;  // another rank of the job; returns at once
  virtual std::optional<Notice> poll() = 0;               // the next that has come
};

// The ranks of a job as one of them sees it. Implementations: one rank alone (here), threads of one process
// and MPI (parallel/).
class World {
 public:
  virtual ~World() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string host() const = 0;

  // Collective over the members, each of which must call it in the same order relative to its other groups.
  // `spec.members` must hold this rank. The world must outlive the communicator.
  virtual std::unique_ptr<Communicator> group(GroupSpec spec) = 0;

  // A channel between all ranks, each of which must make it; the first one of each belong together, and so
  // on.
  virtual std::unique_ptr<NoticeChannel> notices() = 0;

  // Makes every pending and future operation of every rank of the job end with Error(communication); `reason`
  // names the first cause. Callable from any thread, does not block, the first call counts.
  virtual void abort(const std::string& reason) = 0;

  virtual bool aborted() const = 0;

  // Whether this rank is the one to tell the user why the job was aborted: of all that found a cause at about
  // the same time, one. Call it after abort(); may wait a moment for what others found.
  virtual bool reports_abort() = 0;

  // The last call on a world whose job was aborted, after the cause was reported: gives the other ranks a
  // moment to stop, then ends the processes of the job with `code`. Returns only where ranks are not
  // processes.
  virtual void terminate(int code) { static_cast<void>(code); }
};

// The place of `rank` in the members of a group of a job of `world_size` ranks; throws ContractError when it
// is not among them, or they are not distinct ranks of the job.
int place_in(const GroupSpec& spec, int rank, int world_size);

// The name of this machine, for messages.
std::string host_name();

// A job of one rank: every collective is the identity.
std::unique_ptr<World> make_solo_world();

}  // namespace strata
