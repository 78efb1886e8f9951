// SPDX-License-Identifier: Apache-2.0
// Memory that begins at a page, as direct I/O wants it. Not initialised.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace strata {

struct FreePageMemory {
  void operator()(std::byte* data) const { std::free(data); }
};
using PageMemory = std::unique_ptr<std::byte[], FreePageMemory>;

inline PageMemory page_memory(int64_t bytes) {
  constexpr int64_t kPageBytes = 4096;
  const int64_t whole = (std::max<int64_t>(bytes, 1) + kPageBytes - 1) / kPageBytes * kPageBytes;
  auto* const data = static_cast<std::byte*>(std::aligned_alloc(kPageBytes, static_cast<size_t>(whole)));
  if (!data) throw std::bad_alloc();
  return PageMemory(data);
}

}  // namespace strata
