// SPDX-License-Identifier: Apache-2.0
#include "core/program/executor.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/hash.h"

namespace strata {

const Operand* Invocation::find(ValueClass cls, int block, Tier tier) const {
  for (const Operand& operand : operands_)
    if (operand.value.cls == cls && operand.value.block == block && operand.value.tier == tier)
      return &operand;
  return nullptr;
}

const Operand& Invocation::operand(ValueClass cls, int block, Tier tier) const {
  const Operand* found = find(cls, block, tier);
  check(found != nullptr, "[executor] `{}` has no operand `{}`", action_,
        Value{.cls = cls, .block = static_cast<int16_t>(block), .tier = tier});
  return *found;
}

const Operand& Invocation::operand(const Value& value) const {
  for (const Operand& operand : operands_)
    if (operand.value == value) return operand;
  fail_contract(fmt::format("[executor] `{}` has no operand `{}`", action_, value));
}

OperandBytes Invocation::bytes_of(const Operand& operand) const {
  std::byte* base = bases_[static_cast<size_t>(operand.value.tier)];
  return {base ? base + operand.offset : nullptr, operand.bytes};
}

namespace {

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Thrown through a lane that stops because another one failed; never leaves the executor.
struct Stopped {};

// A number that only grows, and threads that wait for it to. Waits spin briefly, because most hand-overs
// between lanes are short, and then sleep.
class Counters {
 public:
  enum { kRequested = kNumLanes };  // steps asked for; the others count the actions done by a lane

  int64_t get(size_t counter) const { return values_[counter].value.load(); }

  void add(size_t counter) {
    values_[counter].value.fetch_add(1);
    wake();
  }
  bool reached(size_t counter, int64_t target) const { return values_[counter].value.load() >= target; }
  // Makes every wait, now and later, throw Stopped.
  void stop() {
    stopped_.store(true);
    wake();
  }
  bool stopped() const { return stopped_.load(); }

  void wait(size_t counter, int64_t target) {
    const auto over = [&] { return stopped_.load() || values_[counter].value.load() >= target; };
    // A few microseconds, without yielding: on a busy machine a yield may last as long as many actions.
    for (int spin = 0; spin < 1000 && !over(); ++spin) {
    }
    if (!over()) {
      std::unique_lock lock(mutex_);
      // Sequentially consistent: either the sleeper is seen by wake(), or it sees the new value below.
      sleepers_.fetch_add(1);
      changed_.wait(lock, over);
      sleepers_.fetch_sub(1);
    }
    if (stopped_.load()) throw Stopped{};
  }

 private:
  void wake() {
    if (sleepers_.load() == 0) return;
    // A sleeper that counted itself but does not sleep yet holds the mutex.
    { const std::lock_guard lock(mutex_); }
    changed_.notify_all();
  }

  struct alignas(64) Counter {
    std::atomic<int64_t> value{0};
  };
  std::array<Counter, kNumLanes + 1> values_;
  std::atomic<bool> stopped_{false};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace

struct Executor::Impl {
  Impl(const LinkedProgram& program, Handlers given, ArenaBases arenas, ExecutorOptions with)
      : linked(program), handlers(std::move(given)), bases(arenas), options(std::move(with)) {
    for (const Action& action : linked.program.list)
      check(action.kind == Kind::free || handlers[static_cast<size_t>(action.kind)],
            "[executor] no handler for `{}`", action);
    check(options.most_begun > 0, "[executor] {} actions begun at most", options.most_begun);
    points.resize(linked.program.list.size());
    awaited.resize(linked.program.list.size());
    for (const std::vector<int32_t>& list : linked.lanes)
      for (const int32_t position : list)
        for (const Wait& wait : linked.waits_of(position)) awaited[position_of(wait)] = true;
  }

  size_t position_of(const Wait& wait) const {
    return static_cast<size_t>(
        linked.lanes[static_cast<size_t>(wait.lane)][static_cast<size_t>(wait.sequence)]);
  }

  // Where the other lane may be a step ahead, its later point is as good: it is behind the earlier one.
  Event point(const Wait& wait) {
    const std::lock_guard lock(points_mutex);
    return points[position_of(wait)];
  }

  // Apart from the constructor: whoever fails here is destroyed, and joins what has begun.
  void start() {
    for (size_t lane = 0; lane < kNumLanes; ++lane)
      if (static_cast<Lane>(lane) != Lane::compute && !linked.lanes[lane].empty())
        threads.emplace_back([this, lane] {
          options.end&& overlaps(static_cast<Lane>(lane)) ? run_overlapping(lane) : run_lane(lane);
        });
  }

  ~Impl() {
    counters.stop();
    for (std::thread& thread : threads) thread.join();
  }

  // A lane's thread: one pass of its list for every step asked for.
  void run_lane(size_t lane) noexcept {
    guarded([&] {
      for (int64_t step = 0;; ++step) {
        counters.wait(Counters::kRequested, step + 1);
        run_list(lane, step);
      }
    });
  }

  struct Begun {
    int64_t step = 0;
    int32_t position = -1;
    int64_t wait_ns = 0, begin_ns = 0;
    Lane waited_for = Lane::compute;
  };

  // The same of a lane whose actions overlap. Before the lane stands still for anything, what it has begun
  // ends: others may wait for it.
  void run_overlapping(size_t lane) noexcept {
    std::vector<Begun> ring(static_cast<size_t>(options.most_begun));
    size_t first = 0, count = 0;
    int64_t last_end_ns = 0;
    const auto end_first = [&] {
      Begun begun = ring[first];
      begun.begin_ns = std::max(begun.begin_ns, last_end_ns);
      first = (first + 1) % ring.size();
      --count;
      options.end(invocation(lane, begun.step, begun.position));
      ended(lane, begun);
      if (options.trace) last_end_ns = now_ns();
    };
    guarded([&] {
      for (int64_t step = 0;; ++step) {
        while (count > 0 && !counters.reached(Counters::kRequested, step + 1)) end_first();
        counters.wait(Counters::kRequested, step + 1);
        for (const int32_t position : linked.lanes[lane]) {
          while (count > 0 && (count == ring.size() || !waits_are_over(step, position))) end_first();
          ring[(first + count) % ring.size()] = begin(lane, step, position);
          ++count;
        }
      }
    });
    // Memory that is still on its way may go only then.
    while (count > 0) guarded(end_first);
  }

  void run_list(size_t lane, int64_t step) {
    const std::vector<int32_t>& list = linked.lanes[lane];
    for (size_t i = 0; i < list.size(); ++i) {
      run_action(lane, step, list[i]);
      if (static_cast<Lane>(lane) == Lane::compute && options.progress)
        options.progress(static_cast<int64_t>(i) + 1, static_cast<int64_t>(list.size()));
    }
  }

  void run_action(size_t lane, int64_t step, int32_t position) {
    const Begun begun = begin(lane, step, position);
    ended(lane, begun);
  }

  int64_t target(int64_t step, const Wait& wait) const {
    const int64_t of_step = step - (wait.previous_step ? 1 : 0);
    return of_step * static_cast<int64_t>(linked.lanes[static_cast<size_t>(wait.lane)].size()) +
           wait.sequence + 1;
  }

  bool waits_are_over(int64_t step, int32_t position) {
    const auto waits = linked.waits_of(position);
    return std::all_of(waits.begin(), waits.end(), [&](const Wait& wait) {
      return counters.reached(static_cast<size_t>(wait.lane), target(step, wait)) &&
             (!options.follow || point(wait).done());
    });
  }

  Invocation invocation(size_t lane, int64_t step, int32_t position) const {
    const ScratchRegion& region = linked.scratch[lane];
    std::byte* scratch = bases[static_cast<size_t>(region.tier)];
    return {linked.program.list[static_cast<size_t>(position)],
            position,
            static_cast<Lane>(lane),
            step,
            linked.operands_of(position),
            bases,
            {scratch ? scratch + region.offset : nullptr, region.bytes}};
  }

  Begun begin(size_t lane, int64_t step, int32_t position) {
    const int64_t ready_ns = options.trace ? now_ns() : 0;
    int64_t waited_until = ready_ns, longest = -1;
    auto waited_for = static_cast<Lane>(lane);
    for (const Wait& wait : linked.waits_of(position)) {
      counters.wait(static_cast<size_t>(wait.lane), target(step, wait));
      if (options.follow) options.follow(static_cast<Lane>(lane), point(wait));
      if (!options.trace) continue;
      const int64_t since = std::exchange(waited_until, now_ns());
      if (waited_until - since > longest) longest = waited_until - since, waited_for = wait.lane;
    }
    if (counters.stopped()) throw Stopped{};
    if (options.max_delay_us > 0) delay(step, position);
    const int64_t begin_ns = options.trace ? now_ns() : 0;
    const Kind kind = linked.program.list[static_cast<size_t>(position)].kind;
    handlers[static_cast<size_t>(kind)](invocation(lane, step, position));
    return {step, position, begin_ns - ready_ns, begin_ns, waited_for};
  }

  void ended(size_t lane, const Begun& begun) {
    if (options.inspect) options.inspect(invocation(lane, begun.step, begun.position));
    if (options.mark && awaited[static_cast<size_t>(begun.position)]) {
      Event reached = options.mark(static_cast<Lane>(lane));
      const std::lock_guard lock(points_mutex);
      points[static_cast<size_t>(begun.position)] = std::move(reached);
    }
    if (options.trace)
      options.trace({.step = begun.step,
                     .position = begun.position,
                     .lane = static_cast<Lane>(lane),
                     .wait_ns = begun.wait_ns,
                     .waited_for = begun.waited_for,
                     .begin_ns = begun.begin_ns,
                     .end_ns = now_ns()});
    counters.add(lane);
  }

  void delay(int64_t step, int32_t position) const {
    const uint64_t random = hash_combine(
        options.delay_seed, hash_combine(static_cast<uint64_t>(step), static_cast<uint64_t>(position)));
    std::this_thread::sleep_for(
        std::chrono::microseconds(random % static_cast<uint64_t>(options.max_delay_us + 1)));
  }

  // Runs `body`; the first failure of all lanes is kept and stops the others.
  template <typename Body>
  void guarded(Body body) noexcept {
    try {
      body();
    } catch (const Stopped&) {
    } catch (...) {
      {
        const std::lock_guard lock(failure_mutex);
        if (!failure) failure = std::current_exception();
      }
      counters.stop();
    }
  }

  void rethrow() {
    const std::lock_guard lock(failure_mutex);
    if (failure) std::rethrow_exception(failure);
  }

  const LinkedProgram& linked;
  const Handlers handlers;
  const ArenaBases bases;
  const ExecutorOptions options;
  std::vector<char> awaited;  // by position: another lane waits for it
  std::mutex points_mutex;
  std::vector<Event> points;  // by position: behind the last step's
  Counters counters;
  int64_t steps = 0;  // begun
  std::mutex failure_mutex;
  std::exception_ptr failure;
  std::vector<std::thread> threads;  // last: they use everything above
};

Executor::Executor(const LinkedProgram& linked, Handlers handlers, ArenaBases bases, ExecutorOptions options)
    : impl_(std::make_unique<Impl>(linked, std::move(handlers), bases, std::move(options))) {
  impl_->start();
}

Executor::~Executor() = default;

void Executor::run_step() {
  Impl& impl = *impl_;
  impl.rethrow();
  impl.guarded([&] {
    impl.counters.add(Counters::kRequested);
    impl.run_list(static_cast<size_t>(Lane::compute), impl.steps++);
  });
  impl.rethrow();
}

void Executor::drain() {
  Impl& impl = *impl_;
  impl.guarded([&] {
    for (size_t lane = 0; lane < kNumLanes; ++lane)
      impl.counters.wait(lane, impl.steps * static_cast<int64_t>(impl.linked.lanes[lane].size()));
  });
  impl.rethrow();
}

}  // namespace strata
