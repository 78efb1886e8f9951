// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/flight_recorder.h"

#include <fmt/format.h>

namespace strata {
namespace {

using State = FlightRecord::State;
using std::chrono::steady_clock;

std::string_view name(State state) {
  constexpr std::array<std::string_view, 4> names = {"enqueued", "running", "done", "failed"};
  return names[static_cast<size_t>(state)];
}

class RecordingCommunicator : public CommunicatorDecorator {
 public:
  RecordingCommunicator(std::unique_ptr<Communicator> inner, FlightRecorder& recorder)
      : CommunicatorDecorator(std::move(inner)), recorder_(recorder) {}

  void run(Stream& stream, const Collective& op, std::byte* scratch) override {
    const uint64_t sequence = recorder_.enqueued(spec(), ++of_group_, op);
    if (stream.device().kind != DeviceKind::cpu) return run_on_device(stream, op, scratch, sequence);
    FlightRecorder* const recorder = &recorder_;
    on_stream(stream, [recorder, sequence] { recorder->begun(sequence); });
    try {
      inner().run(stream, op, scratch);
    } catch (...) {
      recorder_.failed(sequence);
      throw;
    }
    // When the operation fails on the stream's own thread, this does not come: it stays the one that runs.
    on_stream(stream, [recorder, sequence] { recorder->ended(sequence); });
  }
  void run_barrier() override {
    const uint64_t sequence = recorder_.enqueued(spec(), ++of_group_, {.kind = CollectiveKind::barrier});
    recorder_.begun(sequence);
    try {
      inner().run_barrier();
    } catch (...) {
      recorder_.failed(sequence);
      throw;
    }
    recorder_.ended(sequence);
  }

 private:
  void run_on_device(Stream& stream, const Collective& op, std::byte* scratch, uint64_t sequence) {
    try {
      recorder_.begins_at(sequence, stream.record());
      inner().run(stream, op, scratch);
      recorder_.ends_at(sequence, stream.record());
    } catch (...) {
      recorder_.failed(sequence);
      throw;
    }
  }

  FlightRecorder& recorder_;
  uint64_t of_group_ = 0;
};

}  // namespace

std::string to_string(const FlightRecord& record) {
  std::string text =
      fmt::format("#{} {} {} of \"{}\" ({} ranks), {} bytes", record.sequence, name(record.kind),
                  record.of_group, record.purpose.view(), record.members, record.bytes);
  if (!record.note.view().empty()) text += fmt::format(", {}", record.note.view());
  return text + fmt::format(": {}", name(record.state));
}

uint64_t FlightRecorder::enqueued(const GroupSpec& spec, uint64_t of_group, const Collective& op) {
  std::lock_guard lock(mutex_);
  follow(false);
  ++changes_;
  FlightRecord& record = ring_[next_ % ring_.size()];
  record = {.sequence = next_,
            .of_group = of_group,
            .purpose = std::string_view(spec.purpose),
            .members = static_cast<int>(spec.members.size()),
            .kind = op.kind,
            .bytes = payload_bytes(op),
            .note = op.note,
            .enqueued_at = steady_clock::now()};
  return next_++;
}

void FlightRecorder::begins_at(uint64_t sequence, Event point) {
  std::lock_guard lock(mutex_);
  followed_.push_back({.sequence = sequence, .begin = std::move(point), .end = std::nullopt});
}

void FlightRecorder::ends_at(uint64_t sequence, Event point) {
  std::lock_guard lock(mutex_);
  for (Followed& followed : followed_)
    if (followed.sequence == sequence) followed.end = std::move(point);
}

void FlightRecorder::follow(bool all) const {
  const auto reached = [](const Event& point) {
    try {
      return point.done();
    } catch (const Error&) {
      return false;
    }
  };
  for (auto at = followed_.begin(); at != followed_.end();) {
    const FlightRecord& record = ring_[at->sequence % ring_.size()];
    const bool known = record.sequence == at->sequence && record.state != State::failed;
    if (known && record.state == State::enqueued && reached(at->begin)) change(at->sequence, State::running);
    if (known && (record.state != State::running || !at->end || !reached(*at->end))) {
      if (!all) return;
      ++at;
      continue;
    }
    if (known) change(at->sequence, State::done);
    at = followed_.erase(at);
  }
}

void FlightRecorder::set(uint64_t sequence, State state) {
  std::lock_guard lock(mutex_);
  change(sequence, state);
}

void FlightRecorder::change(uint64_t sequence, State state) const {
  ++changes_;
  FlightRecord& record = ring_[sequence % ring_.size()];
  if (record.sequence != sequence) return;  // overwritten since
  record.state = state;
  (state == State::running ? record.begun_at : record.ended_at) = steady_clock::now();
}

uint64_t FlightRecorder::changes() const {
  std::lock_guard lock(mutex_);
  follow(true);
  return changes_;
}

std::vector<FlightRecord> FlightRecorder::records() const {
  std::lock_guard lock(mutex_);
  follow(true);
  std::vector<FlightRecord> records;
  for (uint64_t s = next_ > ring_.size() ? next_ - ring_.size() : 1; s < next_; ++s)
    records.push_back(ring_[s % ring_.size()]);
  return records;
}

std::optional<FlightRecord> FlightRecorder::pending() const {
  std::optional<FlightRecord> waiting;
  for (const FlightRecord& record : records()) {
    if (record.state == State::running || record.state == State::failed) return record;
    if (record.state == State::enqueued && !waiting) waiting = record;
  }
  return waiting;
}

std::optional<FlightRecord> FlightRecorder::last_done() const {
  std::optional<FlightRecord> last;
  for (const FlightRecord& record : records())
    if (record.state == State::done && (!last || record.ended_at >= last->ended_at)) last = record;
  return last;
}

std::string FlightRecorder::dump() const {
  const auto now = steady_clock::now();
  const auto ago = [&](steady_clock::time_point then) {
    return then == steady_clock::time_point{}
               ? std::string("-")
               : fmt::format("{:.3f}", std::chrono::duration<double, std::milli>(now - then).count());
  };
  const auto pending = this->pending();
  std::string text = fmt::format("pending: {}\n", pending ? to_string(*pending) : std::string("nothing"));
  text += "ms ago: enqueued, begun, ended\n";
  for (const FlightRecord& record : records())
    text += fmt::format("{:>14} {:>14} {:>14}  {}\n", ago(record.enqueued_at), ago(record.begun_at),
                        ago(record.ended_at), to_string(record));
  return text;
}

std::unique_ptr<World> record_flight(World& world, FlightRecorder& recorder) {
  return decorate(world, [&recorder](World&, std::unique_ptr<Communicator> inner) {
    return std::make_unique<RecordingCommunicator>(std::move(inner), recorder);
  });
}

std::unique_ptr<World> record_flight(std::unique_ptr<World> world, FlightRecorder& recorder) {
  return decorate(std::move(world), [&recorder](World&, std::unique_ptr<Communicator> inner) {
    return std::make_unique<RecordingCommunicator>(std::move(inner), recorder);
  });
}

}  // namespace strata
