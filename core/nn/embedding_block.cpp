// SPDX-License-Identifier: Apache-2.0
#include "core/nn/embedding_block.h"

#include "core/nn/layers.h"
#include "core/ops/embedding.h"

namespace strata {
namespace {

class EmbeddingBlock final : public Block {
 public:
  explicit EmbeddingBlock(const EmbeddingBlockSpec& spec)
      : spec_(spec), first_id_(spec.split.part * spec.split.share(spec.padded_vocab)) {
    ParameterList list(parameters_, "", spec.split);
    list.vocabulary("embedding", Role::embedding, spec.vocab, spec.padded_vocab, spec.hidden, spec.init_std,
                    spec.multiplied);
    if (spec.positions) list.table("position_embedding", spec.positions, spec.hidden, spec.position_init_std);
  }

  std::string name() const override { return "embedding"; }

  Tensor forward(Context& ctx, Weights weights, const Tensor&) const override {
    const Boundary& out = ctx.boundaries[Point::embed_out];
    const Tensor& table = weights[0].weight;
    const int64_t tokens = ctx.batch.ids.dim(0);
    const Tensor y_RD = ctx.output.take(table.dtype(), {out.rows(tokens), spec_.hidden});
    const Scratch::Scope scope(ctx.stream.scratch());
    Region temporary = ctx.temporary();
    const Tensor looked_up_TD = out.before(temporary, y_RD);
    embedding_forward(ctx.stream, {.table = table,
                                   .ids = ctx.batch.ids,
                                   .out = looked_up_TD,
                                   .first_id = first_id_,
                                   .num_ids = spec_.padded_vocab});
    out.forward(ctx.stream, looked_up_TD, y_RD);
    if (spec_.positions)
      embedding_forward(ctx.stream, {.table = weights[1].weight,
                                     .ids = positions_of(ctx, out, y_RD),
                                     .out = y_RD,
                                     .write = Write::accumulate});
    return y_RD;
  }

  Tensor backward_input(Context&, Weights, const Tensor&, const Tensor&) const override {
    fail_contract("[embedding] token ids have no gradient");
  }

  void backward_weight(Context& ctx, const Gradients& gradients, const Tensor&,
                       const Tensor& dy_RD) const override {
    const Boundary& out = ctx.boundaries[Point::embed_out];
    if (const Tensor& dtable = gradients.tensors[0]) {
      const Scratch::Scope scope(ctx.stream.scratch());
      const Tensor dout_TD = out.backward(ctx.stream, dy_RD);
      embedding_backward(ctx.stream, {.ids = ctx.batch.ids,
                                      .dout = dout_TD,
                                      .dtable = dtable,
                                      .write = gradients.write,
                                      .first_id = first_id_,
                                      .num_ids = spec_.padded_vocab});
    }
    if (spec_.positions && gradients.tensors[1])
      embedding_backward(ctx.stream, {.ids = positions_of(ctx, out, dy_RD),
                                      .dout = dy_RD,
                                      .dtable = gradients.tensors[1],
                                      .write = gradients.write});
  }

 private:
  // Of the rows behind the boundary, where the learned positions are added.
  static Tensor positions_of(const Context& ctx, const Boundary& out, const Tensor& y_RD) {
    return ctx.batch.positions.slice(0, out.first_row(ctx.batch.positions.dim(0)), y_RD.dim(0));
  }

  EmbeddingBlockSpec spec_;
  int64_t first_id_;  // of the rows of the table held here
};

}  // namespace

std::unique_ptr<Block> make_embedding_block(const EmbeddingBlockSpec& spec) {
  check(spec.vocab > 0 && spec.padded_vocab >= spec.vocab, "[embedding] {} tokens in a table of {} rows",
        spec.vocab, spec.padded_vocab);
  return std::make_unique<EmbeddingBlock>(spec);
}

int64_t padded_vocab(int64_t vocab, int parts) { return round_up(vocab, int64_t{64} * parts); }

}  // namespace strata
