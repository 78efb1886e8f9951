// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/nccl/nccl_link.h"

#include <exception>
#include <utility>

#include "core/base/log.h"
#include "core/device/cuda/cuda_error.h"
#include "core/device/cuda/cuda_stream.h"
#include "parallel/comm/backoff.h"

namespace strata {
namespace {

using std::chrono::steady_clock;

constexpr auto kWatchInterval = std::chrono::milliseconds(20);
constexpr auto kLeaveLimit = std::chrono::seconds(10);

bool is_fault(ncclResult_t code) { return code != ncclSuccess && code != ncclInProgress; }

std::string fix_of(ncclResult_t code) {
  switch (code) {
    case ncclRemoteError:
    case ncclSystemError:
      return "look for the rank that failed first and at the network between the hosts; NCCL_DEBUG=WARN says "
             "more";
    case ncclInvalidUsage:
    case ncclInvalidArgument:
      return "give every rank a GPU of its own, and all ranks the same program and configuration; "
             "NCCL_DEBUG=WARN says more";
    case ncclUnhandledCudaError:
      return "look for errors of the GPU in dmesg (Xid); NCCL_DEBUG=WARN says more";
    default:
      return "run again with NCCL_DEBUG=INFO";
  }
}

}  // namespace

NcclLink::NcclLink(World& world, Communicator& host, int gpu, const ncclUniqueId& id,
                   std::chrono::milliseconds join_limit)
    : world_(world), host_(host), gpu_(gpu), doing_("connecting") {
  use_gpu(gpu_);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  const ncclResult_t code = ncclCommInitRankConfig(&comm_, host_.size(), id, host_.rank(), &config);
  if (is_fault(code)) {
    std::unique_lock lock(mutex_);
    end(lock, failure(code, "ncclCommInitRankConfig failed"));
    lock.lock();
    throw_ended(lock);
  }
  await(steady_clock::now() + join_limit);
  watch_ = std::thread([this] { watch(); });
}

NcclLink::~NcclLink() {
  std::unique_lock lock(mutex_);
  leaving_ = true;
  leave_.notify_all();
  lock.unlock();
  watch_.join();
  lock.lock();
  if (!comm_) return;
  cuda_log(cudaSetDevice(gpu_), "cudaSetDevice");
  // Members that fail do not come to a common end.
  if (std::uncaught_exceptions() > 0 || world_.aborted()) {
    end(lock, std::nullopt);
    return;
  }
  ncclResult_t code = ncclCommFinalize(comm_);
  Backoff backoff;
  const auto deadline = steady_clock::now() + kLeaveLimit;
  while (!is_fault(code) && (code = state()) == ncclInProgress && !world_.aborted() &&
         steady_clock::now() < deadline)
    backoff.pause();
  if (code == ncclSuccess) {
    ncclCommDestroy(comm_);
    return;
  }
  if (!world_.aborted())
    log::warn("NCCL: \"{}\" did not end gracefully: {}", host_.spec().purpose, ncclGetErrorString(code));
  end(lock, std::nullopt);
}

void NcclLink::run(CollectiveKind kind, int64_t bytes, const std::function<ncclResult_t(ncclComm_t)>& calls) {
  use_gpu(gpu_);
  std::unique_lock lock(mutex_);
  if (!comm_) throw_ended(lock);
  doing_ = fmt::format("{} of {} bytes", name(kind), bytes);
  ncclResult_t code = ncclGroupStart();
  if (!is_fault(code)) {
    code = calls(comm_);
    const ncclResult_t at_end = ncclGroupEnd();  // also after a fault: every group has an end
    if (!is_fault(code)) code = at_end;
  }
  if (is_fault(code)) {
    end(lock, failure(code, "a call into NCCL failed"));
    lock.lock();
    throw_ended(lock);
  }
  lock.unlock();
  if (code == ncclInProgress) await(std::nullopt);
}

void NcclLink::await(const Deadline& deadline) {
  Backoff backoff;
  for (;; backoff.pause()) {
    std::unique_lock lock(mutex_);
    if (!comm_) throw_ended(lock);
    const ncclResult_t now = state();
    if (now == ncclSuccess) return;
    if (is_fault(now))
      end(lock, failure(now, "NCCL reports a fault"));
    else if (world_.aborted())
      end(lock, std::nullopt);
    else if (deadline && steady_clock::now() > *deadline)
      end(lock, failure(now, "the members did not connect in time"));
    if (!lock.owns_lock()) {
      lock.lock();
      throw_ended(lock);
    }
  }
}

// While the caller waits for the stream, or does other things.
void NcclLink::watch() {
  cuda_log(cudaSetDevice(gpu_), "cudaSetDevice");
  std::unique_lock lock(mutex_);
  while (!leave_.wait_for(lock, kWatchInterval, [this] { return leaving_; })) {
    if (!comm_) return;
    const ncclResult_t now = state();
    if (is_fault(now)) return end(lock, failure(now, "NCCL reports a fault"));
    if (world_.aborted()) return end(lock, std::nullopt);
  }
}

ncclResult_t NcclLink::state() {
  ncclResult_t now = ncclSuccess;
  const ncclResult_t code = ncclCommGetAsyncError(comm_, &now);
  return code == ncclSuccess ? now : code;
}

Report NcclLink::failure(ncclResult_t code, const std::string& what) {
  const char* const last = comm_ ? ncclGetLastError(comm_) : nullptr;
  return {.what = fmt::format("{} among the {} ranks of \"{}\": {}", doing_, host_.size(),
                              host_.spec().purpose, what),
          .where = fmt::format("rank {}@{}, cuda:{}", world_.rank(), world_.host(), gpu_),
          .found = last && *last ? fmt::format("{} ({})", ncclGetErrorString(code), last)
                                 : ncclGetErrorString(code),
          .fix = fix_of(code)};
}

void NcclLink::end(std::unique_lock<std::mutex>& lock, std::optional<Report> failure) {
  // Without the lock: an abort waits for NCCL's kernels to end, and whoever calls meanwhile must be told.
  const ncclComm_t comm = std::exchange(comm_, nullptr);
  failure_ = std::move(failure);
  const std::string reason = failure_ ? to_string(*failure_) : "";
  lock.unlock();
  if (!reason.empty()) world_.abort(reason);  // first, so that the others' kernels end too
  if (comm) ncclCommAbort(comm);
}

void NcclLink::throw_ended(std::unique_lock<std::mutex>& lock) {
  if (failure_) throw Error(Fault::communication, *failure_);
  lock.unlock();
  host_.barrier();  // of an aborted job: throws, with the first cause
  throw JobAborted(Fault::communication, {.what = fmt::format("\"{}\" has ended", host_.spec().purpose)});
}

}  // namespace strata
