// SPDX-License-Identifier: Apache-2.0
// The CPU's stream: work runs inline in the caller, or in order on a thread of the stream's own. Both give a
// kernel the same pool of workers.
#pragma once

#include <functional>
#include <memory>

#include "core/base/isa.h"
#include "core/base/worker_pool.h"
#include "core/device/stream.h"

namespace strata {

class CpuStream : public Stream {
 public:
  enum class Mode { inline_, threaded };

  // `pool` must outlive the stream. Kernels of the instruction set `isa` are used, which the machine must
  // have.
  explicit CpuStream(WorkerPool& pool, Mode mode = Mode::inline_, Isa isa = active_isa());
  ~CpuStream() override;  // finishes what was enqueued

  Device device() const override { return {DeviceKind::cpu, 0}; }
  Event record() override;
  void wait(const Event& event) override;
  void copy_bytes(const std::byte* from, std::byte* to, int64_t bytes) override;

  // Runs `work` after everything enqueued before it: before returning (inline), or later on the stream's
  // thread. An exception of inline work leaves here; one of threaded work leaves every later wait on an event
  // of this stream.
  template <typename Work>
  void enqueue(Work&& work) {
    if (mode_ == Mode::inline_)
      work();
    else
      enqueue_threaded(std::forward<Work>(work));
  }

  bool runs_inline() const { return mode_ == Mode::inline_; }
  WorkerPool& pool() const { return pool_; }
  Isa isa() const { return isa_; }

 private:
  void enqueue_threaded(std::function<void()> work);

  WorkerPool& pool_;
  Mode mode_;
  Isa isa_;
  struct Queue;
  std::unique_ptr<Queue> queue_;
};

// The stream as a CPU stream; throws ContractError when it is of another device.
CpuStream& cpu_stream(Stream& stream);

}  // namespace strata
