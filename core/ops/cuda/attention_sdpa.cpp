// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/attention_sdpa.h"

#include <algorithm>
#include <bit>

#include "core/ops/cuda/sdpa_edges.h"
#include "core/ops/cuda/sdpa_runs.h"

namespace strata::cuda {
namespace {

// An operation as calls: for each run, all heads or some at a time.
struct SdpaPlan {
  bool possible = false;
  SdpaShape shape;  // of all heads, but for the run's part
  SdpaLimits limits;
  int64_t queries = 0, keys = 0;
  Tensor operand[kSdpaOperands], lse;
};

template <typename Args>
SdpaPlan plan_of(const Args& args, bool backward, int64_t memory = kSdpaMemory) {
  SdpaPlan plan{.queries = args.q.dim(0), .keys = args.k.dim(0), .lse = args.lse};
  if (plan.queries == 0 || plan.keys == 0) return plan;
  plan.operand[kSdpaQ] = args.q;
  plan.operand[kSdpaK] = args.k;
  plan.operand[kSdpaV] = args.v;
  plan.operand[kSdpaOut] = args.out;
  if constexpr (requires { args.dq; }) {
    plan.operand[kSdpaDOut] = args.dout;
    plan.operand[kSdpaDQ] = args.dq;
    plan.operand[kSdpaDK] = args.dk;
    plan.operand[kSdpaDV] = args.dv;
  }
  SdpaShape& shape = plan.shape;
  shape = {.heads = args.heads,
           .kv_heads = args.kv_heads,
           .qk_dim = args.q.dim(1) / args.heads,
           .v_dim = args.v.dim(1) / args.kv_heads,
           .scale = args.scale,
           .causal = args.causal};
  if (!sdpa_may_support(shape.qk_dim, shape.v_dim)) return plan;
  for (int i = 0; i < (backward ? kSdpaOperands : kSdpaOut + 1); ++i) {
    const Tensor& x = plan.operand[i];
    // Rows are read 16 bytes at a time, and found by 32-bit offsets.
    shape.stride[i] = x.dim(0) > 1 ? x.stride(0) : x.dim(1);
    if (x.dtype() != DType::bf16 || shape.stride[i] % 8 != 0 || std::bit_cast<uintptr_t>(x.raw()) % 16 != 0 ||
        x.dim(0) * shape.stride[i] > INT32_MAX)
      return plan;
  }
  const SdpaRun longest = sdpa_longest_run(plan.queries, plan.keys);
  plan.limits = {.q_rows = 2 * longest.q_length,
                 .kv_rows = 2 * longest.kv_length,
                 .heads = args.heads / args.kv_heads,
                 .qk_dim = shape.qk_dim,
                 .v_dim = shape.v_dim};
  const auto bytes = [&](int64_t heads) {
    return sdpa_backward_workspace(heads, longest, shape.qk_dim, shape.v_dim);
  };
  plan.limits.bytes = std::min(std::max(bytes(plan.limits.heads), memory), bytes(args.heads));
  plan.limits.bytes = std::min(plan.limits.bytes, kSdpaMostMemory);
  plan.possible = true;
  return plan;
}

// The part of a run that a call does: as many heads as working memory has room for. (Forward needs none to
// speak of.)
SdpaShape shape_of(const SdpaPlan& plan, const SdpaRun& run, bool backward) {
  SdpaShape shape = plan.shape;
  int64_t groups = 1;
  const auto bytes = [&] {
    return sdpa_backward_workspace(plan.shape.heads / groups, run, shape.qk_dim, shape.v_dim);
  };
  while (backward && groups < plan.shape.kv_heads &&
         (plan.shape.kv_heads % groups != 0 || bytes() > plan.limits.bytes))
    ++groups;
  shape.heads /= groups;
  shape.kv_heads /= groups;
  shape.batch = run.batch;
  shape.q_length = run.q_length;
  shape.kv_length = run.kv_length;
  shape.ragged = run.ragged;
  return shape;
}

struct Memory {
  int64_t tables, stats, workspace;  // bytes, one behind the other
  int64_t total() const { return tables + stats + workspace; }
};
Memory memory_of(const SdpaPlan& plan, bool backward) {
  // A batch has no more sequences than twice the operation's sequences, nor than tokens.
  const int64_t entries = sdpa_table_entries(2 * plan.queries);
  return {round_up(entries * 4, kTensorAlignment),
          round_up(plan.limits.q_rows * plan.shape.heads * 4, kTensorAlignment),
          round_up(backward ? plan.limits.bytes : kSdpaForwardWorkspace, kTensorAlignment)};
}

// Every run and group of heads; false when the library does not take one of them (and then none is done).
using Supported = bool (*)(CudaStream&, const SdpaShape&, int64_t);
using Run = void (*)(CudaStream&, const SdpaCall&);
bool run_all(CudaStream& stream, const SdpaPlan& plan, std::span<const AttentionSegment> segments,
             Supported supported, Run run_call, bool backward) {
  if (!plan.possible) return false;
  const auto sequences = sdpa_sequences(segments, plan.shape.causal, plan.queries, plan.keys);
  const auto runs = sdpa_runs(sequences, plan.limits);
  const Memory bytes = memory_of(plan, backward);
  const auto taken = [&](const SdpaRun& run) {
    return run.batch <= 65535 && supported(stream, shape_of(plan, run, backward), bytes.workspace);
  };
  if (runs.empty() || !std::all_of(runs.begin(), runs.end(), taken)) return false;

  Scratch::Scope scope(stream.scratch());
  std::byte* const memory = stream.scratch().take(bytes.total());
  auto* const tables = reinterpret_cast<int32_t*>(memory);
  for (const SdpaRun& run : runs) {
    const SdpaShape shape = shape_of(plan, run, backward);
    if (run.ragged)
      store_sdpa_tables(stream, shape, std::span(sequences).subspan(run.first, run.count), tables);
    // Tables count from the operands' beginnings, batches without them from their first sequence.
    const int64_t first_query = run.ragged ? 0 : sequences[run.first].q_begin;
    const int64_t first_key = run.ragged ? 0 : sequences[run.first].k_begin;
    for (int64_t head = 0, kv_head = 0; head < plan.shape.heads;
         head += shape.heads, kv_head += shape.kv_heads) {
      SdpaCall call{.shape = shape,
                    .tables = run.ragged ? tables : nullptr,
                    .workspace = memory + bytes.tables + bytes.stats,
                    .workspace_bytes = bytes.workspace};
      for (int i = 0; i < (backward ? kSdpaOperands : kSdpaOut + 1); ++i) {
        const bool of_values = i == kSdpaV || i == kSdpaOut || i == kSdpaDOut || i == kSdpaDV;
        call.operand[i] = plan.operand[i].data<bf16>() +
                          (is_query_side(i) ? first_query : first_key) * shape.stride[i] +
                          (is_query_side(i) ? head : kv_head) * (of_values ? shape.v_dim : shape.qk_dim);
      }
      float* const lse = plan.lse.data<float>() + head * plan.queries + first_query;
      // [1, heads, length] is [heads, tokens] where the sequence is all the tokens.
      const bool direct = !run.ragged && run.batch == 1 && run.q_length == plan.queries;
      call.stats = direct ? lse : reinterpret_cast<float*>(memory + bytes.tables);
      if (!direct && backward) move_sdpa_stats(stream, call, lse, plan.queries, SdpaStatsWay::to_library);
      run_call(stream, call);
      if (!direct && !backward) move_sdpa_stats(stream, call, lse, plan.queries, SdpaStatsWay::from_library);
    }
  }
  return true;
}

}  // namespace

int64_t sdpa_attention_forward_scratch(const AttentionForward& args) {
  const SdpaPlan plan = plan_of(args, false);
  return plan.possible ? memory_of(plan, false).total() : 0;
}
int64_t sdpa_attention_backward_scratch(const AttentionBackward& args, int64_t memory) {
  const SdpaPlan plan = plan_of(args, true, memory);
  return plan.possible ? memory_of(plan, true).total() : 0;
}

bool sdpa_attention_forward(Stream& stream, const AttentionForward& args) {
  return run_all(cuda_stream(stream), plan_of(args, false), args.segments, sdpa_forward_supported,
                 sdpa_forward, false);
}
bool sdpa_attention_backward(Stream& stream, const AttentionBackward& args, int64_t memory) {
  return run_all(cuda_stream(stream), plan_of(args, true, memory), args.segments, sdpa_backward_supported,
                 sdpa_backward, true);
}

}  // namespace strata::cuda
