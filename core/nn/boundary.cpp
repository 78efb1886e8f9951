// SPDX-License-Identifier: Apache-2.0
#include "core/nn/boundary.h"

namespace strata {
namespace {

class IdentityBoundary final : public Boundary {
 public:
  bool identity() const override { return true; }
  void forward(Stream&, const Tensor&, const Tensor&) const override {}
  void backward(Stream&, const Tensor&, const Tensor&) const override {}
};

}  // namespace

const Boundary& identity_boundary() {
  static const IdentityBoundary boundary;
  return boundary;
}

}  // namespace strata
