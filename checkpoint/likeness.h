// SPDX-License-Identifier: Apache-2.0
// How far two tensors of the same shape are apart, read piece by piece from two checkpoints of whatever
// formats.
#pragma once

#include "checkpoint/convert.h"

namespace strata {

// Sums over elements, in double precision and in the order of pieces: the same on any number of threads.
struct Likeness {
  double products = 0, squares_a = 0, squares_b = 0, squared_distance = 0;
  double largest = 0;     // distance of two elements; NaN where one is not a number
  int64_t different = 0;  // elements

  // Of the two as vectors; 1 of two that are zero, 0 where one is.
  double cosine() const;
  // Length of the difference, as a part of the length of `a`; 0 of equal ones, infinity where `a` is zero.
  double distance() const;

  Likeness& operator+=(const Likeness& other);
};

// Of one tensor in each, f32 (a CastSource makes them of other floats) of one shape. Throws what reading
// does. `done` hears of the bytes read, from one thread at a time.
Likeness likeness_of(const TensorSource& a, size_t tensor_a, const TensorSource& b, size_t tensor_b,
                     int64_t piece_bytes, WorkerPool& pool, const BytesDone& done = {});

}  // namespace strata
