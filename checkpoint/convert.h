// SPDX-License-Identifier: Apache-2.0
// One checkpoint into another, piece by piece, whatever their formats: nothing larger than a piece is in
// memory.
#pragma once

#include <functional>
#include <vector>

#include "checkpoint/logical.h"
#include "core/base/worker_pool.h"

namespace strata {

struct Conversion {
  std::vector<Digest> digests;  // by tensor, of what was read
  int64_t bytes = 0;            // written
  int64_t kept_bytes = 0;       // that an earlier try had left
};

// Hears of bytes done, from one thread at a time.
using BytesDone = std::function<void(int64_t bytes)>;

// Copies every tensor of `source` to `sink`, which has been told of them (declare) in the same order. The
// sink decides the pieces; each worker holds one. A tensor whose digest is not the one stored with it is an
// Error(model). Does not commit.
Conversion convert_tensors(const TensorSource& source, TensorSink& sink, WorkerPool& pool,
                           const BytesDone& done);

// Reads tensors again, in pieces of at most `piece_bytes`, and returns their digests.
std::vector<Digest> read_digests(const TensorSource& source, std::span<const size_t> tensors,
                                 int64_t piece_bytes, WorkerPool& pool, const BytesDone& done);

// Throws Error(environment) naming every tensor of `written` that does not hold what `digests` says. Tensors
// are found by name and state: a format may order them as it likes.
void check_written(const TensorSource& written, std::span<const TensorSpec> tensors,
                   std::span<const Digest> digests, int64_t piece_bytes, WorkerPool& pool,
                   const BytesDone& done);

}  // namespace strata
