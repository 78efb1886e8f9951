// SPDX-License-Identifier: Apache-2.0
// Initial values of parameters: numbers by (seed, tensor name, element of the whole tensor), so that every
// layout begins with the same ones.
#pragma once

#include "core/device/stream.h"
#include "core/nn/parameter.h"
#include "core/tensor/tensor.h"

namespace strata {

// The rows of `physical` (the parameter's tensor, or one of its shape) that hold `piece`.
Tensor rows_of(const LogicalTensor& piece, const Tensor& physical);

// Fills `values`, f32, zeroed, of the parameter's shape.
void fill_initial(Stream& stream, const Parameter& parameter, const Tensor& values, uint64_t seed);

}  // namespace strata
