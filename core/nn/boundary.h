// SPDX-License-Identifier: Apache-2.0
// Named points of a block where ranks may have to meet. On one rank each is the identity; parallel/ binds
// collectives to them, so that models stay single-device code.
#pragma once

#include <array>

#include "core/device/stream.h"
#include "core/nn/region.h"
#include "core/tensor/tensor.h"

namespace strata {

enum class Point { embed_out, attn_in, attn_out, mlp_in, mlp_out, head_in, loss_max, loss_sum };
inline constexpr int kNumPoints = 8;

// A boundary may hold more or fewer rows behind it than before it: a rank may keep only some of the tokens
// between layers and need all of them inside one.
class Boundary {
 public:
  virtual ~Boundary() = default;

  // Forward leaves its input as it is: callers may then fuse a residual addition into the product before the
  // point.
  virtual bool identity() const = 0;
  // Rows behind the point for `rows` before it, and the place of the first of them among those.
  virtual int64_t rows(int64_t rows) const { return rows; }
  virtual int64_t first_row(int64_t /*rows*/) const { return 0; }
  // Rows before the point for `rows` behind it.
  virtual int64_t rows_before(int64_t rows) const { return rows; }

  // Fills y = after(., x) from x, and dx = before(., dy) from dy. Where the rows are as many it is in place:
  // y is x.
  virtual void forward(Stream& stream, const Tensor& x, const Tensor& y) const = 0;
  virtual void backward(Stream& stream, const Tensor& dy, const Tensor& dx) const = 0;

  // The counterpart behind the point of a tensor before it: the tensor itself where the rows are as many,
  // else memory of `region`. And the other way round.
  Tensor after(Region& region, const Tensor& x) const { return counterpart(region, x, rows(x.dim(0))); }
  Tensor before(Region& region, const Tensor& y) const {
    return counterpart(region, y, rows_before(y.dim(0)));
  }

  // Both at once, in the stream's working memory.
  Tensor forward(Stream& stream, const Tensor& x) const {
    Region region = Region::temporary(stream.scratch(), stream.device());
    const Tensor y = after(region, x);
    forward(stream, x, y);
    return y;
  }
  Tensor backward(Stream& stream, const Tensor& dy) const {
    Region region = Region::temporary(stream.scratch(), stream.device());
    const Tensor dx = before(region, dy);
    backward(stream, dy, dx);
    return dx;
  }

 private:
  static Tensor counterpart(Region& region, const Tensor& x, int64_t rows) {
    return rows == x.dim(0) ? x : region.take(x.dtype(), {rows, x.dim(1)});
  }
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
