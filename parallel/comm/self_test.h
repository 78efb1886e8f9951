// SPDX-License-Identifier: Apache-2.0
// Every collective once, on known numbers: libraries and drivers have returned wrong bytes in a window of
// sizes before, and a run that trains on them looks healthy.
#pragma once

#include <cstdint>
#include <span>

#include "core/dist/communicator.h"

namespace strata {

inline constexpr int64_t kSelfTestBytes[] = {4, 4 << 10, 256 << 10};  // of a member's whole buffer, about

// All members call it. Throws Error(environment) naming the operation, the size, the member and the element.
void self_test(Communicator& communicator, Stream& stream, std::span<const int64_t> bytes = kSelfTestBytes);

}  // namespace strata
