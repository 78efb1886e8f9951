// SPDX-License-Identifier: Apache-2.0
// Muon: matrices of layers step by their momentum's nearest orthogonal matrix, all else by AdamW. A matrix is
// seen whole: the rule is not element-wise. In f32; the constants are in muon_math.h.
//
//   m <- momentum m + (1 - momentum) g;   u = (1 - momentum) g + momentum m      (Nesterov)
//   w <- (1 - lr decay) w - lr scale(rows, columns) newton_schulz(u / |u|)
#pragma once

#include <memory>

#include "optim/adamw.h"

namespace strata {

// For State in Fp32State, MasterState. moment1 is m; moment2 of matrices stays zero. Each update of a matrix
// takes working memory of two to three times its elements in f32. Bits depend neither on the number of
// threads nor on the layout; those of a GPU are others.
template <typename State>
std::unique_ptr<UpdateRule> make_muon(const AdamwOptions& options);

}  // namespace strata
