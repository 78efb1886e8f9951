// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace strata {

// What an operation does with what its output held before.
enum class Write { overwrite, accumulate };

}  // namespace strata
