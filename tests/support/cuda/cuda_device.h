// SPDX-License-Identifier: Apache-2.0
// The CUDA device under test, a GPU or the pretended one: for tests that run there alone.
#pragma once

#include <functional>
#include <memory>

#include "tests/support/test_tensors.h"

namespace strata {

std::unique_ptr<Stream> make_cuda_test_stream();
std::shared_ptr<TestMemory> make_cuda_test_memory();

// Runs `body` under every order of threads a test should see: many on the pretended GPU (schedules in
// tests/support/cuda_on_cpu), twice on a real one, whose orders nobody chooses.
void for_schedules(const std::function<void()>& body);

}  // namespace strata
