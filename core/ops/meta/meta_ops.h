// SPDX-License-Identifier: Apache-2.0
// The operations of the meta device: nothing is computed. FLOPs and bytes are added to MetaStream::count, and
// the scratch that the target device would take is taken and given back, so that its high water is right.
#pragma once

#include "core/ops/op_table.h"

namespace strata::meta {

void pack(Stream&, const Tensor&, const PackedMatrix&);
void pack_both(Stream&, const Tensor&, const PackedMatrix&, const PackedMatrix&);
void matmul(Stream&, const Matmul&);
void rms_norm_forward(Stream&, const RmsNormForward&);
void rms_norm_backward(Stream&, const RmsNormBackward&);
void layer_norm_forward(Stream&, const LayerNormForward&);
void layer_norm_backward(Stream&, const LayerNormBackward&);
void rope(Stream&, const Rope&);
void swiglu_forward(Stream&, const SwigluForward&);
void swiglu_backward(Stream&, const SwigluBackward&);
void gelu_forward(Stream&, const GeluForward&);
void gelu_backward(Stream&, const GeluBackward&);
void attention_forward(Stream&, const AttentionForward&);
void attention_backward(Stream&, const AttentionBackward&);
void attention_merge(Stream&, const AttentionMerge&);
void softmax_stats(Stream&, const SoftmaxStats&);
void rescale_sums(Stream&, const Tensor& from, const Tensor& to, const Tensor& sum);
void cross_entropy(Stream&, const CrossEntropy&);
void embedding_forward(Stream&, const EmbeddingForward&);
void embedding_backward(Stream&, const EmbeddingBackward&);
void column_sum(Stream&, const ColumnSum&);
void sum_of_squares(Stream&, const Tensor&, BinnedSum*);
void sum_losses(Stream&, const Tensor& nll, const Tensor& targets, LossSum*);
void preference_loss(Stream&, const PreferenceLoss&);
void copy(Stream&, const Tensor&, const Tensor&);
void stochastic_round(Stream&, const Tensor& from, const Tensor& to, const RandomKey&, uint64_t first_index);
void fill(Stream&, const Tensor&, float);
void add(Stream&, const Tensor&, const Tensor&, const Tensor&);
void scale(Stream&, const Tensor&, float);
void decode_blocks(Stream&, const DecodeBlocks&);
void quantize(Stream&, const Quantize&);
void raise_amax(Stream&, const Tensor& x, const Tensor& amax);
void dequantize(Stream&, const Quantized&, const Tensor& out);
void pack_codes(Stream&, const Quantized&, const PackedMatrix&);
void quantized_matmul(Stream&, const QuantizedMatmul&);
void part_magnitudes(Stream&, const MatrixPart&, const Tensor& amax);
void quantize_part(Stream&, const QuantizePart&);
void fill_normal(Stream&, const Tensor&, const RandomKey&, uint64_t first_index, float std);
void dropout(Stream&, const Dropout&);

// (query, key) pairs that see each other, one head, over all segments.
int64_t visible_pairs(std::span<const AttentionSegment> segments, bool causal);

}  // namespace strata::meta
