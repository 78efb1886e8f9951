// SPDX-License-Identifier: Apache-2.0
#include "core/ops/meta/meta_ops.h"

#include <algorithm>
#include <initializer_list>

#include "core/device/meta_stream.h"

namespace strata::meta {
namespace {

// Every tensor is read or written once; one that is updated in place, or accumulated into, is named twice.
void count_bytes(Stream& stream, std::initializer_list<Tensor> tensors) {
  for (const Tensor& x : tensors)
    if (x) meta_stream(stream).count.bytes += x.bytes();
}

// What an output written with `write` moves besides being written: what it held is read.
Tensor old_value(const Tensor& out, Write write) { return write == Write::accumulate ? out : Tensor(); }

// Takes and gives back the scratch of the target device's operation.
template <typename Args>
void use_scratch(Stream& stream, int64_t (*ScratchTable::*bytes)(const Args&), const Args& args) {
  Scratch::Scope scope(stream.scratch());
  stream.scratch().take((scratch_table(meta_stream(stream).target().kind).*bytes)(args));
}

}  // namespace

void pack(Stream& stream, const Tensor& b, const PackedMatrix& packed) {
  count_bytes(stream, {b, packed.bytes});
}

void pack_both(Stream& stream, const Tensor& weight, const PackedMatrix& transposed,
               const PackedMatrix& plain) {
  count_bytes(stream, {weight, transposed.bytes, plain.bytes});
}

void matmul(Stream& stream, const Matmul& args) {
  meta_stream(stream).count.matmul_flops += 2 * args.out.numel() * args.a.dim(1);
  use_scratch(stream, &ScratchTable::matmul, args);
}

void rms_norm_forward(Stream& stream, const RmsNormForward& args) {
  count_bytes(stream, {args.x, args.weight, args.y, args.rstd});
}

void rms_norm_backward(Stream& stream, const RmsNormBackward& args) {
  count_bytes(stream, {args.x, args.weight, args.rstd, args.dy, args.add, args.dx, args.dweight,
                       old_value(args.dweight, args.write)});
  use_scratch(stream, &ScratchTable::rms_norm_backward, args);
}

void layer_norm_forward(Stream& stream, const LayerNormForward& args) {
  count_bytes(stream, {args.x, args.weight, args.bias, args.y, args.mean, args.rstd});
}

void layer_norm_backward(Stream& stream, const LayerNormBackward& args) {
  count_bytes(stream, {args.x, args.weight, args.mean, args.rstd, args.dy, args.add, args.dx, args.dweight,
                       args.dbias, old_value(args.dweight, args.write), old_value(args.dbias, args.write)});
  use_scratch(stream, &ScratchTable::layer_norm_backward, args);
}

void rope(Stream& stream, const Rope& args) { count_bytes(stream, {args.x, args.x, args.positions}); }

void swiglu_forward(Stream& stream, const SwigluForward& args) {
  count_bytes(stream, {args.gate_up, args.y});
}
void swiglu_backward(Stream& stream, const SwigluBackward& args) {
  count_bytes(stream, {args.gate_up, args.dy, args.dgate_up});
}
void gelu_forward(Stream& stream, const GeluForward& args) { count_bytes(stream, {args.x, args.y}); }
void gelu_backward(Stream& stream, const GeluBackward& args) {
  count_bytes(stream, {args.x, args.dy, args.dx});
}

int64_t visible_pairs(std::span<const AttentionSegment> segments, bool causal) {
  int64_t pairs = 0;
  for (const AttentionSegment& s : segments) {
    for (int64_t i = 0; i < s.q_count; ++i)
      pairs += causal ? std::clamp<int64_t>(i + s.diagonal + 1, 0, s.k_count) : s.k_count;
  }
  return pairs;
}

// Two products forward (scores, output); backward five: scores again, dP, dQ, dK, dV.
void attention_forward(Stream& stream, const AttentionForward& args) {
  meta_stream(stream).count.attention_flops +=
      2 * 2 * args.q.dim(1) * visible_pairs(args.segments, args.causal);
  use_scratch(stream, &ScratchTable::attention_forward, args);
}
void attention_backward(Stream& stream, const AttentionBackward& args) {
  meta_stream(stream).count.attention_flops +=
      5 * 2 * args.q.dim(1) * visible_pairs(args.segments, args.causal);
  use_scratch(stream, &ScratchTable::attention_backward, args);
}

void attention_merge(Stream& stream, const AttentionMerge& args) {
  count_bytes(stream, {args.out, args.out, args.lse, args.lse, args.part, args.part_lse});
}

void softmax_stats(Stream& stream, const SoftmaxStats& args) {
  count_bytes(stream, {args.logits, args.targets, args.max, args.sum, args.target_logit});
}
void rescale_sums(Stream& stream, const Tensor& from, const Tensor& to, const Tensor& sum) {
  count_bytes(stream, {from, to, sum, sum});
}
void cross_entropy(Stream& stream, const CrossEntropy& args) {
  count_bytes(stream, {args.targets, args.max, args.sum, args.target_logit, args.nll});
  if (args.gradient) count_bytes(stream, {args.logits, args.logits});
}

void embedding_forward(Stream& stream, const EmbeddingForward& args) {
  count_bytes(stream,
              {args.ids, args.out, args.out, old_value(args.out, args.write)});  // as many bytes of the table
}
void embedding_backward(Stream& stream, const EmbeddingBackward& args) {
  count_bytes(stream, {args.ids, args.dout});
  // Touched rows are read and written; overwriting clears the whole table first.
  meta_stream(stream).count.bytes += 2 * args.dout.numel() * size_of(DType::f32);
  if (args.write == Write::overwrite) count_bytes(stream, {args.dtable});
  use_scratch(stream, &ScratchTable::embedding_backward, args);
}

void column_sum(Stream& stream, const ColumnSum& args) {
  count_bytes(stream, {args.x, args.out, old_value(args.out, args.write)});
  use_scratch(stream, &ScratchTable::column_sum, args);
}
void sum_of_squares(Stream& stream, const Tensor& x, BinnedSum*) {
  count_bytes(stream, {x});
  use_scratch(stream, &ScratchTable::sum_of_squares, x);
}
void sum_losses(Stream& stream, const Tensor& nll, const Tensor& targets, LossSum*) {
  count_bytes(stream, {nll, targets});
}

void preference_loss(Stream& stream, const PreferenceLoss& args) {
  count_bytes(stream, {args.nll, args.weight});
}
void copy(Stream& stream, const Tensor& from, const Tensor& to) { count_bytes(stream, {from, to}); }
void stochastic_round(Stream& stream, const Tensor& from, const Tensor& to, const RandomKey&, uint64_t) {
  count_bytes(stream, {from, to});
}
void fill(Stream& stream, const Tensor& x, float) { count_bytes(stream, {x}); }
void add(Stream& stream, const Tensor& a, const Tensor& b, const Tensor& out) {
  count_bytes(stream, {a, b, out});
}
void decode_blocks(Stream& stream, const DecodeBlocks& args) { count_bytes(stream, {args.blocks, args.out}); }
void scale(Stream& stream, const Tensor& x, float) { count_bytes(stream, {x, x}); }
void quantize(Stream& stream, const Quantize& args) {
  const bool twice = !args.given && ((args.rows && args.rows.shape == ScaleShape::tensor) ||
                                     (args.columns && args.columns.shape == ScaleShape::tensor));
  count_bytes(stream, {args.x, twice ? args.x : Tensor(), args.rows.codes, args.rows.scales,
                       args.columns.codes, args.columns.scales});
  use_scratch(stream, &ScratchTable::quantize, args);
}
void raise_amax(Stream& stream, const Tensor& x, const Tensor& /*amax*/) { count_bytes(stream, {x}); }
void dequantize(Stream& stream, const Quantized& x, const Tensor& out) {
  count_bytes(stream, {x.codes, x.scales, out});
}
void pack_codes(Stream& stream, const Quantized& b, const PackedMatrix& packed) {
  count_bytes(stream, {b.codes, packed.bytes});
  use_scratch(stream, &ScratchTable::pack_codes, b);
}
void quantized_matmul(Stream& stream, const QuantizedMatmul& args) {
  meta_stream(stream).count.matmul_flops += 2 * args.out.numel() * args.a.codes.dim(1);
  use_scratch(stream, &ScratchTable::quantized_matmul, args);
}
void part_magnitudes(Stream& stream, const MatrixPart& part, const Tensor& amax) {
  count_bytes(stream, {part.x, amax});
  use_scratch(stream, &ScratchTable::part_magnitudes, part);
}
void quantize_part(Stream& stream, const QuantizePart& args) {
  count_bytes(stream, {args.part.x, args.amax, args.codes, args.scales});
}
void fill_normal(Stream& stream, const Tensor& x, const RandomKey&, uint64_t, float) {
  count_bytes(stream, {x});
}
void dropout(Stream& stream, const Dropout& args) { count_bytes(stream, {args.x, args.add, args.out}); }

}  // namespace strata::meta
