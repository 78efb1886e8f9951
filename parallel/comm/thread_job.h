// SPDX-License-Identifier: Apache-2.0
// What the rank threads of one process share.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/dist/communicator.h"
#include "parallel/comm/abort_state.h"
#include "parallel/comm/transport.h"

namespace strata {

class ThreadGroup;

class ThreadJob {
 public:
  explicit ThreadJob(int ranks) : left_(static_cast<size_t>(ranks)) {}

  // Blocks until every member has called. Throws TransportFailure.
  std::shared_ptr<ThreadGroup> join(const GroupSpec& spec, int rank);
  bool abort(const std::string& reason);  // true: this is the first cause
  void leave(int rank);

  // Notices: channel n of every rank belongs to the same conversation.
  void post(int channel, int from, int to, std::string_view bytes);
  std::optional<NoticeChannel::Notice> poll(int channel, int rank);

  bool aborted() const { return abort_.aborted(); }
  bool has_left(int rank) const { return left_[static_cast<size_t>(rank)].load(std::memory_order_acquire); }
  std::string reason() const { return abort_.reason(); }

 private:
  using Key = std::pair<std::string, std::vector<int>>;
  struct Forming {
    std::shared_ptr<ThreadGroup> group;
    int joined = 0;
  };
  void wake_all();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, std::shared_ptr<Forming>> forming_;
  std::vector<std::weak_ptr<ThreadGroup>> groups_;
  std::map<std::pair<int, int>, std::deque<NoticeChannel::Notice>> notices_;  // by (channel, receiver)
  AbortState abort_;
  std::vector<std::atomic<bool>> left_;
};

// The meeting place of one communicator's members. A receiver copies straight from the sender's memory, so a
// send ends when its receive has been served.
class ThreadGroup {
 public:
  ThreadGroup(ThreadJob& job, const GroupSpec& spec);

  struct Post {
    const std::byte* data = nullptr;
    int64_t bytes = 0;
    enum class State { waiting, copying, done } state = State::waiting;
  };
  // As Transport::exchange, of member `rank`. `posts` is the member's own memory for as long as it runs.
  void exchange(int rank, std::span<const SendBytes> sends, std::span<const ReceiveBytes> receives,
                std::vector<Post>& posts, std::vector<char>& served);
  void wake_all();

 private:
  struct Member {
    std::condition_variable changed;
    std::atomic<uint64_t> events = 0;         // counts what happened for this member
    std::vector<std::vector<Post*>> waiting;  // by sender, in the order of sending
  };
  Member& member(int rank) { return *members_[static_cast<size_t>(rank)]; }
  void notify(int rank);
  bool serve(std::unique_lock<std::mutex>& lock, int rank, std::span<const ReceiveBytes> receives,
             std::vector<char>& served);
  void withdraw(std::unique_lock<std::mutex>& lock, int rank, std::span<const SendBytes> sends,
                std::vector<Post>& posts);
  void wait(std::unique_lock<std::mutex>& lock, Member& self, uint64_t seen);
  void check_alive(int peer) const;

  ThreadJob& job_;
  GroupSpec spec_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Member>> members_;
};

}  // namespace strata
