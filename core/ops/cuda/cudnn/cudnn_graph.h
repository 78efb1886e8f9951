// SPDX-License-Identifier: Apache-2.0
// The backend interface of cuDNN 9 (cudnn_graph.h) with owners and types: descriptors, and a graph of
// operations on 4-dimensional tensors that grows an operation at a time. What a graph computes is its
// caller's matter. Every failure throws Error(environment) with the library's own words.
#pragma once

#include <cudnn_graph.h>

#include <array>
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

using Extents = std::array<int64_t, 4>;  // batch, head, row, column

// What a tensor of the graph is. `offsets`: the unique id of an int32 tensor [batch + 1, 1, 1, 1] of where
// each batch begins, in elements; 0: batches lie stride[0] apart.
struct GraphTensor {
  Extents extent{}, stride{};
  cudnnDataType_t type = CUDNN_DATA_BFLOAT16;
  int64_t id = 0;  // positive: memory that each run gives; 0: exists only inside
  int64_t offsets = 0;
  bool scalar = false;  // its value is given from the host's memory
};

// A tensor in a graph: an index, with what the next operation must know of it.
struct GraphValue {
  size_t index = 0;
  GraphTensor is;
};

class CudnnGraph {
 public:
  GraphValue add(const GraphTensor& tensor);
  // A number of the host that is the same for every run.
  GraphValue constant(float value);

  // Row-by-column products of the last two dimensions, f32 sums; heads of the first operand may be a multiple
  // of those of the second. With `rows`/`inner`/`columns` (int32 [batch, 1, 1, 1]) only so much of each
  // batch.
  struct Limits {
    const GraphValue *rows = nullptr, *columns = nullptr, *inner = nullptr;
  };
  void matmul(const GraphValue& a, const GraphValue& b, const GraphValue& out, const Limits& limits);

  void pointwise_to(cudnnPointwiseMode_t mode, const GraphValue& x, const GraphValue& out);
  void pointwise_to(cudnnPointwiseMode_t mode, const GraphValue& x, const GraphValue& y,
                    const GraphValue& out);
  void select(const GraphValue& mask, const GraphValue& yes, const GraphValue& no, const GraphValue& out);
  void index(int64_t axis, const GraphValue& like, const GraphValue& out);  // int32
  void reduce(cudnnReduceTensorOp_t op, const GraphValue& x, const GraphValue& out);
  void reshape(const GraphValue& x, const GraphValue& out);

  // The same, with an f32 result (or of the mask's types) that exists only inside and looks like x.
  GraphValue pointwise(cudnnPointwiseMode_t mode, const GraphValue& x);
  GraphValue pointwise(cudnnPointwiseMode_t mode, const GraphValue& x, const GraphValue& y,
                       cudnnDataType_t type = CUDNN_DATA_FLOAT);

  CudnnDescriptor finish() const;

  struct Constant {
    int64_t id;
    float value;
  };
  const std::vector<Constant>& constants() const { return constants_; }

 private:
  void operation(cudnnPointwiseMode_t mode, std::span<const GraphValue* const> inputs, const GraphValue& out,
                 cudnnDataType_t math, int64_t axis);
  const CudnnDescriptor& at(const GraphValue& value) const { return tensors_[value.index]; }
  const CudnnDescriptor& descriptor_of(int64_t id) const;

  std::vector<CudnnDescriptor> tensors_, parts_, operations_;
  std::vector<int64_t> ids_;
  std::vector<Constant> constants_;
  int64_t next_inner_id_ = 1000;
};

}  // namespace strata::cuda
