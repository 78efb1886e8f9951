// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/thread_job.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cstring>

namespace strata {

std::shared_ptr<ThreadGroup> ThreadJob::join(const GroupSpec& spec, int rank) {
  std::unique_lock lock(mutex_);
  std::shared_ptr<Forming>& slot = forming_[{spec.purpose, spec.members}];
  if (!slot) {
    slot = std::make_shared<Forming>();
    slot->group = std::make_shared<ThreadGroup>(*this, spec);
    std::erase_if(groups_, [](const auto& group) { return group.expired(); });
    groups_.push_back(slot->group);
  }
  const std::shared_ptr<Forming> forming = slot;
  const int size = static_cast<int>(spec.members.size());
  if (++forming->joined == size) {
    forming_.erase({spec.purpose, spec.members});
    changed_.notify_all();
    return forming->group;
  }
  while (forming->joined < size) {
    if (aborted()) throw TransportFailure(reason(), true);
    for (const int member : spec.members)
      if (member != rank && has_left(member))
        throw TransportFailure(fmt::format("rank {} has left the job without joining", member));
    changed_.wait(lock);
  }
  return forming->group;
}

void ThreadJob::wake_all() {
  std::vector<std::shared_ptr<ThreadGroup>> groups;
  {
    std::lock_guard lock(mutex_);
    for (const auto& group : groups_)
      if (auto alive = group.lock()) groups.push_back(std::move(alive));
    changed_.notify_all();
  }
  for (const auto& group : groups) group->wake_all();
}

bool ThreadJob::abort(const std::string& reason) {
  const bool first = abort_.set(reason);
  if (first) wake_all();
  return first;
}

void ThreadJob::leave(int rank) {
  {
    std::lock_guard lock(mutex_);
    left_[static_cast<size_t>(rank)].store(true, std::memory_order_release);
  }
  wake_all();
}

void ThreadJob::post(int channel, int from, int to, std::string_view bytes) {
  constexpr size_t kMost = 64;  // not taken yet, of one receiver and sender on average
  std::lock_guard lock(mutex_);
  auto& queue = notices_[{channel, to}];
  if (queue.size() < kMost * left_.size()) queue.push_back({from, std::string(bytes)});
}

std::optional<NoticeChannel::Notice> ThreadJob::poll(int channel, int rank) {
  std::lock_guard lock(mutex_);
  auto& queue = notices_[{channel, rank}];
  if (queue.empty()) return std::nullopt;
  NoticeChannel::Notice notice = std::move(queue.front());
  queue.pop_front();
  return notice;
}

ThreadGroup::ThreadGroup(ThreadJob& job, const GroupSpec& spec) : job_(job), spec_(spec) {
  for (size_t i = 0; i < spec.members.size(); ++i) {
    members_.push_back(std::make_unique<Member>());
    members_.back()->waiting.resize(spec.members.size());
  }
}

void ThreadGroup::notify(int rank) {
  member(rank).events.fetch_add(1, std::memory_order_release);
  member(rank).changed.notify_one();
}

void ThreadGroup::wake_all() {
  std::lock_guard lock(mutex_);
  for (int rank = 0; rank < static_cast<int>(members_.size()); ++rank) notify(rank);
}

// Until something happens for this member: a few turns of the processor for others, then sleep.
void ThreadGroup::wait(std::unique_lock<std::mutex>& lock, Member& self, uint64_t seen) {
  constexpr int kTurns = 50;
  lock.unlock();
  for (int turn = 0; turn < kTurns && self.events.load(std::memory_order_acquire) == seen; ++turn)
    sched_yield();
  lock.lock();
  self.changed.wait(lock, [&] { return self.events.load(std::memory_order_relaxed) != seen; });
}

void ThreadGroup::check_alive(int peer) const {
  const int rank = spec_.members[static_cast<size_t>(peer)];
  if (job_.has_left(rank)) throw TransportFailure(fmt::format("rank {} has left the job", rank));
}

// Copies what has come; true when that was anything.
bool ThreadGroup::serve(std::unique_lock<std::mutex>& lock, int rank, std::span<const ReceiveBytes> receives,
                        std::vector<char>& served) {
  Member& self = member(rank);
  bool any = false;
  for (size_t i = 0; i < receives.size(); ++i) {
    const ReceiveBytes& receive = receives[i];
    std::vector<Post*>& queue = self.waiting[static_cast<size_t>(receive.peer)];
    if (served[i] || queue.empty()) continue;
    // While a message of another member was copied, one may have come that belongs to an earlier receive.
    const bool first = std::none_of(receives.begin(), receives.begin() + static_cast<std::ptrdiff_t>(i),
                                    [&, at = size_t{0}](const ReceiveBytes& earlier) mutable {
                                      return !served[at++] && earlier.peer == receive.peer;
                                    });
    if (!first) continue;
    Post* const post = queue.front();
    if (post->bytes != receive.bytes)
      throw TransportFailure(fmt::format("rank {} sends {} bytes, rank {} expects {}",
                                         spec_.members[static_cast<size_t>(receive.peer)], post->bytes,
                                         spec_.members[static_cast<size_t>(rank)], receive.bytes));
    queue.erase(queue.begin());
    post->state = Post::State::copying;
    lock.unlock();
    if (receive.bytes > 0) std::memcpy(receive.data, post->data, static_cast<size_t>(receive.bytes));
    lock.lock();
    post->state = Post::State::done;
    served[i] = 1;
    any = true;
    notify(receive.peer);
  }
  return any;
}

// Takes back what nobody has begun to copy, and waits for who has: the sender's memory is about to go.
void ThreadGroup::withdraw(std::unique_lock<std::mutex>& lock, int rank, std::span<const SendBytes> sends,
                           std::vector<Post>& posts) {
  for (size_t i = 0; i < sends.size(); ++i) {
    auto& queue = member(sends[i].peer).waiting[static_cast<size_t>(rank)];
    std::erase(queue, &posts[i]);
  }
  member(rank).changed.wait(lock, [&] {
    return std::ranges::none_of(posts, [](const Post& post) { return post.state == Post::State::copying; });
  });
}

void ThreadGroup::exchange(int rank, std::span<const SendBytes> sends, std::span<const ReceiveBytes> receives,
                           std::vector<Post>& posts, std::vector<char>& served) {
  Member& self = member(rank);
  posts.assign(sends.size(), {});
  served.assign(receives.size(), 0);
  std::unique_lock lock(mutex_);
  for (size_t i = 0; i < sends.size(); ++i) {
    posts[i].data = sends[i].data;
    posts[i].bytes = sends[i].bytes;
    member(sends[i].peer).waiting[static_cast<size_t>(rank)].push_back(&posts[i]);
    notify(sends[i].peer);
  }
  try {
    for (;;) {
      const uint64_t seen = self.events.load(std::memory_order_relaxed);
      if (job_.aborted()) throw TransportFailure(job_.reason(), true);
      if (serve(lock, rank, receives, served)) continue;
      bool complete = true;
      for (size_t i = 0; i < receives.size(); ++i)
        if (!served[i]) {
          complete = false;
          check_alive(receives[i].peer);
        }
      for (size_t i = 0; i < sends.size(); ++i)
        if (posts[i].state != Post::State::done) {
          complete = false;
          if (posts[i].state == Post::State::waiting) check_alive(sends[i].peer);
        }
      if (complete) return;
      wait(lock, self, seen);
    }
  } catch (...) {
    withdraw(lock, rank, sends, posts);
    throw;
  }
}

}  // namespace strata
