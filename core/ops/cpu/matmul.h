// SPDX-License-Identifier: Apache-2.0
// Matrix products of the CPU: the entries of the operation table.
//
// An operand that is not packed yet is packed first, each once and by all workers, into the stream's scratch.
// The output is then cut into blocks that fit the caches, and workers take blocks one by one. A block is
// finished by one thread, so the bits depend on the instruction set only.
#pragma once

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/kernels/matmul_kernels.h"
#include "core/ops/matmul.h"

namespace strata::cpu {

// Of the instruction set of a CPU stream; of the active one when `stream` is a plan's meta stream.
int64_t packed_bytes(const Stream& stream, DType dtype, int64_t k, int64_t n);
void pack(Stream& stream, const Tensor& b, const PackedMatrix& packed);
void pack_both(Stream& stream, const Tensor& weight, const PackedMatrix& transposed,
               const PackedMatrix& plain);
void matmul(Stream& stream, const Matmul& args);

// Bytes of scratch that matmul() takes, exactly.
int64_t matmul_scratch_bytes(const Matmul& args);  // with the active instruction set
int64_t matmul_scratch_bytes(Isa isa, const Matmul& args);

// The kernels of an instruction set. The machine must have it before they are run.
const MatmulTypes& matmul_types(Isa isa);

}  // namespace strata::cpu
