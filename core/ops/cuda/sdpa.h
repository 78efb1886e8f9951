// SPDX-License-Identifier: Apache-2.0
// The seam to the attention library: scaled dot-product attention (SDPA) of a batch of sequences in one call.
// attention_sdpa.cpp makes descriptions, sdpa_cudnn.cpp runs them with cuDNN; a pretend GPU has loops, and a
// build without the library (no_cudnn.cpp) supports nothing.
#pragma once

#include <array>
#include <cstdint>
#include <tuple>

#include "core/device/cuda/cuda_stream.h"

namespace strata::cuda {

// Token matrices in bf16: head h of token t begins at element t * stride + h * dim.
enum SdpaOperand { kSdpaQ, kSdpaK, kSdpaV, kSdpaOut, kSdpaDOut, kSdpaDQ, kSdpaDK, kSdpaDV, kSdpaOperands };
constexpr bool is_query_side(int operand) {
  return operand == kSdpaQ || operand == kSdpaOut || operand == kSdpaDOut || operand == kSdpaDQ;
}

// Everything that the choice of kernels depends on.
struct SdpaShape {
  int64_t batch = 1;
  int64_t heads = 1, kv_heads = 1;      // heads % kv_heads == 0
  int64_t q_length = 1, kv_length = 1;  // of every sequence; ragged: of the longest
  int64_t qk_dim = 0, v_dim = 0;        // of a head
  int64_t stride[kSdpaOperands] = {};   // elements between tokens; forward: the first four count
  float scale = 1;
  bool causal = true;   // query i of a sequence sees keys 0 to i of it
  bool ragged = false;  // sequences of different lengths, told by tables

  auto key() const {
    return std::make_tuple(batch, heads, kv_heads, q_length, kv_length, qk_dim, v_dim, scale, causal, ragged,
                           std::to_array(stride));
  }
};

// Device memory that tells where the sequences of a ragged batch lie; the arrays follow each other.
//   int32 q_lengths[batch], kv_lengths[batch]
//   int32 offsets[kSdpaOperands][batch + 1]   elements from the operand's beginning; rising
inline int64_t sdpa_table_entries(int64_t batch) { return 2 * batch + kSdpaOperands * (batch + 1); }

struct SdpaCall {
  SdpaShape shape;
  void* operand[kSdpaOperands] = {};  // forward: the first four
  // f32 [batch, heads, q_length]: log-sum-exp of each query's scaled scores. Rows past a sequence's end:
  // backward needs 0, forward leaves anything.
  float* stats = nullptr;
  const int32_t* tables = nullptr;  // of a ragged batch
  std::byte* workspace = nullptr;
  int64_t workspace_bytes = 0;
};

// Whether the library takes such a batch on this GPU, in that much working memory, giving the same bits every
// time. Slow at first sight of a shape, then remembered.
bool sdpa_forward_supported(CudaStream& stream, const SdpaShape& shape, int64_t workspace_bytes);
bool sdpa_backward_supported(CudaStream& stream, const SdpaShape& shape, int64_t workspace_bytes);

// Only what is supported. Memory is in use until the work is done. Of a ragged batch no token outside the
// sequences is read into a result or written.
void sdpa_forward(CudaStream& stream, const SdpaCall& call);
void sdpa_backward(CudaStream& stream, const SdpaCall& call);  // dq, dk, dv overwritten

// What plans count with, without a device: false means that no shape with these is ever supported.
bool sdpa_may_support(int64_t qk_dim, int64_t v_dim);

}  // namespace strata::cuda
