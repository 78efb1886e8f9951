// SPDX-License-Identifier: Apache-2.0
#include "core/ops/embedding.h"

#include "core/base/error.h"
#include "core/ops/op_table.h"
#include "core/ops/operands.h"

namespace strata {
namespace {

template <typename Args>
void check_ids_of(std::string_view op, const Args& args, const Tensor& table) {
  check(args.first_id >= 0 &&
            (args.num_ids == 0 ? args.first_id == 0 : args.first_id + table.dim(0) <= args.num_ids),
        "[{}] a table of ids [{}, {}) of {}", op, args.first_id, args.first_id + table.dim(0), args.num_ids);
}

}  // namespace

void check_token_ids(std::span<const int32_t> ids, int64_t num_ids) {
  for (size_t t = 0; t < ids.size(); ++t)
    if (ids[t] < 0 || ids[t] >= num_ids)
      throw Error(Fault::data, {.what = "a token id is outside the vocabulary",
                                .found = fmt::format("id {} at token {} of the micro-batch", ids[t], t),
                                .expected = fmt::format("0 to {}", num_ids - 1),
                                .fix = "tokenize the data with the tokenizer of this model"});
}

void embedding_forward(Stream& stream, const EmbeddingForward& args) {
  const Operands operands("embedding_forward", stream);
  operands.present("table", args.table, 2);
  operands.present("ids", args.ids, 1);
  operands.rows("table", args.table, args.table.shape(), kFloats);
  operands.dense("ids", args.ids, args.ids.shape(), {DType::i32});
  check_ids_of("embedding_forward", args, args.table);
  operands.rows("out", args.out, {args.ids.dim(0), args.table.dim(1)}, {args.table.dtype()});
  op_table(stream.device().kind).embedding_forward(stream, args);
}

void embedding_backward(Stream& stream, const EmbeddingBackward& args) {
  const Operands operands("embedding_backward", stream);
  operands.present("ids", args.ids, 1);
  operands.present("dtable", args.dtable, 2);
  operands.dense("ids", args.ids, args.ids.shape(), {DType::i32});
  operands.dense("dtable", args.dtable, args.dtable.shape(), {DType::f32});
  check_ids_of("embedding_backward", args, args.dtable);
  operands.rows("dout", args.dout, {args.ids.dim(0), args.dtable.dim(1)}, kFloats);
  op_table(stream.device().kind).embedding_backward(stream, args);
}

}  // namespace strata
