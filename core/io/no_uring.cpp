// SPDX-License-Identifier: Apache-2.0
// The build without liburing.
#include "core/io/io_backend.h"

namespace strata {

UringOutcome make_uring_backend(int) {
  return {nullptr, "this build has no io_uring: liburing was not found"};
}

}  // namespace strata
