// SPDX-License-Identifier: Apache-2.0
#include "parallel/boundaries/tensor_boundaries.h"

namespace strata {
namespace {

// Before a product whose outputs are cut: every rank needs the whole input, and has a part of its gradient's
// sum.
class CopyIn final : public Boundary {
 public:
  explicit CopyIn(Communicator& tensor) : tensor_(tensor) {}
  bool identity() const override { return true; }
  void forward(Stream&, const Tensor&, const Tensor&) const override {}
  void backward(Stream& stream, const Tensor& dy, const Tensor&) const override {
    tensor_.all_reduce(stream, dy);
  }

 private:
  Communicator& tensor_;
};

// Behind a product whose inputs are cut: every rank has a part of the result's sum, and needs the whole
// gradient.
class SumOut final : public Boundary {
 public:
  SumOut(Communicator& tensor, Reduction reduction) : tensor_(tensor), reduction_(reduction) {}
  bool identity() const override { return false; }
  void forward(Stream& stream, const Tensor& x, const Tensor&) const override {
    tensor_.all_reduce(stream, x, reduction_);
  }
  void backward(Stream&, const Tensor&, const Tensor&) const override {}

 private:
  Communicator& tensor_;
  Reduction reduction_;
};

// As CopyIn, where a rank has only its rows before the point.
class GatherIn final : public Boundary {
 public:
  explicit GatherIn(Communicator& tensor) : tensor_(tensor) {}
  bool identity() const override { return false; }
  int64_t rows(int64_t rows) const override { return rows * tensor_.size(); }
  int64_t rows_before(int64_t rows) const override { return div_exact(rows, tensor_.size()); }
  void forward(Stream& stream, const Tensor& x, const Tensor& y) const override {
    tensor_.all_gather(stream, x, y);
  }
  void backward(Stream& stream, const Tensor& dy, const Tensor& dx) const override {
    tensor_.reduce_scatter(stream, dy, dx);
  }

 private:
  Communicator& tensor_;
};

// As SumOut, where a rank keeps only its rows behind the point.
class ScatterOut final : public Boundary {
 public:
  explicit ScatterOut(Communicator& tensor) : tensor_(tensor) {}
  bool identity() const override { return false; }
  int64_t rows(int64_t rows) const override { return div_exact(rows, tensor_.size()); }
  int64_t first_row(int64_t rows) const override { return tensor_.rank() * div_exact(rows, tensor_.size()); }
  int64_t rows_before(int64_t rows) const override { return rows * tensor_.size(); }
  void forward(Stream& stream, const Tensor& x, const Tensor& y) const override {
    tensor_.reduce_scatter(stream, x, y);
  }
  void backward(Stream& stream, const Tensor& dy, const Tensor& dx) const override {
    tensor_.all_gather(stream, dy, dx);
  }

 private:
  Communicator& tensor_;
};

}  // namespace

TensorBoundaries::TensorBoundaries(Communicator& tensor, bool sequence) {
  if (tensor.size() == 1) return;
  auto bind = [&](std::initializer_list<Point> points, std::unique_ptr<const Boundary> boundary) {
    for (const Point point : points) set_.bind(point, *boundary);
    bound_.push_back(std::move(boundary));
  };
  const auto in = {Point::attn_in, Point::mlp_in, Point::head_in};
  const auto out = {Point::embed_out, Point::attn_out, Point::mlp_out};
  if (sequence) {
    bind(in, std::make_unique<GatherIn>(tensor));
    bind(out, std::make_unique<ScatterOut>(tensor));
  } else {
    bind(in, std::make_unique<CopyIn>(tensor));
    bind(out, std::make_unique<SumOut>(tensor, Reduction::sum));
  }
  bind({Point::loss_max}, std::make_unique<SumOut>(tensor, Reduction::max));
  bind({Point::loss_sum}, std::make_unique<SumOut>(tensor, Reduction::sum));
}

}  // namespace strata
