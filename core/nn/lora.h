// SPDX-License-Identifier: Apache-2.0
// Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685, section 4.1): beside a linear layer,
//   y = x . W^T + s drop(x) . A^T . B^T,   A [rank, in], B [out, rank],   s = alpha / rank
// (rank-stabilised: alpha / sqrt(rank), Kalajdzievski 2023, arXiv:2312.03732). Of a fused matrix every
// targeted piece has a pair of its own; they lie fused as well, and what is dropped of x while training is
// the same for all of them: drawn from the layer's name, the token's number in the run and the feature's, and
// drawn again where the backward pass needs it. The products are plain ones, whatever format the layer's own
// have.
//
// Ranks that share the layer need no meeting of their own. Cut along the outputs, A is whole everywhere (its
// gradients are addends) and B is cut as W is; cut along the inputs, A is cut as W is and B is whole (its
// gradients are addends): x_r . A_r^T . B^T are partial sums of what the layer's boundary adds up anyway.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/nn/block.h"

namespace strata {

struct LoraSpec {
  int64_t rank = 0;   // 0: no adapters
  float scale = 1;    // s
  float dropout = 0;  // the probability of an element of x to be dropped
  uint64_t seed = 0;  // of what is drawn
  // Patterns ('*' stands for any characters) of linear layers, or of the end of their names behind a dot:
  // "layers.0.attention.query", "attention.*", "mlp.up". The head is no target.
  std::vector<std::string> targets;
  // Patterns, alike, of layers that are trained whole beside the adapters: "head", "embedding", "mlp_norm".
  std::vector<std::string> whole;

  bool targets_layer(const std::string& name) const;
};

// Whether a pattern of LoraSpec::targets means the layer.
bool lora_pattern_matches(const std::string& pattern, const std::string& layer);

// What adapters' logical tensors are called behind the name of their layer.
inline constexpr std::string_view kLoraA = ".lora_a", kLoraB = ".lora_b";

// Adapters of one (fused) linear layer: places of their parameters in the block's list.
struct LoraLayer {
  int a = -1, b = -1;
  int64_t rank = 0;
  float scale = 1;
  float dropout = 0;
  RandomKey key;                            // of what is dropped, by element of [tokens of the run, features]
  int64_t features = 0, first_feature = 0;  // of the whole layer, and the first of x's here
  struct Piece {
    int64_t first, rows;  // among the layer's outputs here
  };
  std::vector<Piece> pieces;

  explicit operator bool() const { return !pieces.empty(); }
  int64_t width() const { return rank * static_cast<int64_t>(pieces.size()); }

  // s x . A^T (forward to the weight gradients) or s dy . B (backward_input to them), [tokens, width()].
  // Absent without adapters, as is everything below then.
  Tensor take(Region& region, DType dtype, int64_t tokens) const;
  // Fills `low` and adds to y.
  void forward(Context& ctx, Weights weights, const Tensor& x, const Tensor& low, const Tensor& y) const;
  // Fills `dlow` and adds to dx.
  void backward_input(Context& ctx, Weights weights, const Tensor& dy, const Tensor& dlow,
                      const Tensor& dx) const;
  bool wants_gradient(const Gradients& gradients) const;
  void backward_weight(Context& ctx, const Gradients& gradients, const Tensor& dy, const Tensor& x,
                       const Tensor& low, const Tensor& dlow) const;

 private:
  bool drops(const Context& ctx) const { return ctx.training && dropout > 0; }
  // out = what is left of x (+ add); out may be x or add.
  void drop(Context& ctx, const Tensor& x, const Tensor& add, const Tensor& out) const;
  // Piece i of the columns of low or dlow.
  Tensor part(const Tensor& low, size_t i) const {
    return low.slice(1, static_cast<int64_t>(i) * rank, rank);
  }
};

}  // namespace strata
