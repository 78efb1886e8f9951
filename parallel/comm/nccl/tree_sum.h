// SPDX-License-Identifier: Apache-2.0
// A reduction over what every member sent, on a GPU: tree_reduce.h's arithmetic, the same bits.
#pragma once

#include "core/device/stream.h"
#include "core/dist/collective.h"

namespace strata::cuda {

struct TreeSum {
  DType dtype;  // f32 or bf16
  Reduction reduction;
  int members, rank;
  const std::byte* own;    // what member `rank` brings
  const std::byte* slots;  // the others', in their order, each `slot` bytes after the last
  int64_t slot;
  std::byte* to;  // may be `own`
  int64_t count;  // elements
};

// Enqueues it.
void tree_sum(Stream& stream, const TreeSum& args);

}  // namespace strata::cuda
