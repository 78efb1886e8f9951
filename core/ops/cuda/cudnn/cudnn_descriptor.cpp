// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/cudnn/cudnn_descriptor.h"

#include <fmt/format.h>

#include <array>

#include "core/base/error.h"

namespace strata::cuda {

void cudnn_check(cudnnStatus_t status, std::string_view call) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 512> words{};
  cudnnGetLastErrorString(words.data(), words.size() - 1);
  throw Error(Fault::environment,
              {.what = "cuDNN refused a call",
               .where = std::string(call),
               .found = fmt::format("{}: {}", cudnnGetErrorString(status), words.data()),
               .fix = "check that the cuDNN library belongs to the CUDA toolkit Strata was "
                      "built with (strata doctor)"});
}

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t made = nullptr;
  cudnn_check(cudnnBackendCreateDescriptor(type, &made), "cudnnBackendCreateDescriptor");
  raw_.reset(made);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                          const void* values) {
  const cudnnStatus_t status = cudnnBackendSetAttribute(raw(), name, type, count, values);
  if (status != CUDNN_STATUS_SUCCESS)
    cudnn_check(status, fmt::format("cudnnBackendSetAttribute({})", static_cast<int>(name)));
}

cudnnStatus_t CudnnDescriptor::try_finalize() { return cudnnBackendFinalize(raw()); }
void CudnnDescriptor::finalize(std::string_view what) { cudnn_check(try_finalize(), what); }

int64_t CudnnDescriptor::get_int64(cudnnBackendAttributeName_t name) const {
  int64_t value = 0, count = 0;
  cudnn_check(cudnnBackendGetAttribute(raw(), name, CUDNN_TYPE_INT64, 1, &count, &value),
              "cudnnBackendGetAttribute");
  return value;
}

std::vector<cudnnBackendNumericalNote_t> CudnnDescriptor::numerical_notes() const {
  std::vector<cudnnBackendNumericalNote_t> notes(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  int64_t count = 0;
  cudnn_check(cudnnBackendGetAttribute(raw(), CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                       static_cast<int64_t>(notes.size()), &count, notes.data()),
              "cudnnBackendGetAttribute(numerical notes)");
  notes.resize(static_cast<size_t>(count));
  return notes;
}

}  // namespace strata::cuda
