// SPDX-License-Identifier: Apache-2.0
// What a device provides: one function per operation. The front ends (norm.cpp, matmul.cpp, ...) check the
// operands once for all devices and then call through this table. Adding a device: a folder like cpu/ and a
// row in op_table.cpp.
#pragma once

#include "core/ops/activation.h"
#include "core/ops/attention.h"
#include "core/ops/decode_blocks.h"
#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/loss.h"
#include "core/ops/loss_sum.h"
#include "core/ops/matmul.h"
#include "core/ops/norm.h"
#include "core/ops/preference.h"
#include "core/ops/quantize.h"
#include "core/ops/quantize_part.h"
#include "core/ops/reduce.h"
#include "core/ops/rope.h"

namespace strata {

struct OpTable {
  int64_t (*packed_bytes)(const Stream&, DType dtype, int64_t k,
                          int64_t n);  // of the device's stream, or meta
  void (*pack)(Stream&, const Tensor&, const PackedMatrix&);
  void (*pack_both)(Stream&, const Tensor&, const PackedMatrix&, const PackedMatrix&);
  void (*matmul)(Stream&, const Matmul&);
  void (*rms_norm_forward)(Stream&, const RmsNormForward&);
  void (*rms_norm_backward)(Stream&, const RmsNormBackward&);
  void (*layer_norm_forward)(Stream&, const LayerNormForward&);
  void (*layer_norm_backward)(Stream&, const LayerNormBackward&);
  void (*rope)(Stream&, const Rope&);
  void (*swiglu_forward)(Stream&, const SwigluForward&);
  void (*swiglu_backward)(Stream&, const SwigluBackward&);
  void (*gelu_forward)(Stream&, const GeluForward&);
  void (*gelu_backward)(Stream&, const GeluBackward&);
  void (*attention_forward)(Stream&, const AttentionForward&);
  void (*attention_backward)(Stream&, const AttentionBackward&);
  void (*attention_merge)(Stream&, const AttentionMerge&);
  void (*softmax_stats)(Stream&, const SoftmaxStats&);
  void (*rescale_sums)(Stream&, const Tensor&, const Tensor&, const Tensor&);
  void (*cross_entropy)(Stream&, const CrossEntropy&);
  void (*embedding_forward)(Stream&, const EmbeddingForward&);
  void (*embedding_backward)(Stream&, const EmbeddingBackward&);
  void (*column_sum)(Stream&, const ColumnSum&);
  void (*sum_of_squares)(Stream&, const Tensor&, BinnedSum*);
  void (*sum_losses)(Stream&, const Tensor&, const Tensor&, LossSum*);
  void (*preference_loss)(Stream&, const PreferenceLoss&);
  void (*copy)(Stream&, const Tensor&, const Tensor&);
  void (*stochastic_round)(Stream&, const Tensor&, const Tensor&, const RandomKey&, uint64_t);
  void (*fill)(Stream&, const Tensor&, float);
  void (*add)(Stream&, const Tensor&, const Tensor&, const Tensor&);
  void (*scale)(Stream&, const Tensor&, float);
  void (*decode_blocks)(Stream&, const DecodeBlocks&);
  void (*quantize)(Stream&, const Quantize&);
  void (*raise_amax)(Stream&, const Tensor&, const Tensor&);
  void (*dequantize)(Stream&, const Quantized&, const Tensor&);
  void (*pack_codes)(Stream&, const Quantized&, const PackedMatrix&);
  void (*quantized_matmul)(Stream&, const QuantizedMatmul&);
  void (*part_magnitudes)(Stream&, const MatrixPart&, const Tensor&);
  void (*quantize_part)(Stream&, const QuantizePart&);
  void (*fill_normal)(Stream&, const Tensor&, const RandomKey&, uint64_t, float);
  void (*dropout)(Stream&, const Dropout&);
};

// Bytes of working memory (Stream::scratch) an operation takes at most, so that a plan can count them without
// running. Only operations that take any are listed.
struct ScratchTable {
  int64_t (*matmul)(const Matmul&);
  int64_t (*rms_norm_backward)(const RmsNormBackward&);
  int64_t (*layer_norm_backward)(const LayerNormBackward&);
  int64_t (*attention_forward)(const AttentionForward&);
  int64_t (*attention_backward)(const AttentionBackward&);
  int64_t (*embedding_backward)(const EmbeddingBackward&);
  int64_t (*column_sum)(const ColumnSum&);
  int64_t (*sum_of_squares)(const Tensor&);
  int64_t (*quantize)(const Quantize&);
  int64_t (*pack_codes)(const Quantized&);
  int64_t (*quantized_matmul)(const QuantizedMatmul&);
  int64_t (*part_magnitudes)(const MatrixPart&);
};

// Throws ContractError for a device this build does not have.
const OpTable& op_table(DeviceKind kind);
const ScratchTable& scratch_table(DeviceKind kind);  // of a real device, not of meta

// The rows of the CUDA device (cuda/cuda_table.cpp); null in a build without it (no_cuda.cpp).
const OpTable* cuda_op_table();
const ScratchTable* cuda_scratch_table();

// The entries that have the same name in every device's namespace.
#define STRATA_OPS(device)                                                                              \
  .pack = device::pack, .pack_both = device::pack_both, .matmul = device::matmul,                       \
  .rms_norm_forward = device::rms_norm_forward, .rms_norm_backward = device::rms_norm_backward,         \
  .layer_norm_forward = device::layer_norm_forward, .layer_norm_backward = device::layer_norm_backward, \
  .rope = device::rope, .swiglu_forward = device::swiglu_forward,                                       \
  .swiglu_backward = device::swiglu_backward, .gelu_forward = device::gelu_forward,                     \
  .gelu_backward = device::gelu_backward, .attention_forward = device::attention_forward,               \
  .attention_backward = device::attention_backward, .attention_merge = device::attention_merge,         \
  .softmax_stats = device::softmax_stats, .rescale_sums = device::rescale_sums,                         \
  .cross_entropy = device::cross_entropy, .embedding_forward = device::embedding_forward,               \
  .embedding_backward = device::embedding_backward, .column_sum = device::column_sum,                   \
  .sum_of_squares = device::sum_of_squares, .sum_losses = device::sum_losses,                           \
  .preference_loss = device::preference_loss, .copy = device::copy,                                     \
  .stochastic_round = device::stochastic_round, .fill = device::fill, .add = device::add,               \
  .scale = device::scale, .decode_blocks = device::decode_blocks, .quantize = device::quantize,         \
  .raise_amax = device::raise_amax, .dequantize = device::dequantize, .pack_codes = device::pack_codes, \
  .quantized_matmul = device::quantized_matmul, .part_magnitudes = device::part_magnitudes,             \
  .quantize_part = device::quantize_part, .fill_normal = device::fill_normal, .dropout = device::dropout

}  // namespace strata
