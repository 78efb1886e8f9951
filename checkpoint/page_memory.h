// SPDX-License-Identifier: Apache-2.0
// Memory that begins at a page, as direct I/O wants it. Not initialised.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

#include "checkpoint/shard_layout.h"
#include "core/base/check.h"

namespace strata {

struct FreeMemory {
  void operator()(std::byte* data) const { std::free(data); }
};
using PageMemory = std::unique_ptr<std::byte[], FreeMemory>;

inline PageMemory page_memory(int64_t bytes) {
  const auto whole = static_cast<size_t>(round_up(std::max<int64_t>(bytes, 1), kPage));
  auto* const data = static_cast<std::byte*>(std::aligned_alloc(static_cast<size_t>(kPage), whole));
  if (!data) throw std::bad_alloc();
  return PageMemory(data);
}

}  // namespace strata
