// SPDX-License-Identifier: Apache-2.0
// Legend of shape suffixes: T tokens, R rows between layers (all tokens, or this rank's part of them), D
// hidden, Q = heads * head_dim, K = kv_heads * head_dim, F feed-forward width, U = columns of the up
// projection (2F with a gate, else F). Heads and F are those held here.
#include "core/nn/transformer_block.h"

#include <cmath>

#include "core/nn/attend.h"
#include "core/ops/activation.h"
#include "core/ops/attention.h"
#include "core/ops/elementwise.h"
#include "core/ops/norm.h"
#include "core/ops/rope.h"

namespace strata {
namespace {

class TransformerBlock final : public Block {
 public:
  explicit TransformerBlock(const TransformerBlockSpec& spec);

  std::string name() const override { return fmt::format("layer {}", spec_.layer); }
  Tensor forward(Context& ctx, Weights weights, const Tensor& x_RD) const override;
  Tensor backward_input(Context& ctx, Weights weights, const Tensor& x_RD,
                        const Tensor& dy_RD) const override;
  void backward_weight(Context& ctx, const Gradients& gradients, const Tensor& x_RD,
                       const Tensor& dy_RD) const override;

 private:
  // What forward leaves behind: `until_input` is gone after backward_input, the rest after backward_weight.
  struct Saved {
    // saved_input
    NormStats norm1, norm2, q_norm, k_norm;
    Tensor qkv;     // after bias; with rotary embedding and no q/k norm also turned
    Tensor qk;      // with q/k norm: q and k normalised and turned [T, Q + K]
    Tensor lse_HT;  // of attention
    Tensor x1_RD;   // the residual stream between the two halves
    Tensor up_TU;
    // saved_weight: right operands of the weight gradients, the normed ones as they are before the boundary.
    // Attention's backward reads the values of what it made, too.
    LinearOperand normed1_RD, mixed_TQ, normed2_RD, act_TF;
    Tensor qkv_low, out_low, up_low, down_low;  // of adapters
  };
  struct Deferred {
    // Left operands; dattn and dmlp are dx1 and dy before the boundaries of attention and of the feed-forward
    // network. dx1 is absent where dattn is kept as columns.
    LinearOperand dqkv, dattn_TD, dup_TU, dmlp_TD;
    Tensor dx1_RD;
    NormGradient norm1, norm2, q_norm, k_norm;
    Tensor qkv_low, out_low, up_low, down_low;  // of adapters
  };
  // q and k as attention reads them.
  Tensor query(const Saved& s) const { return (spec_.qk_norm ? s.qk : s.qkv).slice(1, 0, q_width_); }
  Tensor key(const Saved& s) const { return (spec_.qk_norm ? s.qk : s.qkv).slice(1, q_width_, kv_width_); }
  Tensor value(const Saved& s) const { return s.qkv.slice(1, q_width_ + kv_width_, kv_width_); }

  Saved take_saved(Context& ctx, DType dtype, int64_t rows) const;
  Deferred take_deferred(Context& ctx, const Tensor& dy_RD) const;
  // amax: of what they make, optional.
  void turn(Context& ctx, const Tensor& q, const Tensor& k, bool inverse, const Tensor& amax = {}) const;
  void activate(Context& ctx, const Tensor& up, const Tensor& act, const Tensor& amax) const;
  void activate_backward(Context& ctx, const Saved& s, const Tensor& dact, const Tensor& dup,
                         const Tensor& amax) const;
  // What a norm before `point` makes, as the layer behind it multiplies it.
  LinearOperand normed(Context& ctx, Weights weights, const NormLayer& norm, const LinearLayer& layer,
                       Point point, const Tensor& x_RD, const LinearOperand& kept,
                       const NormStats& stats) const;

  TransformerBlockSpec spec_;
  int64_t heads_, kv_heads_, ffn_;  // held here
  int64_t q_width_, kv_width_, up_width_;
  float scale_;
  NormLayer norm1_, norm2_, q_norm_, k_norm_;
  LinearLayer qkv_, out_, up_, down_;
};

TransformerBlock::TransformerBlock(const TransformerBlockSpec& spec)
    : spec_(spec),
      heads_(spec.split.share(spec.heads)),
      kv_heads_(spec.split.share(spec.kv_heads)),
      ffn_(spec.split.share(spec.ffn)),
      q_width_(heads_ * spec.head_dim),
      kv_width_(kv_heads_ * spec.head_dim),
      up_width_(spec.activation == Activation::swiglu ? 2 * ffn_ : ffn_),
      scale_(1.0f / std::sqrt(static_cast<float>(spec.head_dim))) {
  const Split& split = spec.split;
  const int64_t query = spec.heads * spec.head_dim, key = spec.kv_heads * spec.head_dim;
  ParameterList list(parameters_, fmt::format("layers.{}.", spec.layer), split, spec.lora);
  norm1_ = list.norm(spec.norm, "attention_norm", spec.hidden, spec.norm_eps, split.per_row());
  qkv_ = list.linear("attention.qkv",
                     {{"attention.query", query}, {"attention.key", key}, {"attention.value", key}},
                     spec.hidden, spec.qkv_bias, spec.init_std, Cut::outputs);
  if (spec.qk_norm) {
    // One gain for all heads, of which each part sees its own.
    q_norm_ = list.norm(NormKind::rms, "attention.query_norm", spec.head_dim, spec.norm_eps, split.partial());
    k_norm_ = list.norm(NormKind::rms, "attention.key_norm", spec.head_dim, spec.norm_eps, split.partial());
  }
  out_ = list.linear("attention.output", {{"attention.output", spec.hidden}}, query, spec.linear_bias,
                     spec.residual_init_std, Cut::inputs);
  norm2_ = list.norm(spec.norm, "mlp_norm", spec.hidden, spec.norm_eps, split.per_row());
  if (spec.activation == Activation::swiglu)
    up_ = list.linear("mlp.gate_up", {{"mlp.gate", spec.ffn}, {"mlp.up", spec.ffn}}, spec.hidden,
                      spec.linear_bias, spec.init_std, Cut::outputs);
  else
    up_ = list.linear("mlp.up", {{"mlp.up", spec.ffn}}, spec.hidden, spec.linear_bias, spec.init_std,
                      Cut::outputs);
  down_ = list.linear("mlp.down", {{"mlp.down", spec.hidden}}, spec.ffn, spec.linear_bias,
                      spec.residual_init_std, Cut::inputs);
}

TransformerBlock::Saved TransformerBlock::take_saved(Context& ctx, DType dtype, int64_t rows) const {
  const int64_t tokens = ctx.boundaries[Point::attn_in].rows(rows);
  Saved s;
  s.norm1 = norm1_.take_stats(ctx.saved_input, rows);
  s.qkv = ctx.saved_input.take(dtype, {tokens, q_width_ + 2 * kv_width_});
  if (spec_.qk_norm) {
    s.q_norm = q_norm_.take_stats(ctx.saved_input, tokens * heads_);
    s.k_norm = k_norm_.take_stats(ctx.saved_input, tokens * kv_heads_);
    s.qk = ctx.saved_input.take(dtype, {tokens, q_width_ + kv_width_});
  }
  s.lse_HT = ctx.saved_input.take(DType::f32, {heads_, tokens});
  s.x1_RD = ctx.saved_input.take(dtype, {rows, spec_.hidden});
  s.norm2 = norm2_.take_stats(ctx.saved_input, rows);
  s.up_TU = ctx.saved_input.take(dtype, {tokens, up_width_});

  // Behind a boundary that gathers rows, columns of all of them would take more than these rows' values.
  const auto gathers = [&](Point point) { return !ctx.boundaries[point].identity(); };
  const auto keep = [&](const LinearLayer& layer, int64_t count, bool needs_values) {
    return layer.keep(ctx, ctx.saved_weight, LinearSide::input, dtype, count, needs_values);
  };
  s.normed1_RD = keep(qkv_, rows, gathers(Point::attn_in));
  s.mixed_TQ = keep(out_, tokens, true);
  s.normed2_RD = keep(up_, rows, gathers(Point::mlp_in));
  s.act_TF = keep(down_, tokens, false);
  s.qkv_low = qkv_.lora.take(ctx.saved_weight, dtype, tokens);
  s.out_low = out_.lora.take(ctx.saved_weight, dtype, tokens);
  s.up_low = up_.lora.take(ctx.saved_weight, dtype, tokens);
  s.down_low = down_.lora.take(ctx.saved_weight, dtype, tokens);
  return s;
}

TransformerBlock::Deferred TransformerBlock::take_deferred(Context& ctx, const Tensor& dy_RD) const {
  const DType dtype = dy_RD.dtype();
  const int64_t rows = dy_RD.dim(0), tokens = ctx.boundaries[Point::attn_in].rows(rows);
  Deferred d;
  const LinearSide side = LinearSide::gradient;
  d.dqkv = qkv_.keep(ctx, ctx.deferred, side, dtype, tokens, qkv_.has_bias());
  if (!out_.has_bias()) d.dattn_TD.columns = out_.take_columns(ctx, ctx.deferred, side, tokens);
  if (!d.dattn_TD.columns) {
    d.dx1_RD = ctx.deferred.take(dtype, {rows, spec_.hidden});
    d.dattn_TD.values = ctx.boundaries[Point::attn_out].before(ctx.deferred, d.dx1_RD);
  }
  d.dup_TU = up_.keep(ctx, ctx.deferred, side, dtype, tokens, up_.has_bias());
  d.dmlp_TD.columns = down_.take_columns(ctx, ctx.deferred, side, tokens);
  if (!d.dmlp_TD.columns) d.dmlp_TD.values = ctx.boundaries[Point::mlp_out].before(ctx.deferred, dy_RD);
  d.norm1 = norm1_.take_gradient(ctx.deferred, spec_.hidden);
  d.norm2 = norm2_.take_gradient(ctx.deferred, spec_.hidden);
  if (spec_.qk_norm) {
    d.q_norm = q_norm_.take_gradient(ctx.deferred, spec_.head_dim);
    d.k_norm = k_norm_.take_gradient(ctx.deferred, spec_.head_dim);
  }
  d.qkv_low = qkv_.lora.take(ctx.deferred, dtype, tokens);
  d.out_low = out_.lora.take(ctx.deferred, dtype, tokens);
  d.up_low = up_.lora.take(ctx.deferred, dtype, tokens);
  d.down_low = down_.lora.take(ctx.deferred, dtype, tokens);
  return d;
}

void TransformerBlock::turn(Context& ctx, const Tensor& q, const Tensor& k, bool inverse,
                            const Tensor& amax) const {
  if (!spec_.rotary) return;
  for (const Tensor& x : {q, k})
    rope(ctx.stream, {.x = x,
                      .positions = ctx.batch.positions,
                      .cos = ctx.rope.cos,
                      .sin = ctx.rope.sin,
                      .inverse = inverse,
                      .amax = amax});
}

void TransformerBlock::activate(Context& ctx, const Tensor& up, const Tensor& act, const Tensor& amax) const {
  if (spec_.activation == Activation::swiglu)
    swiglu_forward(ctx.stream, {.gate_up = up, .y = act, .amax = amax});
  else
    gelu_forward(ctx.stream, {.x = up, .y = act, .amax = amax});
}

void TransformerBlock::activate_backward(Context& ctx, const Saved& s, const Tensor& dact, const Tensor& dup,
                                         const Tensor& amax) const {
  if (spec_.activation == Activation::swiglu)
    swiglu_backward(ctx.stream, {.gate_up = s.up_TU, .dy = dact, .dgate_up = dup, .amax = amax});
  else
    gelu_backward(ctx.stream, {.x = s.up_TU, .dy = dact, .dx = dup, .amax = amax});
}

LinearOperand TransformerBlock::normed(Context& ctx, Weights weights, const NormLayer& norm,
                                       const LinearLayer& layer, Point point, const Tensor& x_RD,
                                       const LinearOperand& kept, const NormStats& stats) const {
  const Boundary& boundary = ctx.boundaries[point];
  const LinearOperand normed_RD = with_values(ctx, kept, x_RD.dtype(), x_RD.shape());
  // Behind a boundary there may be rows of other ranks.
  const Tensor amax = boundary.identity() ? layer.take_amax(ctx, LinearSide::input) : Tensor();
  norm.forward(ctx, weights, x_RD, normed_RD.values, stats, amax);
  return {boundary.forward(ctx.stream, normed_RD.values), normed_RD.columns, amax};
}

Tensor TransformerBlock::forward(Context& ctx, Weights weights, const Tensor& x_RD) const {
  const DType dtype = x_RD.dtype();
  const Saved s = take_saved(ctx, dtype, x_RD.dim(0));
  Scratch& scratch = ctx.stream.scratch();

  {
    const Scratch::Scope scope(scratch);
    const LinearOperand normed_TD =
        normed(ctx, weights, norm1_, qkv_, Point::attn_in, x_RD, s.normed1_RD, s.norm1);
    qkv_.forward(ctx, weights, normed_TD, {}, s.qkv, s.qkv_low);
  }
  const Tensor q_TQ = query(s), k_TK = key(s);
  if (spec_.qk_norm) {
    q_norm_.forward(ctx, weights, s.qkv.slice(1, 0, q_width_), q_TQ, s.q_norm);
    k_norm_.forward(ctx, weights, s.qkv.slice(1, q_width_, kv_width_), k_TK, s.k_norm);
  }
  turn(ctx, q_TQ, k_TK, false);
  KeyValueCache::View kv{k_TK, value(s)};
  if (ctx.cache) kv = ctx.cache->append(ctx.stream, spec_.layer, kv.k, kv.v);
  attend(ctx, {.q = q_TQ,
               .k = kv.k,
               .v = kv.v,
               .out = s.mixed_TQ.values,
               .lse = s.lse_HT,
               .heads = heads_,
               .kv_heads = kv_heads_,
               .scale = scale_,
               .causal = true});
  out_.forward_residual(ctx, weights, Point::attn_out, s.mixed_TQ, x_RD, s.x1_RD, s.out_low);

  {
    const Scratch::Scope scope(scratch);
    const LinearOperand normed_TD =
        normed(ctx, weights, norm2_, up_, Point::mlp_in, s.x1_RD, s.normed2_RD, s.norm2);
    up_.forward(ctx, weights, normed_TD, {}, s.up_TU, s.up_low);
  }
  const Tensor y_RD = ctx.output.take(dtype, x_RD.shape());
  const Scratch::Scope scope(scratch);
  LinearOperand act_TF = with_values(ctx, s.act_TF, dtype, {s.up_TU.dim(0), ffn_});
  act_TF.amax = down_.take_amax(ctx, LinearSide::input);
  activate(ctx, s.up_TU, act_TF.values, act_TF.amax);
  down_.forward_residual(ctx, weights, Point::mlp_out, act_TF, s.x1_RD, y_RD, s.down_low);
  return y_RD;
}

Tensor TransformerBlock::backward_input(Context& ctx, Weights weights, const Tensor& x_RD,
                                        const Tensor& dy_RD) const {
  const DType dtype = x_RD.dtype();
  const Saved s = take_saved(ctx, dtype, x_RD.dim(0));
  const Deferred d = take_deferred(ctx, dy_RD);
  const int64_t tokens = s.qkv.dim(0);
  Scratch& scratch = ctx.stream.scratch();

  const Boundary &attn_out = ctx.boundaries[Point::attn_out], &mlp_out = ctx.boundaries[Point::mlp_out];
  const Scratch::Scope until_end(scratch);
  Region working = ctx.temporary();
  const Tensor dx1_RD = d.dx1_RD ? d.dx1_RD : working.take(dtype, x_RD.shape());
  {
    const Scratch::Scope scope(scratch);
    LinearOperand dup_TU = with_values(ctx, d.dup_TU, dtype, {tokens, up_width_});
    dup_TU.amax = up_.take_amax(ctx, LinearSide::gradient);
    {
      const Scratch::Scope inner(scratch);
      const Tensor dact_TF = ctx.scratch(dtype, {tokens, ffn_});
      const Tensor dmlp_TD = d.dmlp_TD.values ? d.dmlp_TD.values : mlp_out.before(working, dy_RD);
      mlp_out.backward(ctx.stream, dy_RD, dmlp_TD);
      down_.backward_input(ctx, weights, {dmlp_TD, d.dmlp_TD.columns}, dact_TF, d.down_low);
      activate_backward(ctx, s, dact_TF, dup_TU.values, dup_TU.amax);
    }
    const Tensor dnormed_TD = ctx.scratch(dtype, {tokens, spec_.hidden});
    up_.backward_input(ctx, weights, dup_TU, dnormed_TD, d.up_low);
    const Tensor dnormed_RD = ctx.boundaries[Point::mlp_in].backward(ctx.stream, dnormed_TD);
    norm2_.backward(ctx, weights, s.x1_RD, s.norm2, dnormed_RD, dy_RD, dx1_RD, d.norm2);
  }
  LinearOperand dqkv = with_values(ctx, d.dqkv, dtype, {tokens, q_width_ + 2 * kv_width_});
  // Of the turned q and k, and of v, which nothing comes after; norms behind the turn would make others of
  // them.
  if (spec_.rotary && !spec_.qk_norm) dqkv.amax = qkv_.take_amax(ctx, LinearSide::gradient);
  const Tensor dq_TQ = dqkv.values.slice(1, 0, q_width_);
  const Tensor dk_TK = dqkv.values.slice(1, q_width_, kv_width_);
  const Tensor dv_TK = dqkv.values.slice(1, q_width_ + kv_width_, kv_width_);
  {
    const Scratch::Scope scope(scratch);
    const Tensor dmixed_TQ = ctx.scratch(dtype, {tokens, q_width_});
    const Tensor dattn_TD = d.dattn_TD.values ? d.dattn_TD.values : attn_out.before(working, dx1_RD);
    attn_out.backward(ctx.stream, dx1_RD, dattn_TD);
    out_.backward_input(ctx, weights, {dattn_TD, d.dattn_TD.columns}, dmixed_TQ, d.out_low);
    attend_backward(ctx, {.q = query(s),
                          .k = key(s),
                          .v = value(s),
                          .out = s.mixed_TQ.values,
                          .lse = s.lse_HT,
                          .dout = dmixed_TQ,
                          .dq = dq_TQ,
                          .dk = dk_TK,
                          .dv = dv_TK,
                          .heads = heads_,
                          .kv_heads = kv_heads_,
                          .scale = scale_,
                          .causal = true});
  }
  if (dqkv.amax) raise_amax(ctx.stream, dv_TK, dqkv.amax);
  turn(ctx, dq_TQ, dk_TK, true, dqkv.amax);
  if (spec_.qk_norm) {
    q_norm_.backward(ctx, weights, s.qkv.slice(1, 0, q_width_), s.q_norm, dq_TQ, {}, dq_TQ, d.q_norm);
    k_norm_.backward(ctx, weights, s.qkv.slice(1, q_width_, kv_width_), s.k_norm, dk_TK, {}, dk_TK, d.k_norm);
  }
  const Tensor dx_RD = ctx.output.take(dtype, x_RD.shape());
  const Tensor dnormed_TD = ctx.scratch(dtype, {tokens, spec_.hidden});
  qkv_.backward_input(ctx, weights, dqkv, dnormed_TD, d.qkv_low);
  const Tensor dnormed_RD = ctx.boundaries[Point::attn_in].backward(ctx.stream, dnormed_TD);
  norm1_.backward(ctx, weights, x_RD, s.norm1, dnormed_RD, dx1_RD, dx_RD, d.norm1);
  return dx_RD;
}

void TransformerBlock::backward_weight(Context& ctx, const Gradients& gradients, const Tensor& x_RD,
                                       const Tensor& dy_RD) const {
  // saved_input is gone by now: the region given is empty bytes, only saved_weight may be read.
  const Saved s = take_saved(ctx, x_RD.dtype(), x_RD.dim(0));
  const Deferred d = take_deferred(ctx, dy_RD);
  down_.backward_weight(ctx, gradients, d.dmlp_TD, s.act_TF, s.down_low, d.down_low);
  down_.backward_bias(ctx, gradients, dy_RD);
  up_.backward_weight(ctx, gradients, d.dup_TU, s.normed2_RD, Point::mlp_in, s.up_low, d.up_low);
  up_.backward_bias(ctx, gradients, d.dup_TU.values);
  norm2_.accumulate(ctx, gradients, d.norm2);
  out_.backward_weight(ctx, gradients, d.dattn_TD, s.mixed_TQ, s.out_low, d.out_low);
  out_.backward_bias(ctx, gradients, d.dx1_RD);
  qkv_.backward_weight(ctx, gradients, d.dqkv, s.normed1_RD, Point::attn_in, s.qkv_low, d.qkv_low);
  qkv_.backward_bias(ctx, gradients, d.dqkv.values);
  if (spec_.qk_norm) {
    q_norm_.accumulate(ctx, gradients, d.q_norm);
    k_norm_.accumulate(ctx, gradients, d.k_norm);
  }
  norm1_.accumulate(ctx, gradients, d.norm1);
}

}  // namespace

std::unique_ptr<Block> make_transformer_block(const TransformerBlockSpec& spec) {
  check(spec.heads % spec.kv_heads == 0, "[transformer] {} query heads over {} key/value heads", spec.heads,
        spec.kv_heads);
  check(!spec.rotary || spec.head_dim % 2 == 0, "[transformer] rotary embedding of an odd head_dim {}",
        spec.head_dim);
  return std::make_unique<TransformerBlock>(spec);
}

}  // namespace strata
