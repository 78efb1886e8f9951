// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "core/base/error.h"
#include "parallel/comm/thread_world.h"

namespace strata {

// What a job of threads fails with; the fault is one of communication.
inline std::string failure_of(int ranks, const std::function<void(World&)>& body) {
  try {
    run_ranks(ranks, body);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::communication);
    return error.what();
  }
  return "no failure";
}

}  // namespace strata
