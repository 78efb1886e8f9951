// SPDX-License-Identifier: Apache-2.0
// The operations of the CPU device, as op_table.cpp lists them (matrix products: cpu/matmul.h). Operands are
// checked by the front ends. Each enqueues on a CpuStream and uses the kernels of that stream's instruction
// set.
#pragma once

#include "core/ops/activation.h"
#include "core/ops/attention.h"
#include "core/ops/decode_blocks.h"
#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/loss.h"
#include "core/ops/loss_sum.h"
#include "core/ops/norm.h"
#include "core/ops/preference.h"
#include "core/ops/quantize.h"
#include "core/ops/quantize_part.h"
#include "core/ops/reduce.h"
#include "core/ops/rope.h"

namespace strata::cpu {

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

// Bytes of scratch, exactly.
int64_t rms_norm_backward_scratch(const RmsNormBackward&);
int64_t layer_norm_backward_scratch(const LayerNormBackward&);
int64_t attention_backward_scratch(const AttentionBackward&);
int64_t embedding_backward_scratch(const EmbeddingBackward&);
int64_t column_sum_scratch(const ColumnSum&);
int64_t quantize_scratch(const Quantize&);
int64_t pack_codes_scratch(const Quantized&);
int64_t quantized_matmul_scratch(const QuantizedMatmul&);
int64_t part_magnitudes_scratch(const MatrixPart&);

}  // namespace strata::cpu
