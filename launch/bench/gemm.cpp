// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/gemm.h"

#include <algorithm>
#include <functional>

#include "core/base/isa.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/ops/matmul.h"
#include "launch/bench/bench_operands.h"
#include "launch/bench/foreign_load.h"
#include "launch/bench/gemm_peer.h"
#include "launch/bench/matmul_peak.h"
#include "launch/bench/median.h"

namespace strata {
namespace {

class Layer {
 public:
  Layer(WorkerPool& pool, const GemmShape& shape, DType dtype, int64_t tokens)
      : pool_(pool),
        x_(matrix(dtype, tokens, shape.in)),
        w_(matrix(dtype, shape.out, shape.in)),
        y_(matrix(dtype, tokens, shape.out)),
        dx_(matrix(dtype, tokens, shape.in)),
        dy_(matrix(dtype, tokens, shape.out)),
        dw_(matrix(DType::f32, shape.out, shape.in)),
        w_forward_(packed(w_.t())),
        w_backward_(packed(w_)),
        flops_(2.0 * static_cast<double>(tokens * shape.in * shape.out)) {}

  GemmBenchRow measure(GemmProduct product, const GemmBenchOptions& options) {
    const Tensor out = product == GemmProduct::forward         ? y_
                       : product == GemmProduct::data_gradient ? dx_
                                                               : dw_;
    const bool weight_gradient = product == GemmProduct::weight_gradient;
    const auto ours = [&] {
      switch (product) {
        case GemmProduct::forward:
          matmul(stream_, {.a = x_, .packed_b = w_forward_, .out = y_});
          break;
        case GemmProduct::data_gradient:
          matmul(stream_, {.a = dy_, .packed_b = w_backward_, .out = dx_});
          break;
        case GemmProduct::weight_gradient:
          matmul(stream_, {.a = dy_.t(), .b = x_, .out = dw_, .write = Write::accumulate});
          break;
      }
    };
    std::unique_ptr<GemmPeer> peer;
    if (options.peer) {
      const Tensor& a = product == GemmProduct::forward ? x_ : dy_;
      const Tensor& b = product == GemmProduct::forward         ? w_.t()
                        : product == GemmProduct::data_gradient ? w_
                                                                : x_;
      peer = make_gemm_peer(weight_gradient ? a.t() : a, b, out, !weight_gradient, weight_gradient,
                            pool_.threads());
    }

    ours();  // first touch, scratch
    if (peer) peer->run();
    std::vector<double> peaks, speeds, peers, of_peak, of_peer;
    for (int round = 0; round < options.rounds; ++round) {
      let_threads_sleep();
      // The best of several slices: threads that just slept begin slowly, and a bound must not be beaten.
      peaks.push_back(1e-9 * measure_matmul_peak(pool_, x_.dtype()).flops_per_s);
      speeds.push_back(gflops_of(flops_, ours));
      of_peak.push_back(speeds.back() / peaks.back());
      if (!peer) continue;
      let_threads_sleep();
      peers.push_back(gflops_of(flops_, [&] { peer->run(); }));
      of_peer.push_back(speeds.back() / peers.back());
    }
    return {.shape = {},
            .product = product,
            .dtype = x_.dtype(),
            .tokens = x_.dim(0),
            .gflops = median(speeds),
            .peak_gflops = median(peaks),
            .peer_gflops = peer ? median(peers) : 0,
            .of_peak = median(of_peak),
            .of_peer = peer ? median(of_peer) : 0};
  }

 private:
  Tensor matrix(DType dtype, int64_t rows, int64_t columns) {
    return bench_matrix(pool_, *allocator_, dtype, rows, columns);
  }

  PackedMatrix packed(const Tensor& b) {
    const int64_t bytes = packed_bytes(stream_, b.dtype(), b.dim(0), b.dim(1));
    PackedMatrix result{make_tensor(*allocator_, DType::u8, {bytes}, "bench packed"), b.dtype(), b.dim(0),
                        b.dim(1)};
    pack(stream_, b, result);
    return result;
  }

  WorkerPool& pool_;
  CpuStream stream_{pool_};
  std::shared_ptr<Allocator> allocator_ = make_cpu_allocator();
  Tensor x_, w_, y_, dx_, dy_, dw_;
  PackedMatrix w_forward_, w_backward_;
  double flops_;
};

}  // namespace

std::vector<GemmShape> gpt2_gemm_shapes() {
  return {
      {"qkv", 768, 2304}, {"proj", 768, 768}, {"fc", 768, 3072}, {"fcproj", 3072, 768}, {"head", 768, 50304}};
}

std::string_view name(GemmProduct product) {
  switch (product) {
    case GemmProduct::forward:
      return "forward";
    case GemmProduct::data_gradient:
      return "data gradient";
    case GemmProduct::weight_gradient:
      return "weight gradient";
  }
  return "?";
}

GemmBench bench_gemm(WorkerPool& pool, const GemmBenchOptions& options) {
  GemmBench bench{.isa = std::string(name(active_isa())),
                  .peer = options.peer ? gemm_peer_name() : "",
                  .threads = pool.threads(),
                  .foreign_cores = 0,
                  .rows = {}};
  const ForeignLoad foreign;
  for (const DType dtype : options.dtypes)
    for (const int64_t tokens : options.tokens)
      for (const GemmShape& shape : options.shapes) {
        Layer layer(pool, shape, dtype, tokens);
        for (const auto product :
             {GemmProduct::forward, GemmProduct::data_gradient, GemmProduct::weight_gradient}) {
          bench.rows.push_back(layer.measure(product, options));
          bench.rows.back().shape = shape.name;
        }
      }
  bench.foreign_cores = foreign.cores();
  return bench;
}

}  // namespace strata
