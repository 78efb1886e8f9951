// SPDX-License-Identifier: Apache-2.0
// The first place at which two records differ, in the order of causes: what is named has nothing before it
// that differs too.
//
// Two checks need one run only and no tolerance: copies of a value that several ranks hold are equal to the
// bit, and a step uses the weights that the step before left.
//
// With a tolerance t > 0 two tensors agree when |a - b| <= t max(|a|, |b|, m / 100), where m is the largest
// norm of the same quantity in the step. What follows from an update can only agree as far as the update
// does:
//   - Adam's step hardly depends on the size of a gradient, so that an error e of a gradient, relative to its
//     own norm, turns the steps of about a share e of the elements round: weights may differ by a further
//     2 sqrt(e) times their change, and by what they differed before.
//   - In later steps t is at least 100 times the relative distance of all weights that the step begins with:
//     gradients answer to a change of weights by many times as much.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launch/bisect/record.h"

namespace strata {

enum class Side : uint8_t { a, b };

struct Difference {
  enum class Kind : uint8_t {
    values,   // A's and B's differ
    copies,   // ranks of `side` that should hold the same do not
    changed,  // weights of `side` are not those that the step before left
    missing,  // `side` has no such value
    partial,  // the ranks of `side` hold only some of its elements
  };
  Kind kind = Kind::values;
  RecordKey key;
  Side side = Side::b;  // whose ranks are named
  Summary a, b;         // of the whole; of `copies`: of two copies; of `changed`: before and now
  double distance = 0;  // |a - b|, estimated
  double bound = 0;     // what was allowed; 0: no bit may differ
  std::vector<int> ranks;
  bool certain = false;        // those ranks have what differs; else they have parts of a tensor that does
  std::string action;          // of the first of them, in its program
  int64_t differ = 1, of = 1;  // of the step's values of this kind and block (sequences, tensors)
};

struct Comparison {
  std::optional<Difference> first;
  int64_t compared = 0;
  int64_t steps = 0;
  // With a tolerance, of what agrees: the largest part of its bound that a distance took, and where.
  double closest = 0;
  RecordKey closest_key;
  std::vector<std::string> left_out;  // what only one of the records has, and may
};

// 0 where both runs add up in the same order; else what reordered sums are allowed, 1e-5 in f32 and 2e-2 in
// bf16.
double default_tolerance(const RunHeader& a, const RunHeader& b);

// Of the steps that both have. Throws Error(usage) when there are none, or the models differ.
Comparison compare(const Record& a, const Record& b, double tolerance);

}  // namespace strata
