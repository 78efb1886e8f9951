// SPDX-License-Identifier: Apache-2.0
// Tensors between the host's memory and a device's. Host code reads and writes the former alone.
#pragma once

#include "core/device/stream.h"
#include "core/tensor/tensor.h"

namespace strata {

// to = from, bit for bit: same type and number of elements, both contiguous, each of the host or of the
// stream's device. See Stream::copy_bytes for what may wait and what must live.
void transfer(Stream& stream, const Tensor& from, const Tensor& to);

// The tensor where the host can read it: itself, or a copy that is already whole (the call waits for the
// stream).
Tensor on_host(Stream& stream, const Tensor& tensor);

}  // namespace strata
