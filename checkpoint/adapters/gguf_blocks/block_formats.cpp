// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/gguf_blocks/block_format.h"

namespace strata {

std::span<const BlockFormat* const> block_formats() {
  static constexpr const BlockFormat* kFormats[] = {&kBlockQ8_0, &kBlockQ4_0, &kBlockQ4_1};
  return kFormats;
}

}  // namespace strata
