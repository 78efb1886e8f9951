// SPDX-License-Identifier: Apache-2.0
// The parts blocks are made of: a linear layer and a norm, each knowing which of its block's parameters are
// its own.
#pragma once

#include "core/nn/block.h"
#include "core/nn/lora.h"
#include "core/nn/split.h"

namespace strata {

inline constexpr int kAbsent = -1;

struct LinearLayer {
  int weight = kAbsent;
  int bias = kAbsent;
  LoraLayer lora;
  const std::vector<Parameter>* list = nullptr;  // of the block; null: a matrix that has no recipe

  LinearRecipe recipe() const { return list ? (*list)[static_cast<size_t>(weight)].recipe : LinearRecipe{}; }
  bool has_bias() const { return bias != kAbsent; }

  // Memory in `region` for columns of an operand of the weight gradient, x [rows, in] or dy [rows, out];
  // absent where the gradient is made of values: the recipe says so, adapters read them, or there is none.
  Quantized take_columns(Context& ctx, Region& region, LinearSide side, int64_t rows) const;
  // For these, or for the values: where there are no columns, and where something else reads them, too
  // (`needs_values`).
  LinearOperand keep(Context& ctx, Region& region, LinearSide side, DType dtype, int64_t rows,
                     bool needs_values) const;
  // Working memory f32 [1], 0, for the largest magnitude of an operand, which what makes the operand raises;
  // absent where the products do not want it.
  Tensor take_amax(Context& ctx, LinearSide side) const;

  // `low` and `dlow` are those of `lora`, absent where it is: LoraLayer::take.
  // y = x . W^T + b (+ add), + the adapters' part
  void forward(Context& ctx, Weights weights, const LinearOperand& x, const Tensor& add, const Tensor& y,
               const Tensor& low = {}) const;
  // y = residual + what a boundary makes of the partial product, + b once it is whole. y has the residual's
  // rows.
  void forward_residual(Context& ctx, Weights weights, Point point, const LinearOperand& x,
                        const Tensor& residual, const Tensor& y, const Tensor& low) const;
  void backward_input(Context& ctx, Weights weights, const LinearOperand& dy, const Tensor& dx,
                      const Tensor& dlow = {}) const;
  // Gradients of the weight and of its adapters; x is what forward multiplied, or what lay before `point`,
  // where forward had it from.
  void backward_weight(Context& ctx, const Gradients& gradients, const LinearOperand& dy,
                       const LinearOperand& x, const Tensor& low = {}, const Tensor& dlow = {}) const;
  void backward_weight(Context& ctx, const Gradients& gradients, const LinearOperand& dy,
                       const LinearOperand& x, Point point, const Tensor& low, const Tensor& dlow) const;
  // Gradient of the bias, if there is one; dy is that of the sum the bias was added to.
  void backward_bias(Context& ctx, const Gradients& gradients, const Tensor& dy) const;
};

// What was kept, with working memory for values that were not.
LinearOperand with_values(Context& ctx, const LinearOperand& kept, DType dtype, Shape shape);

enum class NormKind { rms, layer };

// What a norm keeps for its backward: [groups of width] statistics each.
struct NormStats {
  Tensor mean;  // layer norm only
  Tensor rstd;
};

// Gradients of a norm's parameters, made beside dx and added to the accumulators later.
struct NormGradient {
  Tensor weight, bias;  // f32
};

struct NormLayer {
  NormKind kind = NormKind::rms;
  float eps = 1e-5f;
  int weight = kAbsent;
  int bias = kAbsent;

  NormStats take_stats(Region& region, int64_t groups) const;
  NormGradient take_gradient(Region& region, int64_t width) const;
  // amax, optional, is raised to the largest |y|.
  void forward(Context& ctx, Weights weights, const Tensor& x, const Tensor& y, const NormStats& stats,
               const Tensor& amax = {}) const;
  // dx = (add +) gradient through the norm; dx may be dy or add.
  void backward(Context& ctx, Weights weights, const Tensor& x, const NormStats& stats, const Tensor& dy,
                const Tensor& add, const Tensor& dx, const NormGradient& gradient) const;
  void accumulate(Context& ctx, const Gradients& gradients, const NormGradient& gradient) const;
};

// Along which features the parts of a Split share a linear layer: nowhere, along its outputs
// (column-parallel: rows of the weight, and the bias) or along its inputs (row-parallel: columns of the
// weight; the bias stays whole and is added once the partial products are summed).
enum class Cut { whole, outputs, inputs };

// Adds parameters to a block's list: what the split leaves of each. Sizes given are those of the whole layer.
class ParameterList {
 public:
  ParameterList(std::vector<Parameter>& parameters, std::string prefix, const Split& split,
                LoraSpec lora = {})
      : parameters_(parameters), prefix_(std::move(prefix)), split_(split), lora_(std::move(lora)) {}

  struct Piece {
    std::string name;  // of the logical layer: "attention.query"
    int64_t rows;
  };
  // One fused matrix [sum of rows, in] named `name`, with a logical "<piece>.weight" (and "<piece>.bias") per
  // piece. Every piece is cut on its own. Adapters of the pieces that are targets come right behind.
  LinearLayer linear(const std::string& name, const std::vector<Piece>& pieces, int64_t in, bool bias,
                     float std, Cut cut);
  // `gradient` is the placement of its gradients; the values are replicated.
  NormLayer norm(NormKind kind, const std::string& name, int64_t width, float eps, AxisPlacement gradient);
  // A table [vocab, width] padded to `padded` rows, of which the parts share the padded ones; the logical
  // tensor is
  // "<name>.weight". Returns its place.
  int vocabulary(const std::string& name, Role role, int64_t vocab, int64_t padded, int64_t width, float std,
                 bool multiplied);
  // One that every part holds whole, with the gradient placed like a norm's.
  int table(const std::string& name, int64_t rows, int64_t width, float std);

 private:
  int add(Parameter parameter);
  LoraLayer adapters(const std::string& name, const std::vector<Piece>& pieces, int64_t in, Cut cut);

  std::vector<Parameter>& parameters_;
  std::string prefix_;
  Split split_;
  LoraSpec lora_;
};

}  // namespace strata
