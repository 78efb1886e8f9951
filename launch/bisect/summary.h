// SPDX-License-Identifier: Apache-2.0
// What is kept of a tensor, or of a part of one, to compare it with another from a run in which its elements
// lie elsewhere. Summaries of parts add up to that of the whole, in any order, because everything in one is a
// sum over elements keyed by their index in the whole:
//
//   bits    of a hash of (index, bits): equal only when every bit is (but for 2^-64)
//   sketch  of s_k(index) * value, s_k(index) = +1 or -1 by a hash. The sketch is linear, so the difference
//   of
//           two is the sketch of the difference, and the mean of its squares estimates the squared distance
//           |a - b|^2 without bias (Alon, Matias, Szegedy, "The space complexity of approximating the
//           frequency moments", 1996); 16 of them, so to about a third. Exact when one element differs. Two
//           norms say much less: a tensor with its rows exchanged has the same.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "core/tensor/tensor.h"

namespace strata {

struct Summary {
  static constexpr int kSketches = 16;

  int64_t count = 0;
  int64_t non_finite = 0;  // NaN and Inf: in `bits`, in nothing that follows it
  uint64_t where = 0;      // the sum of a hash of the index: which elements these are
  uint64_t bits = 0;
  double squares = 0;
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();
  std::array<double, kSketches> sketch{};

  void add(uint64_t index, uint64_t bits_of_value, double value);
  void add(const Summary& other);
  double norm() const;

  bool same_bits(const Summary& other) const { return bits == other.bits && where == other.where; }
};

// An estimate of |a - b|: 0 when all bits are the same, infinity when the elements are not the same ones or
// one has more NaN or Inf.
double distance(const Summary& a, const Summary& b);

// The `count` elements from `from` of a contiguous tensor on the host, as elements [index, index + count) of
// the whole: visit(index, bits, value).
template <typename Visit>
void each_element(const Tensor& tensor, int64_t from, int64_t count, uint64_t index, Visit visit);

// Elements of one dtype; see each_element.
uint64_t element_bits(const Tensor& tensor, int64_t at);
double element_value(const Tensor& tensor, int64_t at);

template <typename Visit>
void each_element(const Tensor& tensor, int64_t from, int64_t count, uint64_t index, Visit visit) {
  for (int64_t i = 0; i < count; ++i)
    visit(index + static_cast<uint64_t>(i), element_bits(tensor, from + i), element_value(tensor, from + i));
}

}  // namespace strata
