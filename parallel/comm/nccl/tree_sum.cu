// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/nccl/tree_sum.h"

#include "parallel/comm/nccl/tree_sum.cuh"

namespace strata::cuda {
namespace {

template <typename T, int kWide, typename Join>
void launch_part(CudaStream& stream, const TreeSum& args, int64_t begin, int64_t vectors) {
  if (vectors == 0) return;
  const Grid grid{dim3(narrow<unsigned>(div_up(vectors, int64_t{kTreeThreads}))), dim3(kTreeThreads)};
  launch(stream, tree_sum_kernel<T, kWide, Join>, grid, args.members, args.rank,
         reinterpret_cast<const T*>(args.own) + begin, reinterpret_cast<const T*>(args.slots) + begin,
         args.slot / static_cast<int64_t>(sizeof(T)), reinterpret_cast<T*>(args.to) + begin, vectors);
}

// Four elements at a time where the member's own lie for it (slots always do), the rest one by one.
template <typename T, typename Join>
void run(CudaStream& stream, const TreeSum& args) {
  constexpr int kWide = 4;
  const auto lies_well = [](const std::byte* p) {
    return reinterpret_cast<uintptr_t>(p) % (kWide * sizeof(T)) == 0;
  };
  const bool wide = lies_well(args.own) && lies_well(args.to) && lies_well(args.slots);
  const int64_t vectors = wide ? args.count / kWide : 0;
  launch_part<T, kWide, Join>(stream, args, 0, vectors);
  launch_part<T, 1, Join>(stream, args, vectors * kWide, args.count - vectors * kWide);
}

}  // namespace

void tree_sum(Stream& stream, const TreeSum& args) {
  check(args.members >= 2 && args.members < 1 << kTreeLevels, "[tree_sum] {} members", args.members);
  check(args.dtype == DType::f32 || args.dtype == DType::bf16, "[tree_sum] of {}", name(args.dtype));
  CudaStream& cuda = cuda_stream(stream);
  const bool sum = args.reduction == Reduction::sum;
  if (args.dtype == DType::f32)
    return sum ? run<float, JoinSum>(cuda, args) : run<float, JoinMax>(cuda, args);
  return sum ? run<bf16, JoinSum>(cuda, args) : run<bf16, JoinMax>(cuda, args);
}

}  // namespace strata::cuda
