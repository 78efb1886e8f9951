// SPDX-License-Identifier: Apache-2.0
// Keys and values of the ranks of a context axis go round a ring (Liu et al. 2023, Ring Attention): after c -
// 1 hops every rank's queries have met every piece. In the backward pass the gradients of a piece travel
// behind it, gathering what each rank adds in f32, and come home with the last hop; what its own queries add
// stays at home meanwhile.
//
// On the wire, per layer and micro-batch, received by each rank, with P = 2 * tokens * kv_heads * head_dim
// elements of a piece: forward (c - 1) P of the model's type; backward the same again, and (c - 1) P of f32.
#pragma once

#include "core/dist/communicator.h"
#include "core/nn/kv_exchange.h"

namespace strata {

// The piece that visits rank `rank` of `size` at visit `visit`.
constexpr int visiting_piece(int rank, int size, int visit) { return (rank + size - visit) % size; }

class KvRing final : public KvExchange {
 public:
  // Must outlive this. A communicator of a plan gives the exchange of a plan.
  explicit KvRing(Communicator& context) : context_(context) {}

  int pieces() const override { return context_.size(); }
  void forward(Stream& stream, const Tensor& k, const Tensor& v, const Visit& visit) const override;
  void backward(Stream& stream, const Tensor& k, const Tensor& v, const Tensor& dk, const Tensor& dv,
                const VisitBackward& visit) const override;

 private:
  int next() const { return (context_.rank() + 1) % context_.size(); }
  int previous() const { return visiting_piece(context_.rank(), context_.size(), 1); }

  Communicator& context_;
};

}  // namespace strata
