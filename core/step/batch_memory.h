// SPDX-License-Identifier: Apache-2.0
// The micro-batches of a step where the model's blocks read them. A CPU reads the host's vectors in place;
// any other device gets copies.
#pragma once

#include <vector>

#include "core/nn/batch.h"
#include "core/nn/context.h"
#include "core/step/geometry.h"

namespace strata {

class BatchMemory {
 public:
  // `memory` is of `device`; `host_memory` is where copies to it start without waiting.
  BatchMemory(const Geometry& geometry, Device device, Allocator& memory, Allocator& host_memory);

  // Bytes beside the plan's arena, on the device and in host memory alike.
  static int64_t bytes(const Geometry& geometry, Device device);

  // Micro-batch `i` is `batch`, which must live as long as it is used; with `loss_scale` see TokenBatch. The
  // device must be done with what was uploaded before.
  void set(size_t i, const Batch& batch, float loss_scale);
  // Copies the first `count` micro-batches to the device, in the stream's order.
  void upload(Stream& stream, size_t count) const;

  const TokenBatch& at(size_t i) const { return batches_[i]; }

 private:
  enum { kTokens, kTargets, kPositions, kPairBegin, kPairReference, kParts };
  Tensor part(const Tensor& all, size_t i, int part) const;

  Geometry geometry_;
  Tensor host_, device_;  // i32 [micro-batches, parts, tokens]; absent on a CPU
  std::vector<std::vector<std::vector<AttentionSegment>>>
      visits_;  // of each micro-batch: its own keys, then visitors
  std::vector<TokenBatch> batches_;
};

}  // namespace strata
