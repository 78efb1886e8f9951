// SPDX-License-Identifier: Apache-2.0
// Another library's matrix product beside ours, for comparison only. gemm_peer_onednn.cpp is built where
// oneDNN is found, no_gemm_peer.cpp elsewhere.
#pragma once

#include <memory>
#include <string>

#include "core/tensor/tensor.h"

namespace strata {

class GemmPeer {
 public:
  virtual ~GemmPeer() = default;
  virtual void run() = 0;  // one product, finished on return
};

// The library's name and version, or empty when there is none.
std::string gemm_peer_name();

// Prepares out = a . b (or out += a . b) on `threads` threads. With `pack_b` the right operand is brought
// beforehand into the layout the library likes best; otherwise it is read as it stands. Operands must outlive
// the result. Null when there is no library or it cannot do this product.
std::unique_ptr<GemmPeer> make_gemm_peer(const Tensor& a, const Tensor& b, const Tensor& out, bool pack_b,
                                         bool accumulate, int threads);

}  // namespace strata
