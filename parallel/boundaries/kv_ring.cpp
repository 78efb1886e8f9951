// SPDX-License-Identifier: Apache-2.0
#include "parallel/boundaries/kv_ring.h"

#include <array>
#include <utility>

#include "core/ops/elementwise.h"

namespace strata {
namespace {

// Keys and values (or their gradients) of one piece in one message: [2, tokens, width].
struct Piece {
  Tensor both;

  Piece(Stream& stream, DType dtype, const Shape& half)
      : both(Tensor::borrow(stream.scratch().take(2 * half.numel() * size_of(dtype)), dtype,
                            {2 * half[0], half[1]}, stream.device())) {}
  Tensor k() const { return both.slice(0, 0, both.dim(0) / 2); }
  Tensor v() const { return both.slice(0, both.dim(0) / 2, both.dim(0) / 2); }
};

}  // namespace

void KvRing::forward(Stream& stream, const Tensor& k, const Tensor& v, const Visit& visit) const {
  visit(0, k, v);
  if (pieces() == 1) return;
  const Scratch::Scope scope(stream.scratch());
  Piece here(stream, k.dtype(), k.shape()), coming(stream, k.dtype(), k.shape());
  copy(stream, k, here.k());
  copy(stream, v, here.v());
  for (int hop = 1; hop < pieces(); ++hop) {
    const Message sent{next(), here.both}, received{previous(), coming.both};
    context_.exchange(stream, {&sent, 1}, {&received, 1});
    std::swap(here, coming);
    visit(hop, here.k(), here.v());
  }
}

void KvRing::backward(Stream& stream, const Tensor& k, const Tensor& v, const Tensor& dk, const Tensor& dv,
                      const VisitBackward& visit) const {
  if (pieces() == 1) return visit(0, k, v, dk, dv);
  const Scratch::Scope scope(stream.scratch());
  Piece here(stream, k.dtype(), k.shape()), coming(stream, k.dtype(), k.shape());
  // Gradients: of this rank's piece by its own queries; of the piece here, and what the ranks before added to
  // it.
  const Piece own(stream, DType::f32, k.shape()), added(stream, DType::f32, k.shape()),
      brought(stream, DType::f32, k.shape());
  visit(0, k, v, own.k(), own.v());
  copy(stream, k, here.k());
  copy(stream, v, here.v());
  // Hop h brings piece h, and with it, from the second on, its gradients so far; one more hop brings those
  // home.
  for (int hop = 1; hop <= pieces(); ++hop) {
    const std::array sends{Message{next(), here.both}, Message{next(), added.both}};
    const std::array receives{Message{previous(), coming.both}, Message{previous(), brought.both}};
    const size_t first = hop < pieces() ? 0 : 1, count = (hop > 1 ? 2 : 1) - first;
    context_.exchange(stream, std::span(sends).subspan(first, count),
                      std::span(receives).subspan(first, count));
    if (hop == pieces()) break;
    std::swap(here, coming);
    visit(hop, here.k(), here.v(), added.k(), added.v());
    if (hop > 1) add(stream, added.both, brought.both, added.both);
  }
  add(stream, own.both, brought.both, own.both);
  copy(stream, own.k(), dk);
  copy(stream, own.v(), dv);
}

}  // namespace strata
