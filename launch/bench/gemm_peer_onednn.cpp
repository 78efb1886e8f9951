// SPDX-License-Identifier: Apache-2.0
// oneDNN as the peer. Debian's build runs on OpenMP.
#include <fmt/format.h>
#include <omp.h>

#include <dnnl.hpp>
#include <unordered_map>

#include "launch/bench/gemm_peer.h"

namespace strata {
namespace {

using dnnl::memory;

memory::desc description(const Tensor& x) {
  const auto type = x.dtype() == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  return memory::desc({x.dim(0), x.dim(1)}, type, memory::dims{x.stride(0), x.stride(1)});
}

class OneDnnPeer : public GemmPeer {
 public:
  OneDnnPeer(const Tensor& a, const Tensor& b, const Tensor& out, bool pack_b, bool accumulate, int threads)
      : threads_(threads), engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    omp_set_num_threads(threads_);
    memory::desc b_wanted = description(b);
    if (pack_b) b_wanted = memory::desc(b_wanted.dims(), b_wanted.data_type(), memory::format_tag::any);
    dnnl::primitive_attr attributes;
    if (accumulate) {
      dnnl::post_ops after;
      after.append_sum(1.0f);
      attributes.set_post_ops(after);
    }
    const dnnl::matmul::primitive_desc plan({description(a), b_wanted, description(out)}, attributes,
                                            engine_);
    product_ = dnnl::matmul(plan);
    memory b_memory(description(b), engine_, b.raw());
    if (plan.weights_desc() != b_memory.get_desc()) {
      memory packed(plan.weights_desc(), engine_);
      dnnl::reorder(b_memory, packed).execute(stream_, b_memory, packed);
      stream_.wait();
      b_memory = packed;
    }
    arguments_ = {{DNNL_ARG_SRC, memory(description(a), engine_, a.raw())},
                  {DNNL_ARG_WEIGHTS, b_memory},
                  {DNNL_ARG_DST, memory(description(out), engine_, out.raw())}};
  }

  void run() override {
    omp_set_num_threads(threads_);
    product_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  int threads_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::matmul product_;
  std::unordered_map<int, memory> arguments_;
};

}  // namespace

std::string gemm_peer_name() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch);
}

std::unique_ptr<GemmPeer> make_gemm_peer(const Tensor& a, const Tensor& b, const Tensor& out, bool pack_b,
                                         bool accumulate, int threads) try {
  return std::make_unique<OneDnnPeer>(a, b, out, pack_b, accumulate, threads);
} catch (const dnnl::error&) {
  return nullptr;  // bf16 on a machine that it does not support
}

}  // namespace strata
