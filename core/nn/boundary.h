// SPDX-License-Identifier: Apache-2.0
// Named points of a block where ranks may have to meet. On one rank each is the identity; parallel/ binds
// collectives to them, so that models stay single-device code.
#pragma once

#include <array>

#include "core/device/stream.h"
#include "core/tensor/tensor.h"

namespace strata {

enum class Point { embed_out, attn_in, attn_out, mlp_in, mlp_out, head_in, loss_max, loss_sum };
inline constexpr int kNumPoints = 8;

class Boundary {
 public:
  virtual ~Boundary() = default;
  // The identity: callers may then fuse a residual addition into the product before the point.
  virtual bool identity() const = 0;
  virtual Tensor forward(Stream& stream, const Tensor& x) const = 0;
  virtual Tensor backward(Stream& stream, const Tensor& dx) const = 0;
};

const Boundary& identity_boundary();

class BoundarySet {
 public:
  BoundarySet() { bound_.fill(&identity_boundary()); }
  // `boundary` must outlive the set.
  void bind(Point point, const Boundary& boundary) { bound_[static_cast<size_t>(point)] = &boundary; }
  const Boundary& operator[](Point point) const { return *bound_[static_cast<size_t>(point)]; }

 private:
  std::array<const Boundary*, kNumPoints> bound_;
};

}  // namespace strata
