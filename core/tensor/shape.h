// SPDX-License-Identifier: Apache-2.0
// Extents of a tensor, outermost first; a small value without heap memory.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include <fmt/format.h>

namespace strata {

class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;  // rank 0: a scalar
  Shape(std::initializer_list<int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int dim) const { return dims_[dim < 0 ? dim + rank_ : dim]; }
  void set(int dim, int64_t extent) { dims_[dim < 0 ? dim + rank_ : dim] = extent; }
  void append(int64_t extent);
  int64_t numel() const;

  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

std::string to_string(const Shape& shape);  // "[2, 3]"

}  // namespace strata

template <>
struct fmt::formatter<strata::Shape> : fmt::formatter<std::string> {
  template <typename Context>
  auto format(const strata::Shape& shape, Context& context) const {
    return fmt::formatter<std::string>::format(strata::to_string(shape), context);
  }
};
