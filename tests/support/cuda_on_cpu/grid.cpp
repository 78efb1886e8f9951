// SPDX-License-Identifier: Apache-2.0
#include "tests/support/cuda_on_cpu/grid.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "tests/support/cuda_on_cpu/fiber.h"
#include "tests/support/cuda_on_cpu/sanitizers.h"
#include "tests/support/cuda_on_cpu/schedule.h"
#include "tests/support/cuda_on_cpu/shared_memory.h"

namespace strata::cuda_on_cpu {

thread_local constinit Here here{};

namespace {

// No inline function of the standard library may work on what several fibers touch: the linker may take the
// instrumented copy of another file, and ThreadSanitizer would see races of the runtime with itself. Hence a
// generator of our own (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014) and
// types of our own in containers; and memory that fibers share comes from main, because allocating counts as
// a write.
struct Random {
  uint64_t state;
  uint64_t operator()() {
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
};

constexpr unsigned kLanes = 32;

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() && std::string_view(a.file_name()) == b.file_name();
}
std::string text(const std::source_location& at) { return fmt::format("{}:{}", at.file_name(), at.line()); }

const char* name(WarpOp op) {
  constexpr const char* kNames[] = {"__syncwarp", "a shuffle", "a ballot"};
  return kNames[static_cast<int>(op)];
}

// Lanes of a warp on their way to one operation.
struct Meeting {
  WarpOp op;
  unsigned mask, arrived;
  std::source_location where;
  uint64_t value[kLanes];
  unsigned from[kLanes];
};

enum class State : uint8_t { ready, at_barrier, at_meeting, done };

struct Thread {
  std::unique_ptr<Fiber> fiber;
  State state = State::done;
  std::source_location where;
  uint64_t result = 0;
  class Block* block = nullptr;
  unsigned index = 0;
};

struct Warp {
  unsigned ready = 0, done = 0;  // lanes
  std::vector<Meeting> meetings;
  uint32_t priority = 0;
  char tokens[2];  // of __syncwarp, in turn
  unsigned turn = 0;
};

// The threads of the block that runs; fibers are kept for the next block.
class Block {
 public:
  void run(dim3 threads, size_t shared_bytes, const std::function<void()>& kernel, const Schedule& schedule,
           Random& random);
  void end_launch() {
    shared_.end_launch();
    acquire(&launch_end_);
  }

  void barrier(std::source_location where);
  uint64_t meeting(WarpOp op, unsigned mask, uint64_t value, unsigned from, std::source_location where);
  void* static_shared(const void* site, size_t bytes, size_t alignment);
  void* dynamic_shared() const { return dynamic_; }
  void yield() { run_next(); }
  void thread_body(unsigned index);

 private:
  Thread& self() { return threads_[current_]; }
  Warp& own_warp() { return warps_[current_ / kLanes]; }
  void set_ready(unsigned index) {
    threads_[index].state = State::ready;
    warps_[index / kLanes].ready |= 1u << index % kLanes;
  }
  void wait(State state) {
    self().state = state;
    own_warp().ready &= ~(1u << current_ % kLanes);
    run_next();
  }
  void open_barrier();
  void complete(Warp& warp, unsigned first, const Meeting& meeting);
  void run_next();
  std::optional<unsigned> choose();
  unsigned choose_lane(unsigned ready);
  void draw_priorities();
  [[noreturn]] void fail(std::string message);
  std::string waiting() const;

  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  Fiber main_;
  const std::function<void()>* kernel_ = nullptr;
  dim3 size_;
  unsigned count_ = 0, alive_ = 0, at_barrier_ = 0, current_ = 0;
  std::source_location barrier_;
  unsigned phase_ = 0;
  char barrier_tokens_[2];  // in turn: with one, a fast thread's next arrival would leak into a slow one's
                            // leaving
  char begin_, launch_end_;
  Schedule schedule_;
  Random* random_ = nullptr;
  unsigned rotation_ = 0;
  // What a fiber says before it is given up: not a string, whose memory nobody would free.
  char error_[1024] = {};
  SharedMemory shared_;
  struct Site {
    const void* name;
    void* memory;
  };
  std::vector<Site> sites_;
  void* dynamic_ = nullptr;
};

thread_local Block* running = nullptr;

void enter(void* argument) {
  auto* const thread = static_cast<Thread*>(argument);
  for (;;) thread->block->thread_body(thread->index);
}

// One block after the other in this fiber.
void Block::thread_body(unsigned index) {
  acquire(&begin_);
  try {
    (*kernel_)();
  } catch (const std::exception& error) {
    fail(error.what());
  }
  release(&launch_end_);
  Thread& thread = threads_[index];
  Warp& warp = warps_[index / kLanes];
  const unsigned lane = 1u << index % kLanes;
  thread.state = State::done;
  warp.ready &= ~lane;
  warp.done |= lane;
  --alive_;
  for (const Meeting& meeting : warp.meetings)
    if (meeting.mask & lane)
      fail(fmt::format("thread {} ended, but {} at {} waits for it", index, name(meeting.op),
                       text(meeting.where)));
  if (alive_ > 0 && at_barrier_ == alive_) open_barrier();
  run_next();
}

void Block::run(dim3 threads, size_t shared_bytes, const std::function<void()>& kernel,
                const Schedule& schedule, Random& random) {
  count_ = alive_ = threads.x * threads.y * threads.z;
  size_ = threads;
  kernel_ = &kernel;
  schedule_ = schedule;
  random_ = &random;
  at_barrier_ = 0;
  error_[0] = 0;
  sites_.clear();
  sites_.reserve(64);
  shared_.begin_block();
  dynamic_ = shared_bytes > 0 ? shared_.take(shared_bytes, 16) : nullptr;
  constexpr unsigned kMostThreads = 1024;
  check(count_ > 0 && count_ <= kMostThreads && count_ % kLanes == 0, "[cuda_on_cpu] a block of {} threads",
        count_);
  if (threads_.empty()) threads_.resize(kMostThreads);  // once: fibers know where theirs lies
  warps_.assign(count_ / kLanes, {});
  for (Warp& warp : warps_) warp.meetings.reserve(kLanes);
  for (unsigned i = 0; i < count_; ++i) {
    Thread& thread = threads_[i];
    thread.block = this;
    thread.index = i;
    if (!thread.fiber) thread.fiber = std::make_unique<Fiber>(enter, &thread);
    set_ready(i);
  }
  draw_priorities();
  running = this;
  release(&begin_);
  current_ = *choose();
  here.thread = {current_ % size_.x, current_ / size_.x % size_.y, current_ / size_.x / size_.y};
  threads_[current_].fiber->resume(main_);
  running = nullptr;
  shared_.end_block();
  if (error_[0] == 0) return;
  threads_.clear();  // fibers in the middle of a kernel: their frames are lost
  fail_contract("[kernel] block (" + fmt::format("{}, {}, {}", here.block.x, here.block.y, here.block.z) +
                "): " + error_);
}

void Block::fail(std::string message) {
  // Byte by byte: copying functions are seen by ThreadSanitizer.
  const char* const from = message.c_str();
  size_t length = 0;
  for (; length + 1 < sizeof error_ && from[length] != 0; ++length) error_[length] = from[length];
  error_[length] = 0;
  std::string().swap(message);
  main_.resume(*self().fiber);
  __builtin_trap();
}

std::string Block::waiting() const {
  std::vector<std::pair<std::string, int>> groups;
  for (unsigned i = 0; i < count_; ++i) {
    const Thread& thread = threads_[i];
    if (thread.state == State::done) continue;
    const std::string at =
        (thread.state == State::at_barrier ? "__syncthreads at " : "a warp operation at ") +
        text(thread.where);
    const auto found =
        std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == at; });
    if (found == groups.end())
      groups.emplace_back(at, 1);
    else
      ++found->second;
  }
  std::string all;
  for (const auto& [at, number] : groups)
    all += fmt::format("{}{} threads wait in {}", all.empty() ? "" : ", ", number, at);
  return all;
}

// ---- who runs next
// -------------------------------------------------------------------------------------------

void Block::draw_priorities() {
  for (unsigned w = 0; w < warps_.size(); ++w) warps_[w].priority = static_cast<uint32_t>((*random_)());
}

unsigned Block::choose_lane(unsigned ready) {
  switch (schedule_.order) {
    case Schedule::Order::highest_first:
      return 31u - static_cast<unsigned>(std::countl_zero(ready));
    case Schedule::Order::random: {
      for (unsigned skip = static_cast<unsigned>((*random_)() % static_cast<unsigned>(std::popcount(ready)));
           skip > 0; --skip)
        ready &= ready - 1;
      return static_cast<unsigned>(std::countr_zero(ready));
    }
    default:
      return static_cast<unsigned>(std::countr_zero(ready));
  }
}

std::optional<unsigned> Block::choose() {
  const auto number = static_cast<unsigned>(warps_.size());
  std::optional<unsigned> best;
  if (schedule_.order == Schedule::Order::random && (*random_)() % 64 == 0) draw_priorities();
  for (unsigned i = 0; i < number; ++i) {
    const unsigned w = schedule_.order == Schedule::Order::highest_first ? number - 1 - i
                       : schedule_.order == Schedule::Order::rotate      ? (rotation_ + 1 + i) % number
                                                                         : i;
    if (warps_[w].ready == 0) continue;
    if (schedule_.order != Schedule::Order::random) {
      best = w;
      break;
    }
    if (!best || warps_[w].priority > warps_[*best].priority) best = w;
  }
  if (!best) return std::nullopt;
  rotation_ = *best;
  return *best * kLanes + choose_lane(warps_[*best].ready);
}

// Goes to the next fiber; returns when it is this one's turn again.
void Block::run_next() {
  Fiber& from = *self().fiber;
  if (alive_ == 0) {
    main_.resume(from);
    return;
  }
  const std::optional<unsigned> next = choose();
  if (!next) fail("no thread can go on: " + waiting());
  if (*next == current_) return;
  current_ = *next;
  here.thread = {current_ % size_.x, current_ / size_.x % size_.y, current_ / size_.x / size_.y};
  threads_[current_].fiber->resume(from);
}

// ---- where threads meet
// --------------------------------------------------------------------------------------

void Block::open_barrier() {
  at_barrier_ = 0;
  ++phase_;
  for (unsigned i = 0; i < count_; ++i)
    if (threads_[i].state == State::at_barrier) set_ready(i);
  if (schedule_.order == Schedule::Order::random) draw_priorities();
}

void Block::barrier(std::source_location where) {
  if (at_barrier_ > 0 && !same_place(barrier_, where))
    fail(fmt::format("threads meet in different barriers: __syncthreads at {} and at {}", text(barrier_),
                     text(where)));
  barrier_ = where;
  self().where = where;
  char* const token = &barrier_tokens_[phase_ % 2];
  release(token);
  self().state = State::at_barrier;
  own_warp().ready &= ~(1u << current_ % kLanes);
  if (++at_barrier_ == alive_) open_barrier();
  if (self().state == State::at_barrier || schedule_.order != Schedule::Order::lowest_first) run_next();
  acquire(token);
}

void Block::complete(Warp& warp, unsigned first, const Meeting& meeting) {
  uint64_t lanes = 0;
  for (unsigned lane = 0; lane < kLanes; ++lane)
    if (meeting.mask >> lane & 1u && meeting.value[lane] != 0) lanes |= uint64_t{1} << lane;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (!(meeting.mask >> lane & 1u)) continue;
    Thread& thread = threads_[first + lane];
    if (meeting.op == WarpOp::ballot) thread.result = lanes;
    if (meeting.op == WarpOp::shuffle) {
      const unsigned from = meeting.from[lane];
      if (!(meeting.mask >> from & 1u))
        fail(fmt::format("lane {} reads from lane {}, which is not in the mask {:#x} of the shuffle at {}",
                         lane, from, meeting.mask, text(meeting.where)));
      thread.result = meeting.value[from];
    }
    if (first + lane != current_) set_ready(first + lane);
  }
  if (meeting.op == WarpOp::sync) ++warp.turn;
}

uint64_t Block::meeting(WarpOp op, unsigned mask, uint64_t value, unsigned from, std::source_location where) {
  Warp& warp = own_warp();
  const unsigned lane = current_ % kLanes, first = current_ - lane;
  self().where = where;
  if (!(mask >> lane & 1u))
    fail(fmt::format("lane {} is not in the mask {:#x} of {} at {}", lane, mask, name(op), text(where)));
  if (mask & warp.done)
    fail(fmt::format("{} at {} waits for lanes {:#x}, which have ended", name(op), text(where),
                     mask & warp.done));
  char* const token = &warp.tokens[warp.turn % 2];
  if (op == WarpOp::sync) release(token);
  auto found = std::find_if(warp.meetings.begin(), warp.meetings.end(),
                            [&](const Meeting& m) { return (m.mask & mask) != 0; });
  if (found != warp.meetings.end() && (found->mask != mask || found->op != op))
    fail(fmt::format(
        "lanes of a warp meet in different operations: {} at {} with mask {:#x}, {} at {} with mask {:#x}",
        name(found->op), text(found->where), found->mask, name(op), text(where), mask));
  if (found == warp.meetings.end()) {
    warp.meetings.push_back({.op = op, .mask = mask, .arrived = 0, .where = where, .value = {}, .from = {}});
    found = warp.meetings.end() - 1;
  }
  found->arrived |= 1u << lane;
  found->value[lane] = value;
  found->from[lane] = from;
  if (found->arrived == mask) {
    const Meeting whole = *found;
    warp.meetings.erase(found);
    complete(warp, first, whole);
  } else {
    wait(State::at_meeting);
  }
  if (op == WarpOp::sync) acquire(token);
  return self().result;
}

void* Block::static_shared(const void* site, size_t bytes, size_t alignment) {
  for (const Site& known : sites_)
    if (known.name == site) return known.memory;
  sites_.push_back({site, shared_.take(bytes, alignment)});
  return sites_.back().memory;
}

Block& block_of_thread() {
  check(running != nullptr, "[cuda_on_cpu] a function of kernels was called outside a kernel");
  return *running;
}

}  // namespace

void run_grid(dim3 blocks, dim3 threads, size_t shared_bytes, const std::function<void()>& kernel) {
  check(running == nullptr, "[cuda_on_cpu] a kernel was launched by a kernel");
  thread_local Block block;
  const Schedule schedule = current_schedule();
  Random random{schedule.seed};
  here.block_size = threads;
  here.grid_size = blocks;
  for (unsigned z = 0; z < blocks.z; ++z)
    for (unsigned y = 0; y < blocks.y; ++y)
      for (unsigned x = 0; x < blocks.x; ++x) {
        here.block = {x, y, z};
        block.run(threads, shared_bytes, kernel, schedule, random);
      }
  block.end_launch();
}

void block_barrier(std::source_location where) { block_of_thread().barrier(where); }
uint64_t warp_meeting(WarpOp op, unsigned mask, uint64_t value, unsigned from, std::source_location where) {
  return block_of_thread().meeting(op, mask, value, from, where);
}
void* static_shared(const void* site, size_t bytes, size_t alignment) {
  return block_of_thread().static_shared(site, bytes, alignment);
}
void* dynamic_shared() { return block_of_thread().dynamic_shared(); }
void memory_fence() {
  static char token;  // ThreadSanitizer knows no fences: all of them are one meeting point
  acquire(&token);
  release(&token);
}
void yield_to_others() { block_of_thread().yield(); }

}  // namespace strata::cuda_on_cpu
