// SPDX-License-Identifier: Apache-2.0
// How attention meets the keys and values of its sequences when several ranks hold pieces of them (context
// parallelism): they come to the queries one piece after the other. On one rank there is one piece; parallel/
// binds a ring.
#pragma once

#include <functional>

#include "core/device/stream.h"
#include "core/tensor/tensor.h"

namespace strata {

class KvExchange {
 public:
  virtual ~KvExchange() = default;
  virtual int pieces() const = 0;

  // k, v [tokens, kv_heads * head_dim], unit stride in dim 1, are this rank's piece. `visit` is called with
  // visit number 0 for it, then 1, 2, ... for those of the others, which have its shape; TokenBatch::visits
  // has the segments.
  using Visit = std::function<void(int visit, const Tensor& k, const Tensor& v)>;
  virtual void forward(Stream& stream, const Tensor& k, const Tensor& v, const Visit& visit) const = 0;

  // The same again, where `visit` overwrites dk and dv, dense or this rank's own, with what its queries give
  // of the gradients of the piece; f32 or k's type. dk, dv are this rank's: what all ranks gave, summed in
  // f32.
  using VisitBackward =
      std::function<void(int visit, const Tensor& k, const Tensor& v, const Tensor& dk, const Tensor& dv)>;
  virtual void backward(Stream& stream, const Tensor& k, const Tensor& v, const Tensor& dk, const Tensor& dv,
                        const VisitBackward& visit) const = 0;
};

const KvExchange& one_piece();

}  // namespace strata
