// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace strata {

// What this very program is: version, kind of build and a checksum of its file. Two ranks with different ones
// do not compute the same.
std::string build_identity();

}  // namespace strata
