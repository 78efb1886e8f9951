// SPDX-License-Identifier: Apache-2.0
// The functions of cuBLASLt that Strata calls, for pretended GPUs: plain loops, products added up in double
// and rounded once, so that it is nobody's idea of an order. An algorithm is good for the operands it was
// asked for alone: other shapes, types or alignments are refused. So are reductions in an order that depends
// on timing, and what a Hopper GPU has no product of 8-bit floats for (cuBLAS library, "cublasLtMatmul()", of
// FP8).
#include <cublasLt.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/format/fp8.h"
#include "core/tensor/bf16.h"
#include "tests/support/cuda_on_cpu/call_faults.h"
#include "tests/support/cuda_on_cpu/device_memory.h"
#include "tests/support/cuda_on_cpu/streams.h"

namespace {

using strata::bf16;
using strata::cuda_on_cpu::call_fault;
using strata::cuda_on_cpu::count_held;

struct Operation {
  cublasOperation_t a = CUBLAS_OP_N, b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  cudaDataType_t bias_type = CUDA_R_32F;
  const void* bias = nullptr;
  int32_t a_mode = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F, b_mode = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
  const float *a_scales = nullptr, *b_scales = nullptr;
};
bool is_fp8(cudaDataType type) { return type == CUDA_R_8F_E4M3 || type == CUDA_R_8F_E5M2; }
// The factor of (row, chunk) of an operand of `rows` rows, each `chunks` * 128 long: cuBLAS library, "1D and
// 2D Block Scaling".
float factor(const float* scales, int32_t mode, int64_t rows, int64_t chunks, int64_t row, int64_t chunk) {
  switch (mode) {
    case CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F:
      return scales[row];
    case CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F:
      return scales[chunk * rows + row];
    case CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F:
      return scales[row / 128 * ((chunks + 3) / 4 * 4) + chunk];
    default:
      return scales[0];
  }
}
struct Layout {
  cudaDataType type;
  uint64_t rows, columns;
  int64_t stride;  // of columns
  bool operator==(const Layout&) const = default;
};
struct Preference {
  uint64_t workspace = 0;
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint32_t alignment[4] = {256, 256, 256, 256};  // a, b, c, d
};
// What lies in cublasLtMatmulAlgo_t.
struct Algorithm {
  uint64_t shapes = 0;
  uint32_t alignment[4] = {};
};
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

Operation& operation_of(cublasLtMatmulDesc_t handle) { return *reinterpret_cast<Operation*>(handle); }
const Layout& layout_of(cublasLtMatrixLayout_t handle) { return *reinterpret_cast<const Layout*>(handle); }

struct Operands {
  Operation operation;
  Layout a, b, c, d;

  bool fit() const {
    const auto [rows, inner] = turned(a, operation.a);
    const auto [inner_b, columns] = turned(b, operation.b);
    const bool lie = a.stride >= int64_t(a.rows) && b.stride >= int64_t(b.rows) &&
                     c.stride >= int64_t(c.rows) && d.stride >= int64_t(d.rows);
    return lie && rows > 0 && columns > 0 && inner > 0 && inner == inner_b && d.rows == rows &&
           d.columns == columns && c.rows == rows && c.columns == columns && c.type == d.type &&
           (is_fp8(a.type) || is_fp8(b.type)
                ? fit_fp8(rows, columns, inner)
                : a.type == b.type && (d.type == a.type || d.type == CUDA_R_32F) && !operation.a_scales &&
                      !operation.b_scales);
  }
  bool fit_fp8(uint64_t rows, uint64_t columns, uint64_t inner) const {
    constexpr int32_t kTile = CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F,
                      kBlock = CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
    const int32_t left = operation.a_mode, right = operation.b_mode;
    const bool pair = left == right
                          ? left != kBlock
                          : (left == kTile && right == kBlock) || (left == kBlock && right == kTile);
    const int64_t out_bytes = d.type == CUDA_R_16BF ? 2 : 4;
    return pair && is_fp8(a.type) && is_fp8(b.type) &&
           (a.type == CUDA_R_8F_E4M3 || b.type == CUDA_R_8F_E4M3) &&
           (d.type == CUDA_R_16BF || d.type == CUDA_R_32F) && operation.a == CUBLAS_OP_T &&
           operation.b == CUBLAS_OP_N && inner % 16 == 0 && rows % 16 == 0 && columns % 16 == 0 &&
           a.stride % 16 == 0 && b.stride % 16 == 0 && c.stride * out_bytes % 16 == 0 &&
           d.stride * out_bytes % 16 == 0 && operation.a_scales && operation.b_scales &&
           is_on(operation.a_scales, 16) && is_on(operation.b_scales, 16) &&
           (operation.epilogue == CUBLASLT_EPILOGUE_DEFAULT ||
            (operation.bias_type == CUDA_R_16BF && d.type == CUDA_R_16BF));
  }
  static bool is_on(const void* address, uintptr_t bytes) {
    return std::bit_cast<uintptr_t>(address) % bytes == 0;
  }
  uint64_t shapes() const {
    uint64_t hash = 14695981039346656037ull;
    const auto mix = [&hash](uint64_t x) { hash = (hash ^ x) * 1099511628211ull; };
    for (const Layout& x : {a, b, c, d})
      for (const uint64_t v : {uint64_t(x.type), x.rows, x.columns, uint64_t(x.stride)}) mix(v);
    for (const int v : {int(operation.a), int(operation.b), int(operation.epilogue), int(operation.a_mode),
                        int(operation.b_mode)})
      mix(uint64_t(v));
    return hash;
  }
  static std::pair<uint64_t, uint64_t> turned(const Layout& x, cublasOperation_t operation) {
    return operation == CUBLAS_OP_N ? std::pair(x.rows, x.columns) : std::pair(x.columns, x.rows);
  }
};

double element(const void* data, cudaDataType type, int64_t at) {
  if (is_fp8(type))
    return static_cast<double>(
        strata::decode(type == CUDA_R_8F_E4M3 ? strata::Fp8Format::e4m3 : strata::Fp8Format::e5m2,
                       static_cast<const uint8_t*>(data)[at]));
  return static_cast<double>(type == CUDA_R_16BF ? to_float(static_cast<const bf16*>(data)[at])
                                                 : static_cast<const float*>(data)[at]);
}

void multiply(const Operands& o, float alpha, float beta, const void* a, const void* b, const void* c,
              void* d) {
  const strata::cuda_on_cpu::DeviceMemoryAccess open;
  const auto rows = int64_t(o.d.rows), columns = int64_t(o.d.columns);
  const auto inner = int64_t(Operands::turned(o.a, o.operation.a).second), chunks = (inner + 127) / 128;
  const auto at = [](const Layout& x, cublasOperation_t operation, int64_t i, int64_t j) {
    return operation == CUBLAS_OP_N ? j * x.stride + i : i * x.stride + j;
  };
  for (int64_t j = 0; j < columns; ++j)
    for (int64_t i = 0; i < rows; ++i) {
      double sum = 0;
      double factors = 1;
      for (int64_t l = 0; l < inner; ++l) {
        if (o.operation.a_scales && l % 128 == 0)
          factors = static_cast<double>(
                        factor(o.operation.a_scales, o.operation.a_mode, rows, chunks, i, l / 128)) *
                    static_cast<double>(
                        factor(o.operation.b_scales, o.operation.b_mode, columns, chunks, j, l / 128));
        sum += factors * element(a, o.a.type, at(o.a, o.operation.a, i, l)) *
               element(b, o.b.type, at(o.b, o.operation.b, l, j));
      }
      sum *= static_cast<double>(alpha);
      if (beta != 0) sum += static_cast<double>(beta) * element(c, o.c.type, j * o.c.stride + i);
      if (o.operation.epilogue == CUBLASLT_EPILOGUE_BIAS)
        sum += element(o.operation.bias, o.operation.bias_type, i);
      const auto value = static_cast<float>(sum);
      if (o.d.type == CUDA_R_16BF)
        static_cast<bf16*>(d)[j * o.d.stride + i] = strata::to_bf16(value);
      else
        static_cast<float*>(d)[j * o.d.stride + i] = value;
    }
}

template <typename Value>
cublasStatus_t take(Value& to, const void* from, size_t bytes) {
  if (bytes != sizeof(Value)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
bool is_aligned(const void* address, uint32_t alignment) {
  return std::bit_cast<uintptr_t>(address) % alignment == 0;
}

cublasStatus_t fault(const char* function) { return static_cast<cublasStatus_t>(call_fault(function)); }

}  // namespace

extern "C" {

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS            ? "success"
         : status == CUBLAS_STATUS_NOT_INITIALIZED  ? "the library was not initialized"
         : status == CUBLAS_STATUS_ALLOC_FAILED     ? "the resource allocation failed"
         : status == CUBLAS_STATUS_EXECUTION_FAILED ? "the function failed to launch on the GPU"
                                                    : "an error of the pretended cuBLASLt";
}
const char* cublasLtGetStatusName(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS            ? "CUBLAS_STATUS_SUCCESS"
         : status == CUBLAS_STATUS_NOT_INITIALIZED  ? "CUBLAS_STATUS_NOT_INITIALIZED"
         : status == CUBLAS_STATUS_ALLOC_FAILED     ? "CUBLAS_STATUS_ALLOC_FAILED"
         : status == CUBLAS_STATUS_EXECUTION_FAILED ? "CUBLAS_STATUS_EXECUTION_FAILED"
                                                    : "CUBLAS_STATUS_INVALID_VALUE";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (const cublasStatus_t code = fault("cublasLtCreate")) return code;
  *handle = reinterpret_cast<cublasLtHandle_t>(new int(0));
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete reinterpret_cast<int*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* made, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  if (const cublasStatus_t code = fault("cublasLtMatmulDescCreate")) return code;
  if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *made = reinterpret_cast<cublasLtMatmulDesc_t>(new Operation);
  count_held("matmul descriptor", 1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t handle) {
  delete &operation_of(handle);
  count_held("matmul descriptor", -1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t handle,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              size_t bytes) {
  if (const cublasStatus_t code = fault("cublasLtMatmulDescSetAttribute")) return code;
  Operation& operation = operation_of(handle);
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return take(operation.a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return take(operation.b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return take(operation.epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return take(operation.bias_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return take(operation.bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_A_SCALE_MODE:
      return take(operation.a_mode, value, bytes);
    case CUBLASLT_MATMUL_DESC_B_SCALE_MODE:
      return take(operation.b_mode, value, bytes);
    case CUBLASLT_MATMUL_DESC_A_SCALE_POINTER:
      return take(operation.a_scales, value, bytes);
    case CUBLASLT_MATMUL_DESC_B_SCALE_POINTER:
      return take(operation.b_scales, value, bytes);
    default:
      return CUBLAS_STATUS_INVALID_VALUE;
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* made, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t stride) {
  if (const cublasStatus_t code = fault("cublasLtMatrixLayoutCreate")) return code;
  if (type != CUDA_R_32F && type != CUDA_R_16BF && !is_fp8(type)) return CUBLAS_STATUS_NOT_SUPPORTED;
  *made = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{type, rows, columns, stride});
  count_held("matrix layout", 1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t handle) {
  delete &layout_of(handle);
  count_held("matrix layout", -1);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* made) {
  if (const cublasStatus_t code = fault("cublasLtMatmulPreferenceCreate")) return code;
  *made = reinterpret_cast<cublasLtMatmulPreference_t>(new Preference);
  count_held("matmul preference", 1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t handle) {
  delete reinterpret_cast<Preference*>(handle);
  count_held("matmul preference", -1);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t handle,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  if (const cublasStatus_t code = fault("cublasLtMatmulPreferenceSetAttribute")) return code;
  auto& preference = *reinterpret_cast<Preference*>(handle);
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return take(preference.workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return take(preference.reductions, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      return take(preference.alignment[0], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      return take(preference.alignment[1], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      return take(preference.alignment[2], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return take(preference.alignment[3], value, bytes);
    default:
      return CUBLAS_STATUS_INVALID_VALUE;
  }
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t wishes, int,
                                              cublasLtMatmulHeuristicResult_t results[], int* found) {
  if (const cublasStatus_t code = fault("cublasLtMatmulAlgoGetHeuristic")) return code;
  const auto& preference = *reinterpret_cast<const Preference*>(wishes);
  const Operands operands{operation_of(operation), layout_of(a), layout_of(b), layout_of(c), layout_of(d)};
  *found = 0;
  if (!operands.fit()) return CUBLAS_STATUS_INVALID_VALUE;
  if (preference.reductions & CUBLASLT_REDUCTION_SCHEME_INPLACE) return CUBLAS_STATUS_NOT_SUPPORTED;
  Algorithm algorithm{.shapes = operands.shapes()};
  std::ranges::copy(preference.alignment, algorithm.alignment);
  results[0] = {};
  std::memcpy(&results[0].algo, &algorithm, sizeof algorithm);
  results[0].workspaceSize = preference.workspace;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* chosen, void* workspace, size_t workspace_bytes,
                              cudaStream_t stream) {
  if (const cublasStatus_t code = fault("cublasLtMatmul")) return code;
  const Operands operands{operation_of(operation), layout_of(a_layout), layout_of(b_layout),
                          layout_of(c_layout), layout_of(d_layout)};
  Algorithm algorithm;
  std::memcpy(static_cast<void*>(&algorithm), chosen, sizeof algorithm);
  const void* const addresses[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i)
    if (!is_aligned(addresses[i], algorithm.alignment[i]) ||
        (is_fp8(operands.a.type) && !is_aligned(addresses[i], 16)))
      return CUBLAS_STATUS_INVALID_VALUE;
  if (!operands.fit() || algorithm.shapes != operands.shapes() || !is_aligned(workspace, 256))
    return CUBLAS_STATUS_INVALID_VALUE;
  const float by = *static_cast<const float*>(alpha), add = *static_cast<const float*>(beta);
  strata::cuda_on_cpu::enqueue(stream, [=] {
    multiply(operands, by, add, a, b, c, d);
    // Working memory is anybody's between products.
    const strata::cuda_on_cpu::DeviceMemoryAccess open;
    std::fill_n(static_cast<std::byte*>(workspace), std::min<size_t>(workspace_bytes, 64), std::byte{0xFF});
  });
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
