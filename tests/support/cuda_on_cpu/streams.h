// SPDX-License-Identifier: Apache-2.0
// Streams of the pretended GPU. With STRATA_CUDA_STREAMS=late a stream does nothing until somebody waits for
// it, and then only what was waited for: the host that reads too early reads old bytes, and a stream that
// does not wait for another one's event runs before it. Otherwise work is done at once, in the thread that
// asks for it.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

namespace strata::cuda_on_cpu {

// Work of the device, in the stream's order; copies what it needs. Throws what the work throws, at once or to
// whom waits.
void enqueue(cudaStream_t stream, std::function<void()> work);

// Whether enqueue() only takes note.
bool streams_are_late();

// Does what was enqueued so far.
void finish(cudaStream_t stream);
void finish_all_streams();

}  // namespace strata::cuda_on_cpu
