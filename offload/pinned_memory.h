// SPDX-License-Identifier: Apache-2.0
// The allocator of the host tier's arena: memory of exactly the size asked for, in huge pages where the
// kernel gives them, resident from the start and locked where that is allowed, so that one buffer serves the
// drive (registered with the engine) and the GPU (registered with the driver) without copies in between.
// Registering is the business of those two.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/device/buffer.h"

namespace strata {

struct PinnedMemoryReport {
  int64_t bytes = 0;               // mapped: what was asked for, in whole pages of 4 KiB
  int64_t huge_bytes = 0;          // of them in huge pages
  int64_t locked_bytes = 0;        // of them locked
  std::vector<std::string> notes;  // why not all
};

class PinnedAllocator : public Allocator {
 public:
  // What all buffers handed out so far came to.
  virtual PinnedMemoryReport report() const = 0;
};

// Buffers start at a huge page if they are as large as one, else at a page; zeroed, all pages present. What
// cannot be had for lack of memory is an Error(memory) here, not a kill later; what cannot be locked or huge
// is a note.
std::shared_ptr<PinnedAllocator> make_pinned_allocator();

}  // namespace strata
