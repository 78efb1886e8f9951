// SPDX-License-Identifier: Apache-2.0
// Descriptors of the backend interface of cuDNN 9 (cudnn_graph.h) with owners and types. Every failure throws
// Error(environment) with the library's own words.
#pragma once

#include <cudnn_graph.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace strata::cuda {

void cudnn_check(cudnnStatus_t status, std::string_view call);

template <typename Value>
constexpr cudnnBackendAttributeType_t cudnn_type_of() {
  if constexpr (std::is_same_v<Value, int64_t>) return CUDNN_TYPE_INT64;
  if constexpr (std::is_same_v<Value, int32_t>) return CUDNN_TYPE_INT32;
  if constexpr (std::is_same_v<Value, bool>) return CUDNN_TYPE_BOOLEAN;
  if constexpr (std::is_same_v<Value, char>) return CUDNN_TYPE_CHAR;
  if constexpr (std::is_same_v<Value, cudnnHandle_t>) return CUDNN_TYPE_HANDLE;
  if constexpr (std::is_same_v<Value, cudnnDataType_t>) return CUDNN_TYPE_DATA_TYPE;
  if constexpr (std::is_same_v<Value, cudnnPointwiseMode_t>) return CUDNN_TYPE_POINTWISE_MODE;
  if constexpr (std::is_same_v<Value, cudnnReduceTensorOp_t>) return CUDNN_TYPE_REDUCTION_OPERATOR_TYPE;
  if constexpr (std::is_same_v<Value, cudnnBackendHeurMode_t>) return CUDNN_TYPE_HEUR_MODE;
  if constexpr (std::is_same_v<Value, cudnnBackendNumericalNote_t>) return CUDNN_TYPE_NUMERICAL_NOTE;
  // cudnnBackendDescriptor_t is void*, and so are the addresses of a variant pack: see set_pointers.
  if constexpr (std::is_same_v<Value, cudnnBackendDescriptor_t>) return CUDNN_TYPE_BACKEND_DESCRIPTOR;
}

class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type);

  template <typename Value>
  void set(cudnnBackendAttributeName_t name, std::span<const Value> values) {
    set(name, cudnn_type_of<Value>(), static_cast<int64_t>(values.size()), values.data());
  }
  template <typename Value>
  void set(cudnnBackendAttributeName_t name, const Value& value) {
    set(name, std::span<const Value>(&value, 1));
  }
  void set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) { set(name, value.raw()); }
  void set_pointers(cudnnBackendAttributeName_t name, std::span<void* const> values) {
    set(name, CUDNN_TYPE_VOID_PTR, static_cast<int64_t>(values.size()), values.data());
  }
  // Done: may be used by others, and set no more.
  void finalize(std::string_view what);
  cudnnStatus_t try_finalize();

  int64_t get_int64(cudnnBackendAttributeName_t name) const;
  std::vector<cudnnBackendNumericalNote_t> numerical_notes() const;  // of an engine
  cudnnBackendDescriptor_t raw() const { return raw_.get(); }

 private:
  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
           const void* values);

  struct Destroy {
    void operator()(cudnnBackendDescriptor_t raw) const { cudnnBackendDestroyDescriptor(raw); }
  };
  std::unique_ptr<void, Destroy> raw_;
};

}  // namespace strata::cuda
