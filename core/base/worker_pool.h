// SPDX-License-Identifier: Apache-2.0
// Threads that share the work of one operation. Workers spin briefly and then sleep, chunks are handed out
// dynamically, so that a busy neighbour process slows a step in proportion instead of stalling it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace strata {

class WorkerPool {
 public:
  // `threads` counts the calling thread; 0 means one per core that this process may run on.
  explicit WorkerPool(int threads = 0);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int threads() const;

  // Calls body(index, worker) once for every index in [0, count), from up to threads() threads including the
  // caller; worker is in [0, threads()) and no two concurrent calls share it. Returns when all are done.
  // Which worker runs an index is not determined: results must not depend on it. The first exception of a
  // body is rethrown here. Calls from several threads are serialised; a call from inside a body runs on that
  // worker alone. A body may call another pool, whose bodies then must not wait for this one.
  void for_each(int64_t count, const std::function<void(int64_t index, int worker)>& body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace strata
