// SPDX-License-Identifier: Apache-2.0
// One NCCL communicator's life: it connects within a time limit, ends by itself when the job is aborted or
// NCCL finds a fault, and else ends gracefully. No call into NCCL blocks: the communicator is of the
// non-blocking kind.
#pragma once

#include <nccl.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "core/dist/communicator.h"

namespace strata {

class NcclLink {
 public:
  // Collective over the members of `host`, the communicator of the same group on host memory. Both references
  // must outlive it. Throws Error(communication), after it has aborted the job, when the members do not
  // connect.
  NcclLink(World& world, Communicator& host, int gpu, const ncclUniqueId& id,
           std::chrono::milliseconds join_limit);
  // Waits a while for the other members to come to the same end; on the way out of a failure it does not.
  ~NcclLink();
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;

  // Makes `calls` as one NCCL group and returns when their kernels are on the stream. Throws JobAborted, or
  // Error(communication) after it has aborted the job.
  void run(CollectiveKind kind, int64_t bytes, const std::function<ncclResult_t(ncclComm_t)>& calls);

 private:
  using Deadline = std::optional<std::chrono::steady_clock::time_point>;

  void await(const Deadline& deadline);
  void watch();
  // NCCL's own view: success, in progress, or the fault. Needs the lock.
  ncclResult_t state();
  Report failure(ncclResult_t code, const std::string& what);
  // Ends the communicator; the first call counts. Gives up the lock.
  void end(std::unique_lock<std::mutex>& lock, std::optional<Report> failure);
  [[noreturn]] void throw_ended(std::unique_lock<std::mutex>& lock);

  World& world_;
  Communicator& host_;
  int gpu_;
  std::mutex mutex_;  // NCCL's calls on one communicator go one at a time
  ncclComm_t comm_ = nullptr;
  std::string doing_;              // the operation that was begun last
  std::optional<Report> failure_;  // what NCCL found; absent when the job was aborted elsewhere
  bool leaving_ = false;
  std::condition_variable leave_;
  std::thread watch_;
};

}  // namespace strata
