// SPDX-License-Identifier: Apache-2.0
// The CUDA device under test, real or pretended: for tests that run on it alone.
#pragma once

#include <functional>
#include <memory>

#include "tests/support/test_tensors.h"

namespace strata {

std::unique_ptr<Stream> make_cuda_test_stream();
std::shared_ptr<TestMemory> make_cuda_test_memory();

// Runs `body` in every order of threads that a test should see: once on a real GPU.
void for_schedules(const std::function<void()>& body);

}  // namespace strata
