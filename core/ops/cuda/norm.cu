// SPDX-License-Identifier: Apache-2.0
// Norms: which kernel for which operands. Rows that fit into the registers of a team go through memory once.
#include "core/ops/norm.h"

#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/cuda/kernels/norm_backward.cuh"
#include "core/ops/cuda/kernels/norm_forward.cuh"

namespace strata::cuda {
namespace {

// Vectors of 16 bytes a thread holds of a row. Backward it holds two rows and the sums of its columns as
// well, of LayerNorm twice as many.
constexpr int kHeldForward = 4;
template <bool kCentered>
constexpr int kHeldBackward = kCentered ? 2 : 4;
constexpr int kThreads = 256;  // of a block, unless a row wants more
constexpr int kMostForward = 1024, kMostBackward = 512;
constexpr int64_t kMostPartials = 264;  // rows of partial sums: two blocks for each multiprocessor of an H100

// Where a kernel is chosen from: the vectors of a row, and how a thread goes through them.
template <typename T, int kHeld>
struct RowPlan {
  bool wide;  // 16-byte accesses
  bool held;  // a team's registers hold a row
  int team;

  RowPlan(int64_t width, bool aligned, int most) : wide(aligned && width % kVectorWidth<T> == 0) {
    const int64_t vectors = wide ? width / kVectorWidth<T> : width;
    team = team_size(vectors, kHeld, most);
    held = wide && vectors <= int64_t{team} * kHeld;
    if (!held) team = team_size(vectors, kHeld, kThreads);
  }
};

template <bool kCentered, typename T, typename W>
void forward(CudaStream& stream, const NormForward<T, W>& args, bool aligned) {
  if (args.count == 0) return;
  const RowPlan<T, kHeldForward> plan(args.width, aligned, kMostForward);
  const dim3 block = team_block(plan.team, kThreads);
  const Grid grid{dim3(narrow<unsigned>(div_up(args.count, block.y))), block};
  if (plan.held)
    launch(stream, norm_forward_kernel<kCentered, T, W, kVectorWidth<T>, kHeldForward>, grid, args);
  else if (plan.wide)
    launch(stream, norm_forward_kernel<kCentered, T, W, kVectorWidth<T>, 0>, grid, args);
  else
    launch(stream, norm_forward_kernel<kCentered, T, W, 1, 0>, grid, args);
}

// body(Type<T>, Type<W>) for the types of x and weight.
template <typename Body>
void with_types(const Tensor& x, const Tensor& weight, const Body& body) {
  with_type(x.dtype(), [&](auto t) { with_type(weight.dtype(), [&](auto w) { body(t, w); }); });
}

template <bool kCentered, typename Args>
void forward(Stream& stream, const Args& args, const Tensor& bias, const Tensor& mean) {
  with_types(args.x, args.weight, [&]<typename T, typename W>(Type<T>, Type<W>) {
    const int64_t width = args.weight.numel(), groups = args.x.dim(1) / width;
    const NormForward<T, W> rows{.x = rows_of<T>(args.x),
                                 .y = rows_of<T>(args.y),
                                 .weight = pointer_of<W>(args.weight),
                                 .bias = pointer_of<W>(bias),
                                 .mean = pointer_of<float>(mean),
                                 .rstd = pointer_of<float>(args.rstd),
                                 .count = args.x.dim(0) * groups,
                                 .groups = groups,
                                 .width = width,
                                 .eps = args.eps,
                                 .amax = amax_of(args.amax)};
    const bool aligned =
        is_aligned(args.x) && is_aligned(args.y) && is_aligned(args.weight) && is_aligned(bias);
    forward<kCentered>(cuda_stream(stream), rows, aligned);
  });
}

// Rows of partial sums of the weight gradients: no more than the groups make worth while.
int64_t num_partials(int64_t count) { return std::clamp<int64_t>(div_up(count, 8), 1, kMostPartials); }

int64_t partial_bytes(const Tensor& x, const Tensor& weight, const Tensor& dweight, int64_t sums) {
  if (!dweight) return 0;
  return num_partials(x.dim(0) * (x.dim(1) / weight.numel())) * sums * weight.numel() *
         static_cast<int64_t>(sizeof(float));
}

template <bool kCentered, typename T, typename W>
void backward(CudaStream& stream, const NormBackward<T, W>& args, bool aligned) {
  constexpr int kHeld = kHeldBackward<kCentered>;
  const RowPlan<T, kHeld> plan(args.width, aligned, kMostBackward);
  const dim3 block = team_block(plan.team, kThreads);
  const int64_t partials = num_partials(args.count);
  if (!plan.held && args.partials)
    launch(stream, norm_weight_kernel<kCentered, T, W>,
           Grid{dim3(narrow<unsigned>(div_up(args.width, 128)), narrow<unsigned>(partials)), dim3(128)},
           args);
  if (args.count == 0 && !plan.held) return;
  if (plan.held) {
    const int64_t shared =
        block.y > 1 && args.partials ? args.width * static_cast<int64_t>(sizeof(float)) : 0;
    launch(stream, norm_backward_kernel<kCentered, T, W, kVectorWidth<T>, kHeld>,
           Grid{dim3(narrow<unsigned>(partials)), block, shared}, args);
    return;
  }
  const Grid grid{dim3(narrow<unsigned>(std::min<int64_t>(div_up(args.count, block.y), 1 << 20))), block};
  if (plan.wide)
    launch(stream, norm_backward_kernel<kCentered, T, W, kVectorWidth<T>, 0>, grid, args);
  else
    launch(stream, norm_backward_kernel<kCentered, T, W, 1, 0>, grid, args);
}

template <bool kCentered, typename Args>
void backward(Stream& stream, const Args& args, const Tensor& mean, const Tensor& dbias, int64_t bytes) {
  CudaStream& cuda = cuda_stream(stream);
  Scratch::Scope scope(cuda.scratch());
  float* const partials = args.dweight ? reinterpret_cast<float*>(cuda.scratch().take(bytes)) : nullptr;
  const int64_t width = args.weight.numel(), groups = args.x.dim(1) / width, count = args.x.dim(0) * groups;
  with_types(args.x, args.weight, [&]<typename T, typename W>(Type<T>, Type<W>) {
    const NormBackward<T, W> rows{.x = rows_of<T>(args.x),
                                  .dy = rows_of<T>(args.dy),
                                  .dx = rows_of<T>(args.dx),
                                  .add = rows_of<T>(args.add),
                                  .weight = pointer_of<W>(args.weight),
                                  .mean = pointer_of<float>(mean),
                                  .rstd = pointer_of<float>(args.rstd),
                                  .count = count,
                                  .groups = groups,
                                  .width = width,
                                  .partials = partials};
    const bool aligned = is_aligned(args.x) && is_aligned(args.dy) && is_aligned(args.dx) &&
                         is_aligned(args.add) && is_aligned(args.weight);
    backward<kCentered>(cuda, rows, aligned);
  });
  if (!args.dweight) return;
  constexpr int kSums = kCentered ? 2 : 1;
  const Grid grid{dim3(narrow<unsigned>(div_up(width, kCombineColumns))),
                  dim3(kCombineColumns, kCombineRows)};
  const bool accumulate = args.write == Write::accumulate;
  launch(cuda, norm_combine_kernel, grid, partials, num_partials(count), kSums * width, width,
         args.dweight.template data<float>(), accumulate);
  if constexpr (kCentered)
    launch(cuda, norm_combine_kernel, grid, partials + width, num_partials(count), kSums * width, width,
           dbias.data<float>(), accumulate);
}

}  // namespace

void rms_norm_forward(Stream& stream, const RmsNormForward& args) { forward<false>(stream, args, {}, {}); }
void layer_norm_forward(Stream& stream, const LayerNormForward& args) {
  forward<true>(stream, args, args.bias, args.mean);
}

int64_t rms_norm_backward_scratch(const RmsNormBackward& args) {
  return partial_bytes(args.x, args.weight, args.dweight, 1);
}
int64_t layer_norm_backward_scratch(const LayerNormBackward& args) {
  return partial_bytes(args.x, args.weight, args.dweight, 2);
}

void rms_norm_backward(Stream& stream, const RmsNormBackward& args) {
  backward<false>(stream, args, {}, {}, rms_norm_backward_scratch(args));
}
void layer_norm_backward(Stream& stream, const LayerNormBackward& args) {
  backward<true>(stream, args, args.mean, args.dbias, layer_norm_backward_scratch(args));
}

}  // namespace strata::cuda
