// SPDX-License-Identifier: Apache-2.0
// One row per device.
#include "core/ops/op_table.h"

#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/matmul.h"
#include "core/ops/meta/meta_ops.h"

namespace strata {
namespace {

const OpTable kCpuOps{.packed_bytes = cpu::packed_bytes, STRATA_OPS(cpu)};

// The meta device has no layout of its own: packed_bytes() asks the row of the stream's target.
const OpTable kMetaOps{.packed_bytes = nullptr, STRATA_OPS(meta)};

const ScratchTable kCpuScratch{.matmul = cpu::matmul_scratch_bytes,
                               .rms_norm_backward = cpu::rms_norm_backward_scratch,
                               .layer_norm_backward = cpu::layer_norm_backward_scratch,
                               .attention_forward = [](const AttentionForward&) { return int64_t{0}; },
                               .attention_backward = cpu::attention_backward_scratch,
                               .embedding_backward = cpu::embedding_backward_scratch,
                               .column_sum = cpu::column_sum_scratch,
                               .sum_of_squares = [](const Tensor&) { return int64_t{0}; },
                               .quantize = cpu::quantize_scratch,
                               .pack_codes = cpu::pack_codes_scratch,
                               .quantized_matmul = cpu::quantized_matmul_scratch,
                               .part_magnitudes = cpu::part_magnitudes_scratch};

}  // namespace

const OpTable& op_table(DeviceKind kind) {
  const OpTable* const table = kind == DeviceKind::cuda  ? cuda_op_table()
                               : kind == DeviceKind::cpu ? &kCpuOps
                                                         : &kMetaOps;
  check(table != nullptr, "[op_table] this build has no operations for {}", to_string(Device{kind, 0}));
  return *table;
}

const ScratchTable& scratch_table(DeviceKind kind) {
  const ScratchTable* const table = kind == DeviceKind::cuda  ? cuda_scratch_table()
                                    : kind == DeviceKind::cpu ? &kCpuScratch
                                                              : nullptr;
  check(table != nullptr, "[scratch_table] this build has no operations for {}", to_string(Device{kind, 0}));
  return *table;
}

}  // namespace strata
