// SPDX-License-Identifier: Apache-2.0
// Answers of the CUDA runtime as errors.
#pragma once

#include <cuda_runtime_api.h>

namespace strata {

// Throws what `code` means for a run: no driver, no device, a driver too old or a device that failed is an
// Error(environment) with the fix; a call that Strata made wrongly a ContractError. `call` names the
// function. Asynchronous failures of earlier work come with whatever call is next; the message says so.
void cuda_check(cudaError_t code, const char* call);

// The same for a destructor, which must not throw: logged, unless it is one on the way out of a failure.
void cuda_log(cudaError_t code, const char* call) noexcept;

}  // namespace strata
