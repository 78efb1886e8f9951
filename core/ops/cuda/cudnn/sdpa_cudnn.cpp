// SPDX-License-Identifier: Apache-2.0
// The attention library: graphs made ready once for a shape and kept (a plan each), then run.
#include <cuda_runtime_api.h>

#include <bit>
#include <map>
#include <mutex>
#include <optional>

#include "core/base/check.h"
#include "core/ops/cuda/cudnn/cudnn_engine.h"
#include "core/ops/cuda/cudnn/sdpa_graph.h"

namespace strata::cuda {
namespace {

// A plan, with what a run must hand it beside the memory of the caller.
struct ReadyPlan {
  CudnnDescriptor plan;
  std::vector<CudnnGraph::Constant> constants;
  int64_t workspace = 0;
};

// The best of the engines that take the graph and load; none: not supported.
std::optional<ReadyPlan> make_ready(const CudnnGraph& graph, const CudnnDescriptor& device) {
  const LoweredGraph whole(graph);
  for (const CudnnDescriptor& config : cudnn_engine_configs(whole, device)) {
    CudnnDescriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
    if (plan.try_finalize() != CUDNN_STATUS_SUCCESS) continue;
    const int64_t workspace = plan.get_int64(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
    return ReadyPlan{std::move(plan), graph.constants(), workspace};
  }
  return std::nullopt;
}

struct DestroyHandle {
  void operator()(cudnnContext* handle) const { cudnnDestroy(handle); }
};

// Of one GPU. Streams of several threads share it.
class Attentions {
 public:
  explicit Attentions(int gpu) : device_(cudnn_device(gpu)) {
    cudnnHandle_t made = nullptr;
    cudnn_check(cudnnCreate(&made), "cudnnCreate");
    handle_.reset(made);
  }

  bool supported(const SdpaShape& shape, bool backward, int64_t workspace_bytes) {
    std::lock_guard lock(mutex_);
    const auto& plan = plan_of(shape, backward);
    return plan && plan->workspace + own_bytes(shape, backward) <= workspace_bytes;
  }

  void run(CudaStream& stream, const SdpaCall& call, bool backward) {
    std::lock_guard lock(mutex_);  // the handle holds the stream of one call
    const auto& plan = plan_of(call.shape, backward);
    const int64_t own = own_bytes(call.shape, backward);
    check(plan && plan->workspace + own <= call.workspace_bytes, "[sdpa] a call that is not supported");
    std::vector<int64_t> ids;
    std::vector<void*> addresses;
    const auto give = [&](int64_t id, const void* address) {
      ids.push_back(id);
      addresses.push_back(const_cast<void*>(address));
    };
    const SdpaShape& s = call.shape;
    for (int i = 0; i < (backward ? kSdpaOperands : kSdpaOut + 1); ++i) {
      give(sdpa_operand_id(i), call.operand[i]);
      if (s.ragged) give(sdpa_offsets_id(i), call.tables + 2 * s.batch + i * (s.batch + 1));
    }
    if (s.ragged) {
      give(kSdpaQLengths, call.tables);
      give(kSdpaKvLengths, call.tables + s.batch);
    }
    give(kSdpaStats, call.stats);
    if (backward) give(kSdpaDelta, call.workspace);
    for (const CudnnGraph::Constant& constant : plan->constants) give(constant.id, &constant.value);

    CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const int64_t>(ids));
    pack.set_pointers(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, addresses);
    const auto begin = std::bit_cast<uintptr_t>(call.workspace) + static_cast<uintptr_t>(own);
    void* const workspace = std::bit_cast<void*>(begin - begin % kAlignment);
    pack.set_pointers(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, std::span(&workspace, 1));
    pack.finalize("cuDNN variant pack");
    cudnn_check(cudnnSetStream(handle_.get(), stream.handle()), "cudnnSetStream");
    cudnn_check(cudnnBackendExecute(handle_.get(), plan->plan.raw(), pack.raw()), "cudnnBackendExecute");
  }

 private:
  // rowsum(dOut . out), in front of what the plan takes, and what lies between.
  static constexpr int64_t kAlignment = 256;
  static int64_t own_bytes(const SdpaShape& shape, bool backward) {
    return (backward ? sdpa_delta_bytes(shape) : 0) + kAlignment;
  }

  using Key = std::pair<bool, decltype(SdpaShape().key())>;
  const std::optional<ReadyPlan>& plan_of(const SdpaShape& shape, bool backward) {
    const Key key{backward, shape.key()};
    auto at = plans_.find(key);
    if (at == plans_.end())
      at = plans_
               .emplace(key, make_ready(backward ? sdpa_backward_graph(shape) : sdpa_forward_graph(shape),
                                        device_))
               .first;
    return at->second;
  }

  std::mutex mutex_;
  CudnnDescriptor device_;
  std::unique_ptr<cudnnContext, DestroyHandle> handle_;
  std::map<Key, std::optional<ReadyPlan>> plans_;
};

// Of the process: making ready is slow.
Attentions& attentions_of(CudaStream& stream) {
  static std::mutex mutex;
  static std::map<int, Attentions> all;
  const int gpu = stream.device().index;
  use_gpu(gpu);
  std::lock_guard lock(mutex);
  return all.try_emplace(gpu, gpu).first->second;
}

// The library that runs may be older than the one we were built with; what follows 9.15 masks odd lengths
// itself.
constexpr size_t kOldest = 91600;

}  // namespace

bool sdpa_may_support(int64_t qk_dim, int64_t v_dim) {
  return qk_dim % 8 == 0 && v_dim % 8 == 0 && qk_dim <= 256 && v_dim <= 256;
}
bool sdpa_forward_supported(CudaStream& stream, const SdpaShape& shape, int64_t workspace_bytes) {
  return cudnnGetVersion() >= kOldest && attentions_of(stream).supported(shape, false, workspace_bytes);
}
bool sdpa_backward_supported(CudaStream& stream, const SdpaShape& shape, int64_t workspace_bytes) {
  return cudnnGetVersion() >= kOldest && attentions_of(stream).supported(shape, true, workspace_bytes);
}
void sdpa_forward(CudaStream& stream, const SdpaCall& call) {
  attentions_of(stream).run(stream, call, false);
}
void sdpa_backward(CudaStream& stream, const SdpaCall& call) {
  attentions_of(stream).run(stream, call, true);
}

}  // namespace strata::cuda
