// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/thread_world.h"

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "core/base/check.h"
#include "parallel/comm/thread_job.h"
#include "parallel/comm/transport_communicator.h"

namespace strata {
namespace {

class ThreadTransport : public Transport {
 public:
  // The job lives at least as long as its last group.
  ThreadTransport(std::shared_ptr<ThreadJob> job, std::shared_ptr<ThreadGroup> group, int rank)
      : job_(std::move(job)), group_(std::move(group)), rank_(rank) {}
  void exchange(std::span<const SendBytes> sends, std::span<const ReceiveBytes> receives) override {
    group_->exchange(rank_, sends, receives, posts_, served_);
  }

 private:
  std::shared_ptr<ThreadJob> job_;
  std::shared_ptr<ThreadGroup> group_;
  int rank_;
  std::vector<ThreadGroup::Post> posts_;
  std::vector<char> served_;
};

class ThreadNotices : public NoticeChannel {
 public:
  ThreadNotices(std::shared_ptr<ThreadJob> job, int channel, int rank)
      : job_(std::move(job)), channel_(channel), rank_(rank) {}
  void post(int to, std::string_view bytes) override { job_->post(channel_, rank_, to, bytes); }
  std::optional<Notice> poll() override { return job_->poll(channel_, rank_); }

 private:
  std::shared_ptr<ThreadJob> job_;
  int channel_;
  int rank_;
};

class ThreadWorld : public World {
 public:
  ThreadWorld(std::shared_ptr<ThreadJob> job, int rank, int size)
      : job_(std::move(job)), rank_(rank), size_(size) {}
  ~ThreadWorld() override { job_->leave(rank_); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string host() const override { return host_name(); }
  std::unique_ptr<Communicator> group(GroupSpec spec) override {
    const int place = place_in(spec, rank_, size_);
    try {
      auto transport = std::make_unique<ThreadTransport>(job_, job_->join(spec, rank_), place);
      return std::make_unique<TransportCommunicator>(*this, std::move(spec), place, std::move(transport));
    } catch (const TransportFailure& failure) {
      Report report{.what = fmt::format("the {} ranks of \"{}\" did not come together: {}",
                                        spec.members.size(), spec.purpose, failure.what()),
                    .where = fmt::format("rank {}@{}", rank_, host())};
      if (failure.aborted) throw JobAborted(Fault::communication, std::move(report));
      throw Error(Fault::communication, std::move(report));
    }
  }
  std::unique_ptr<NoticeChannel> notices() override {
    return std::make_unique<ThreadNotices>(job_, channels_++, rank_);
  }
  void abort(const std::string& reason) override {
    if (job_->abort(reason)) reports_abort_ = true;
  }
  bool aborted() const override { return job_->aborted(); }
  bool reports_abort() override { return reports_abort_; }

 private:
  std::shared_ptr<ThreadJob> job_;
  int rank_;
  int size_;
  int channels_ = 0;
  std::atomic<bool> reports_abort_ = false;
};

}  // namespace

std::vector<std::unique_ptr<World>> make_thread_worlds(int n) {
  check(n >= 1, "[thread_world] {} ranks", n);
  const auto job = std::make_shared<ThreadJob>(n);
  std::vector<std::unique_ptr<World>> worlds;
  for (int rank = 0; rank < n; ++rank) worlds.push_back(std::make_unique<ThreadWorld>(job, rank, n));
  return worlds;
}

void run_ranks(int n, const std::function<void(World&)>& body,
               const std::function<std::unique_ptr<World>(std::unique_ptr<World>)>& wrap) {
  std::vector<std::unique_ptr<World>> worlds = make_thread_worlds(n);
  std::mutex mutex;
  std::exception_ptr first;
  bool first_follows = false;
  const auto run = [&](int rank) {
    std::unique_ptr<World> world = std::move(worlds[static_cast<size_t>(rank)]);
    if (wrap) world = wrap(std::move(world));
    std::string reason;
    try {
      body(*world);
      return;
    } catch (const std::exception& failure) {
      reason = failure.what();
      std::lock_guard lock(mutex);
      // One that only follows from another's failure is not what went wrong, whichever ends sooner.
      const bool follows = dynamic_cast<const JobAborted*>(&failure) != nullptr;
      if (!first || (first_follows && !follows)) {
        first = std::current_exception();
        first_follows = follows;
      }
    }
    world->abort(reason);
  };
  std::vector<std::thread> threads;
  for (int rank = 0; rank < n; ++rank) threads.emplace_back(run, rank);
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace strata
