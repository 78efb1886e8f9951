// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "core/device/buffer.h"

namespace strata {

// Memory of GPU `index`: 256-byte aligned, zeroed. The host must not touch it.
std::shared_ptr<Allocator> make_cuda_allocator(int index);

// Host memory that GPUs read and write in place: page-locked, zeroed, 4 KiB aligned. Its buffers are the
// host's (Device cpu).
std::shared_ptr<Allocator> make_pinned_allocator(int index);

}  // namespace strata
