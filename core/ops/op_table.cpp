// SPDX-License-Identifier: Apache-2.0
// One row per device.
#include "core/ops/op_table.h"

#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/matmul.h"
#include "core/ops/meta/meta_ops.h"

namespace strata {
namespace {

// The entries that have the same name in every device's namespace.
#define STRATA_OPS(device)                                                                                  \
  .pack = device::pack, .pack_both = device::pack_both, .matmul = device::matmul,                           \
  .rms_norm_forward = device::rms_norm_forward, .rms_norm_backward = device::rms_norm_backward,             \
  .layer_norm_forward = device::layer_norm_forward, .layer_norm_backward = device::layer_norm_backward,     \
  .rope = device::rope, .swiglu_forward = device::swiglu_forward,                                           \
  .swiglu_backward = device::swiglu_backward, .gelu_forward = device::gelu_forward,                         \
  .gelu_backward = device::gelu_backward, .attention_forward = device::attention_forward,                   \
  .attention_backward = device::attention_backward, .attention_merge = device::attention_merge,             \
  .softmax_stats = device::softmax_stats, .rescale_sums = device::rescale_sums,                             \
  .cross_entropy = device::cross_entropy, .embedding_forward = device::embedding_forward,                   \
  .embedding_backward = device::embedding_backward, .column_sum = device::column_sum,                       \
  .sum_of_squares = device::sum_of_squares, .copy = device::copy, .fill = device::fill, .add = device::add, \
  .scale = device::scale, .fill_normal = device::fill_normal

const OpTable kCpuOps{.packed_bytes = cpu::packed_bytes, STRATA_OPS(cpu)};

// The meta device has no layout of its own: packed_bytes() asks the row of the stream's target.
const OpTable kMetaOps{.packed_bytes = nullptr, STRATA_OPS(meta)};

#undef STRATA_OPS

const ScratchTable kCpuScratch{.matmul = cpu::matmul_scratch_bytes,
                               .rms_norm_backward = cpu::rms_norm_backward_scratch,
                               .layer_norm_backward = cpu::layer_norm_backward_scratch,
                               .attention_backward = cpu::attention_backward_scratch,
                               .embedding_backward = cpu::embedding_backward_scratch,
                               .column_sum = cpu::column_sum_scratch};

}  // namespace

const OpTable& op_table(DeviceKind kind) {
  check(kind == DeviceKind::cpu || kind == DeviceKind::meta, "[op_table] this build has no operations for {}",
        to_string(Device{kind, 0}));
  return kind == DeviceKind::cpu ? kCpuOps : kMetaOps;
}

const ScratchTable& scratch_table(DeviceKind kind) {
  check(kind == DeviceKind::cpu, "[scratch_table] this build has no operations for {}",
        to_string(Device{kind, 0}));
  return kCpuScratch;
}

}  // namespace strata
