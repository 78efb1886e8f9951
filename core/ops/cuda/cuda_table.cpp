// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/op_table.h"

namespace strata {

const OpTable* cuda_op_table() {
  static constexpr OpTable kTable{.packed_bytes = cuda::packed_bytes, STRATA_OPS(cuda)};
  return &kTable;
}

const ScratchTable* cuda_scratch_table() {
  static constexpr ScratchTable kTable{.matmul = cuda::matmul_scratch,
                                       .rms_norm_backward = cuda::rms_norm_backward_scratch,
                                       .layer_norm_backward = cuda::layer_norm_backward_scratch,
                                       .attention_forward = cuda::attention_forward_scratch,
                                       .attention_backward = cuda::attention_backward_scratch,
                                       .embedding_backward = cuda::embedding_backward_scratch,
                                       .column_sum = cuda::column_sum_scratch,
                                       .sum_of_squares = cuda::sum_of_squares_scratch,
                                       .quantize = cuda::quantize_scratch,
                                       .pack_codes = cuda::pack_codes_scratch,
                                       .quantized_matmul = cuda::quantized_matmul_scratch,
                                       .part_magnitudes = [](const MatrixPart&) { return int64_t{0}; }};
  return &kTable;
}

}  // namespace strata
