// SPDX-License-Identifier: Apache-2.0
// From an operation to a product the library can do in one call, with what it cannot fuse done beside it: a
// bias of another type than the output's, accumulation onto a sum that is given apart.
#include "core/ops/matmul.h"

#include <algorithm>

#include "core/ops/cuda/blas.h"
#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/cuda/matmul_edges.h"

namespace strata::cuda {
namespace {

// The matrix as rows of unit stride, or as the transpose of such.
BlasMatrix matrix_of(const Tensor& x) {
  // Of a single row or column the other stride may be anything: say what lies next to each other.
  const bool rows = x.stride(1) == 1 || x.dim(1) <= 1;
  const int64_t inner = rows ? x.dim(1) : x.dim(0), outer = rows ? x.dim(0) : x.dim(1);
  const int64_t stride = outer <= 1 ? inner : x.stride(rows ? 0 : 1);
  return {.data = x.raw(),
          .dtype = x.dtype(),
          .rows = x.dim(0),
          .columns = x.dim(1),
          .stride = std::max<int64_t>(stride, std::max<int64_t>(inner, 1)),
          .transposed = !rows};
}

}  // namespace

int64_t packed_bytes(const Stream&, DType, int64_t, int64_t) { return 0; }
void pack(Stream&, const Tensor&, const PackedMatrix&) {}
void pack_both(Stream&, const Tensor&, const PackedMatrix&, const PackedMatrix&) {}

int64_t matmul_scratch(const Matmul& args) {
  return args.out.numel() > 0 && args.a.dim(1) > 0 ? kBlasScratch : 0;
}

void matmul(Stream& stream, const Matmul& args) {
  check(static_cast<bool>(args.b), "[matmul] a GPU takes weights as they are: b is absent");
  if (args.out.numel() == 0) return;
  CudaStream& cuda = cuda_stream(stream);
  const bool accumulates = args.write == Write::accumulate;
  // out is its own addend, or `add` is; where both are, `add` goes onto the finished sum.
  const Tensor addend = accumulates ? args.out : args.add;
  const bool fused_bias = args.bias && args.bias.dtype() == args.out.dtype();
  if (args.a.dim(1) > 0) {
    BlasProduct product{.a = matrix_of(args.a), .b = matrix_of(args.b), .out = matrix_of(args.out)};
    product.out.transposed = false;
    if (addend) product.add = matrix_of(addend);
    product.add.transposed = false;
    if (fused_bias) product.bias = args.bias.raw();
    Scratch::Scope scope(stream.scratch());
    run_product(cuda, product, aligned_workspace(stream.scratch()));
  } else {  // a sum of no products
    if (!accumulates) set_rows(cuda, args.out, addend);
    if (fused_bias) add_to_rows(cuda, args.bias, args.out);
  }
  if (accumulates && args.add) add_matrix(cuda, args.add, args.out);
  if (args.bias && !fused_bias) add_to_rows(cuda, args.bias, args.out);
}

}  // namespace strata::cuda
