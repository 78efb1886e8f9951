// SPDX-License-Identifier: Apache-2.0
// The last operations of a rank and which of them are pending: always on, a ring of fixed size, a microsecond
// an operation. What is asked when a job hangs. Operations of a GPU's stream are followed by events, which
// are looked at when an operation is recorded and when somebody asks: their times are of that moment.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "parallel/comm/decorator.h"

namespace strata {

struct FlightRecord {
  enum class State : uint8_t { enqueued, running, done, failed };
  uint64_t sequence = 0;  // of this rank, all communicators together; from 1
  uint64_t of_group = 0;  // of the communicator: members compare it
  Note purpose;
  int members = 0;
  CollectiveKind kind = CollectiveKind::barrier;
  int64_t bytes = 0;
  Note note;
  State state = State::enqueued;
  std::chrono::steady_clock::time_point enqueued_at, begun_at, ended_at;
};
std::string to_string(
    const FlightRecord& record);  // "#12 all_reduce 3 of \"data\" (8 ranks), 4096 bytes, step 2: running"

// Thread-safe. Outlives the communicators that record into it, and their streams' work.
class FlightRecorder {
 public:
  explicit FlightRecorder(size_t capacity = 1024) : ring_(capacity) {}

  uint64_t enqueued(const GroupSpec& spec, uint64_t of_group, const Collective& op);
  void begun(uint64_t sequence) { set(sequence, FlightRecord::State::running); }
  void ended(uint64_t sequence) { set(sequence, FlightRecord::State::done); }
  void failed(uint64_t sequence) { set(sequence, FlightRecord::State::failed); }
  // The operation begins, and has ended, when a device's stream comes to these points.
  void begins_at(uint64_t sequence, Event point);
  void ends_at(uint64_t sequence, Event point);

  // The oldest operation that runs, or else the oldest that was enqueued; nothing when all are done.
  std::optional<FlightRecord> pending() const;
  std::optional<FlightRecord> last_done() const;
  uint64_t changes() const;                   // grows with every call above: progress
  std::vector<FlightRecord> records() const;  // oldest first
  // One line a record, oldest first, times in ms before now; the pending one is named first.
  std::string dump() const;

 private:
  struct Followed {
    uint64_t sequence = 0;
    Event begin;
    std::optional<Event> end;
  };
  void set(uint64_t sequence, FlightRecord::State state);
  // These need the lock. follow(): brings operations of devices up to date, those that are looked at first
  // until one is pending, or all. Of a device that has failed nothing more is learned.
  void change(uint64_t sequence, FlightRecord::State state) const;
  void follow(bool all) const;

  mutable std::mutex mutex_;
  mutable std::vector<FlightRecord> ring_;  // sequence s lies at s modulo the size
  mutable std::deque<Followed> followed_;   // in the order of their sequences
  uint64_t next_ = 1;
  mutable uint64_t changes_ = 0;
};

std::unique_ptr<World> record_flight(std::unique_ptr<World> world, FlightRecorder& recorder);
// The same around a world that outlives it.
std::unique_ptr<World> record_flight(World& world, FlightRecorder& recorder);

}  // namespace strata
