// SPDX-License-Identifier: Apache-2.0
#include "core/nn/embedding_block.h"

#include "core/nn/layers.h"
#include "core/ops/embedding.h"

namespace strata {
namespace {

class EmbeddingBlock final : public Block {
 public:
  explicit EmbeddingBlock(const EmbeddingBlockSpec& spec) : spec_(spec) {
    ParameterList list(parameters_, "", spec.split);
    list.vocabulary("embedding", Role::embedding, spec.vocab, spec.padded_vocab, spec.hidden, spec.init_std,
                    spec.multiplied);
    if (spec.positions) list.table("position_embedding", spec.positions, spec.hidden, spec.position_init_std);
  }

  std::string name() const override { return "embedding"; }

  Tensor forward(Context& ctx, Weights weights, const Tensor&) const override {
    const Tensor& table = weights[0].weight;
    const Tensor y_TD = ctx.output.take(table.dtype(), {ctx.batch.ids.dim(0), spec_.hidden});
    embedding_forward(ctx.stream, {.table = table, .ids = ctx.batch.ids, .out = y_TD});
    if (spec_.positions)
      embedding_forward(
          ctx.stream,
          {.table = weights[1].weight, .ids = ctx.batch.positions, .out = y_TD, .write = Write::accumulate});
    return ctx.boundaries[Point::embed_out].forward(ctx.stream, y_TD);
  }

  Tensor backward_input(Context&, Weights, const Tensor&, const Tensor&) const override {
    fail_contract("[embedding] token ids have no gradient");
  }

  void backward_weight(Context& ctx, const Gradients& gradients, const Tensor&,
                       const Tensor& dy_TD) const override {
    const Tensor dout_TD = ctx.boundaries[Point::embed_out].backward(ctx.stream, dy_TD);
    const Tensor* ids[] = {&ctx.batch.ids, &ctx.batch.positions};
    for (size_t i = 0; i < parameters_.size(); ++i)
      if (gradients.tensors[i])
        embedding_backward(
            ctx.stream,
            {.ids = *ids[i], .dout = dout_TD, .dtable = gradients.tensors[i], .write = gradients.write});
  }

 private:
  EmbeddingBlockSpec spec_;
};

}  // namespace

std::unique_ptr<Block> make_embedding_block(const EmbeddingBlockSpec& spec) {
  check(spec.vocab > 0 && spec.padded_vocab >= spec.vocab, "[embedding] {} tokens in a table of {} rows",
        spec.vocab, spec.padded_vocab);
  return std::make_unique<EmbeddingBlock>(spec);
}

int64_t padded_vocab(int64_t vocab, int parts) { return round_up(vocab, int64_t{64} * parts); }

}  // namespace strata
