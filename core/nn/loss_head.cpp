// SPDX-License-Identifier: Apache-2.0
// Legend: T tokens, R rows before the boundary (all tokens or some), D hidden, C tokens of a chunk, V columns
// of the vocabulary held here.
#include "core/nn/loss_head.h"

#include <algorithm>

#include "core/ops/elementwise.h"
#include "core/ops/loss.h"

namespace strata {
namespace {

class LossHead final : public HeadBlock {
 public:
  explicit LossHead(const LossHeadSpec& spec)
      : spec_(spec),
        columns_(spec.split.share(spec.padded_vocab)),
        first_token_(spec.split.part * columns_),
        vocab_(std::clamp<int64_t>(spec.vocab - first_token_, 0, columns_)) {
    ParameterList list(parameters_, "", spec.split);
    norm_ = list.norm(spec.norm, "final_norm", spec.hidden, spec.norm_eps, spec.split.per_row());
    // Own parameters first; a tied table comes right behind them.
    matrix_.weight = spec.tied ? static_cast<int>(parameters_.size())
                               : list.vocabulary(spec.twin ? "embedding" : "head",
                                                 spec.twin ? Role::embedding : Role::linear, spec.vocab,
                                                 spec.padded_vocab, spec.hidden, spec.init_std, true);
  }

  std::string name() const override { return "head"; }

  Tensor loss(Context& ctx, Weights weights, const Gradients& gradients, const Tensor& x_RD,
              LossSum* sum) const override {
    const Tensor dx_RD = ctx.output.take(x_RD.dtype(), x_RD.shape());
    run(ctx, weights, &gradients, x_RD, dx_RD, sum);
    return dx_RD;
  }

  void loss_only(Context& ctx, Weights weights, const Tensor& x_RD, LossSum* sum) const override {
    run(ctx, weights, nullptr, x_RD, {}, sum);
  }

  Tensor logits(Context& ctx, Weights weights, const Tensor& x_RD) const override {
    const int64_t rows = x_RD.dim(0);
    const Tensor logits = ctx.output.take(DType::f32, {rows, columns_});
    const Scratch::Scope scope(ctx.stream.scratch());
    const Tensor normed = ctx.scratch(x_RD.dtype(), x_RD.shape());
    Region stats = ctx.temporary();
    norm_.forward(ctx, weights, x_RD, normed, norm_.take_stats(stats, rows));
    matrix_.forward(ctx, weights, normed, {}, logits);
    return logits;
  }

 private:
  void run(Context& ctx, Weights weights, const Gradients* gradients, const Tensor& x_RD, const Tensor& dx_RD,
           LossSum* sum) const {
    const DType dtype = x_RD.dtype();
    const Scratch::Scope scope(ctx.stream.scratch());
    Region temporary = ctx.temporary();

    const Tensor normed_RD = ctx.scratch(dtype, x_RD.shape());
    const NormStats stats = norm_.take_stats(temporary, x_RD.dim(0));
    norm_.forward(ctx, weights, x_RD, normed_RD, stats);
    const Boundary& in = ctx.boundaries[Point::head_in];
    const Tensor hidden_TD = in.forward(ctx.stream, normed_RD);
    const int64_t tokens = hidden_TD.dim(0);
    // The gradient of the normed input replaces dx for the time being, where it has as many rows: its chunks
    // are written as they come.
    const Tensor dhidden_TD = gradients ? in.after(temporary, dx_RD) : Tensor();
    const Tensor nll_T = ctx.scratch(DType::f32, {tokens});

    const int64_t row_bytes = columns_ * size_of(dtype);
    const int64_t chunk =
        std::clamp<int64_t>(spec_.chunk_bytes / row_bytes / 16 * 16, 16, std::max<int64_t>(tokens, 16));
    const auto run_chunks = [&](const Gradients* wanted, const Tensor& weight_T) {
      for (int64_t begin = 0; begin < tokens; begin += chunk)
        run_chunk(ctx, weights, wanted, hidden_TD, dhidden_TD, nll_T, weight_T, begin,
                  std::min(chunk, tokens - begin));
    };
    // A plan is made for pairs where they may come.
    const bool planning = ctx.stream.device().kind == DeviceKind::meta;
    if (spec_.preference.on && (planning || ctx.batch.pair_begin)) {
      run_chunks(nullptr, {});
      const Tensor weight_T = gradients ? ctx.scratch(DType::f32, {tokens}) : Tensor();
      const int64_t pairs = planning ? tokens / kLeastPair : ctx.batch.pair_reference.numel() / 2;
      const Tensor losses = ctx.scratch(DType::f32, {pairs});
      if (!planning) {
        const Tensor& begin = ctx.batch.pair_begin;
        preference_loss(ctx.stream, {.spec = spec_.preference,
                                     .nll = nll_T,
                                     .begin = begin,
                                     .reference = ctx.batch.pair_reference,
                                     .losses = losses,
                                     .weight = weight_T});
        // Each pair is a target: no place is a negative number.
        sum_losses(ctx.stream, losses, begin.slice(0, 0, pairs), sum);
      }
      if (gradients) run_chunks(gradients, weight_T);
    } else {
      run_chunks(gradients, {});
      sum_losses(ctx.stream, nll_T, ctx.batch.targets, sum);
    }
    if (!gradients) return;

    in.backward(ctx.stream, dhidden_TD, dx_RD);
    const NormGradient gradient = norm_.take_gradient(temporary, spec_.hidden);
    norm_.backward(ctx, weights, x_RD, stats, dx_RD, {}, dx_RD, gradient);
    norm_.accumulate(ctx, *gradients, gradient);
  }

  void run_chunk(Context& ctx, Weights weights, const Gradients* gradients, const Tensor& hidden_TD,
                 const Tensor& dhidden_TD, const Tensor& nll_T, const Tensor& weight_T, int64_t begin,
                 int64_t rows) const {
    const Scratch::Scope scope(ctx.stream.scratch());
    const Tensor hidden_CD = hidden_TD.slice(0, begin, rows);
    const Tensor targets_C = ctx.batch.targets.slice(0, begin, rows);
    const Tensor logits_CV = ctx.scratch(hidden_TD.dtype(), {rows, columns_});
    matrix_.forward(ctx, weights, hidden_CD, {}, logits_CV);

    const Tensor max_C = ctx.scratch(DType::f32, {rows});
    const Tensor sums_2C = ctx.scratch(DType::f32, {2, rows});
    const Tensor sum_C = sums_2C.slice(0, 0, 1).view({rows}), target_C = sums_2C.slice(0, 1, 1).view({rows});
    softmax_stats(ctx.stream, {.logits = logits_CV,
                               .targets = targets_C,
                               .vocab = vocab_,
                               .first_token = first_token_,
                               .max = max_C,
                               .sum = sum_C,
                               .target_logit = target_C});
    combine(ctx, max_C, sum_C, sums_2C);
    cross_entropy(ctx.stream, {.logits = logits_CV,
                               .targets = targets_C,
                               .vocab = vocab_,
                               .first_token = first_token_,
                               .max = max_C,
                               .sum = sum_C,
                               .target_logit = target_C,
                               .nll = nll_T.slice(0, begin, rows),
                               .weight = weight_T ? weight_T.slice(0, begin, rows) : Tensor(),
                               .scale = ctx.batch.loss_scale,
                               .gradient = gradients != nullptr});
    if (!gradients) return;
    matrix_.backward_input(ctx, weights, logits_CV, dhidden_TD.slice(0, begin, rows));
    // Only the first chunk of a creating action overwrites the gradient.
    const Gradients chunk{gradients->tensors, begin == 0 ? gradients->write : Write::accumulate};
    matrix_.backward_weight(ctx, chunk, logits_CV, hidden_CD);
  }

  // Statistics of the columns held here become those of the whole vocabulary.
  static void combine(Context& ctx, const Tensor& max_C, const Tensor& sum_C, const Tensor& sums_2C) {
    const Boundary& highest = ctx.boundaries[Point::loss_max];
    if (highest.identity()) return;
    const Tensor own_max_C = ctx.scratch(DType::f32, max_C.shape());
    copy(ctx.stream, max_C, own_max_C);
    highest.forward(ctx.stream, max_C, max_C);
    rescale_sums(ctx.stream, own_max_C, max_C, sum_C);
    ctx.boundaries[Point::loss_sum].forward(ctx.stream, sums_2C, sums_2C);
  }

  LossHeadSpec spec_;
  int64_t columns_;  // of the logits made here; token ids [first_token_, first_token_ + vocab_) are real
  int64_t first_token_;
  int64_t vocab_;
  NormLayer norm_;
  LinearLayer matrix_;
};

}  // namespace

std::unique_ptr<HeadBlock> make_loss_head(const LossHeadSpec& spec) {
  return std::make_unique<LossHead>(spec);
}

}  // namespace strata
