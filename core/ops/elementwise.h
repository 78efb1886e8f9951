// SPDX-License-Identifier: Apache-2.0
// Copies, casts and fills.
#pragma once

#include <cstdint>

#include "core/base/philox.h"
#include "core/device/stream.h"
#include "core/tensor/tensor.h"

namespace strata {

// to = from, converting between f32 and bf16 (round to nearest even). Same shape; unit stride in the last
// dim; rank 1 or 2.
void copy(Stream& stream, const Tensor& from, const Tensor& to);

// to = from, rounded stochastically (core/tensor/stochastic_rounding.h): element i of `from` is element
// `first_index + i` of the tensor that `key` names, so a slice gets the bits the whole would have there. f32
// to bf16, contiguous, same shape, not overlapping. The same bits on every device, for any number of threads.
void stochastic_round(Stream& stream, const Tensor& from, const Tensor& to, const RandomKey& key,
                      uint64_t first_index);

// Every element becomes `value`. f32 or bf16, contiguous.
void fill(Stream& stream, const Tensor& x, float value);

// out = a + b; f32 or bf16 alike, contiguous; out may be a or b. b may also be a vector that is added to
// every row of a matrix.
void add(Stream& stream, const Tensor& a, const Tensor& b, const Tensor& out);

// x (op)= s * x for f32, contiguous.
void scale(Stream& stream, const Tensor& x, float s);

// Normal(0, std) numbers: element i of x takes number `first_index + i` of the stream of random numbers
// `key`, so a slice of a tensor gets the values the whole would have there. f32, contiguous. Box-Muller on
// Philox blocks; the same bits on every device and ISA.
void fill_normal(Stream& stream, const Tensor& x, const RandomKey& key, uint64_t first_index, float std);

}  // namespace strata
