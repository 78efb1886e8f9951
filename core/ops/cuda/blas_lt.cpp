// SPDX-License-Identifier: Apache-2.0
// Products by cuBLASLt. The library's matrices are column-major, so a row-major product is asked for as its
// transpose: out^T = b^T . a^T. Which algorithm does a product is decided once, by the library's own ranking,
// and kept: the same shapes run the same way every time, without sums whose order depends on timing.
#include "core/ops/cuda/blas.h"

#include <cublasLt.h>

#include <array>
#include <bit>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata::cuda {
namespace {

void blas_check(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(Fault::environment, {.what = "a matrix product on the GPU failed",
                                   .where = call,
                                   .found = fmt::format("{} ({})", cublasLtGetStatusString(status),
                                                        cublasLtGetStatusName(status)),
                                   .fix = "check that the cuBLASLt library belongs to the CUDA toolkit "
                                          "Strata was built with (strata doctor)"});
}

template <auto kDestroy>
struct Destroy {
  template <typename Handle>
  void operator()(Handle* handle) const {
    kDestroy(handle);
  }
};
template <typename Handle, auto kDestroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<kDestroy>>;
using Operation = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;
using Library = Owned<cublasLtHandle_t, cublasLtDestroy>;

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f8e4m3:
      return CUDA_R_8F_E4M3;
    case DType::f8e5m2:
      return CUDA_R_8F_E5M2;
    default:
      return CUDA_R_32F;
  }
}
int32_t mode_of(BlasScaleMode mode) {
  switch (mode) {
    case BlasScaleMode::none:
    case BlasScaleMode::tensor:
      return CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
    case BlasScaleMode::row:
      return CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    case BlasScaleMode::tile:
      return CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F;
    case BlasScaleMode::block:
      return CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
  }
  return 0;
}

template <typename Value>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const Value& value) {
  blas_check(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value),
             "cublasLtMatmulDescSetAttribute");
}
template <typename Value>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
         const Value& value) {
  blas_check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
             "cublasLtMatmulPreferenceSetAttribute");
}

// The column-major matrix with the same bytes: a row-major [rows, columns] is a column-major [columns, rows].
Layout layout_of(const BlasMatrix& matrix) {
  const int64_t inner = matrix.transposed ? matrix.rows : matrix.columns;
  const int64_t outer = matrix.transposed ? matrix.columns : matrix.rows;
  cublasLtMatrixLayout_t layout = nullptr;
  blas_check(cublasLtMatrixLayoutCreate(&layout, type_of(matrix.dtype), static_cast<uint64_t>(inner),
                                        static_cast<uint64_t>(outer), matrix.stride),
             "cublasLtMatrixLayoutCreate");
  return Layout(layout);
}

// What the address is a multiple of, up to 256: algorithms with wide accesses need 16.
uint32_t alignment_of(const void* address) {
  const auto bits = std::bit_cast<uintptr_t>(address) | 256u;
  return static_cast<uint32_t>(bits & -bits);
}

// A product made ready: descriptors and the chosen algorithm. `bias` and factors are set before each run.
struct Plan {
  Operation operation;
  Layout first, second, out;
  cublasLtMatmulAlgo_t algorithm{};

  Plan(cublasLtHandle_t library, const BlasProduct& p)
      : first(layout_of(p.b)), second(layout_of(p.a)), out(layout_of(p.out)) {
    cublasLtMatmulDesc_t made = nullptr;
    blas_check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
    operation.reset(made);
    // The library's first operand is b^T as column-major: the bytes of a row-major b as they are.
    const auto direction = [](const BlasMatrix& m) { return m.transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
    set(made, CUBLASLT_MATMUL_DESC_TRANSA, direction(p.b));
    set(made, CUBLASLT_MATMUL_DESC_TRANSB, direction(p.a));
    if (p.bias) {
      set(made, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);  // one value a row of out^T
      set(made, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(p.out.dtype));
      set(made, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    }
    if (p.a_scales.data) {  // sums of full precision: the library's fast accumulation stays off
      set(made, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, mode_of(p.b_scales.mode));
      set(made, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, mode_of(p.a_scales.mode));
      set_scales(p);
    }
    cublasLtMatmulPreference_t wishes = nullptr;
    blas_check(cublasLtMatmulPreferenceCreate(&wishes), "cublasLtMatmulPreferenceCreate");
    const Preference preference(wishes);
    set(wishes, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(kBlasWorkspace));
    // Split sums are added in a fixed order, or not split: never in place, whose order depends on timing.
    set(wishes, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    set(wishes, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(p.b.data));
    set(wishes, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(p.a.data));
    set(wishes, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        alignment_of(p.add.data ? p.add.data : p.out.data));
    set(wishes, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(p.out.data));
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    const Layout addend = layout_of(p.add.data ? p.add : p.out);
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        library, made, first.get(), second.get(), addend.get(), out.get(), wishes, 1, &best, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && found == 0))
      throw Error(Fault::environment,
                  {.what = "cuBLASLt has no algorithm for a matrix product",
                   .found = fmt::format("[{}, {}] . [{}, {}], {} to {}", p.a.rows, p.a.columns, p.b.rows,
                                        p.b.columns, name(p.a.dtype), name(p.out.dtype)),
                   .fix = "report it with this line and the GPU's name"});
    blas_check(status, "cublasLtMatmulAlgoGetHeuristic");
    algorithm = best.algo;
  }

  void set_scales(const BlasProduct& p) const {
    set(operation.get(), CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, p.b_scales.data);
    set(operation.get(), CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, p.a_scales.data);
  }
};

// Everything the choice depends on.
using Key = std::array<int64_t, 20>;
Key key_of(const BlasProduct& p) {
  return {p.a.rows,
          p.b.columns,
          p.a.columns,
          static_cast<int64_t>(p.a.dtype),
          static_cast<int64_t>(p.b.dtype),
          static_cast<int64_t>(p.a_scales.mode),
          static_cast<int64_t>(p.b_scales.mode),
          static_cast<int64_t>(p.out.dtype),
          p.a.transposed,
          p.b.transposed,
          p.a.stride,
          p.b.stride,
          p.out.stride,
          p.add.data ? p.add.stride : -1,
          p.bias != nullptr,
          alignment_of(p.a.data),
          alignment_of(p.b.data),
          alignment_of(p.out.data),
          p.add.data ? alignment_of(p.add.data) : 0,
          p.add.data == p.out.data};
}

// Of one GPU. Streams of several threads share it.
class Products {
 public:
  Products() {
    cublasLtHandle_t made = nullptr;
    blas_check(cublasLtCreate(&made), "cublasLtCreate");
    library_.reset(made);
  }

  void run(CudaStream& stream, const BlasProduct& p, std::byte* workspace) {
    const float one = 1, beta = p.add.data ? 1.0f : 0.0f;
    const Layout addend = layout_of(p.add.data ? p.add : p.out);
    std::lock_guard lock(mutex_);  // the descriptor holds the pointers of one call
    auto at = plans_.find(key_of(p));
    if (at == plans_.end()) at = plans_.emplace(key_of(p), Plan(library_.get(), p)).first;
    const Plan& plan = at->second;
    if (p.bias) set(plan.operation.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    if (p.a_scales.data) plan.set_scales(p);
    blas_check(cublasLtMatmul(library_.get(), plan.operation.get(), &one, p.b.data, plan.first.get(),
                              p.a.data, plan.second.get(), &beta, p.add.data ? p.add.data : p.out.data,
                              addend.get(), p.out.data, plan.out.get(), &plan.algorithm, workspace,
                              static_cast<size_t>(kBlasWorkspace), stream.handle()),
               "cublasLtMatmul");
  }

 private:
  std::mutex mutex_;
  Library library_;
  std::map<Key, Plan> plans_;
};

// Of the process: choosing is slow, and the library wants one handle a GPU.
Products& products_of(int gpu) {
  static std::mutex mutex;
  static std::map<int, Products> all;
  std::lock_guard lock(mutex);
  return all[gpu];
}

}  // namespace

void run_product(CudaStream& stream, const BlasProduct& product, std::byte* workspace) {
  use_gpu(stream.device().index);
  products_of(stream.device().index).run(stream, product, workspace);
}

}  // namespace strata::cuda
