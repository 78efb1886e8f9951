// SPDX-License-Identifier: Apache-2.0
// Muon on the GPU is Muon on the CPU but for the order of sums; two runs have the same bits.
#include <gtest/gtest.h>

#include <cmath>

#include "optim/muon.h"
#include "tests/optim/rule_fixture.h"
#include "tests/support/cuda/cuda_device.h"

namespace strata::test {
namespace {

struct MuonShapes {
  std::vector<MatrixSpan> matrices;  // behind one another
  int64_t elements;
};

// Wide, tall and square, extents that fill no block, and two fused into one parameter.
std::vector<MuonShapes> muon_shapes() {
  return {{{{.begin = 0, .rows = 5, .columns = 300}}, 1500},
          {{{.begin = 0, .rows = 300, .columns = 7}}, 2100},
          {{{.begin = 0, .rows = 33, .columns = 33}}, 1089},
          {{{.begin = 0, .rows = 8, .columns = 24}, {.begin = 192, .rows = 16, .columns = 24}}, 576}};
}

class CudaMuon : public testing::TestWithParam<DType> {
 protected:
  // The numbers of master and momentum after three steps on a stream, whose memory is `memory`.
  std::vector<std::vector<float>> steps(const MuonShapes& shapes, Stream& stream, TestMemory& memory) {
    const auto rule = make_update_rule("muon", "fp32", GetParam(), {.momentum = 0.95});
    const auto put = [&](const std::vector<float>& values) {
      const Tensor tensor = memory.allocate(DType::f32, std::ssize(values));
      memory.write(tensor.raw(), values.data(), tensor.bytes());
      return tensor;
    };
    const Tensor weight = memory.allocate(rule->weight_dtype(), shapes.elements);
    std::vector<Tensor> state;
    for (const StateSlot& slot : rule->slots()) state.push_back(memory.allocate(slot.dtype, shapes.elements));
    rule->initialize(stream, put(normal_values(shapes.elements, 0.05f, 3)), weight, state);
    for (int64_t step = 1; step <= 3; ++step) {
      rule->update(
          stream,
          {.weight = weight,
           .grad = put(normal_values(shapes.elements, 1, static_cast<uint32_t>(step))),
           .state = state,
           .scalars = {.learning_rate = 0.02f, .weight_decay = 0.1f, .gradient_scale = 0.5f, .step = step},
           .matrices = shapes.matrices});
      stream.synchronize();
    }
    const Tensor values = memory.allocate(DType::f32, shapes.elements);
    rule->export_values(stream, weight, state, values);
    stream.synchronize();
    std::vector<std::vector<float>> results;
    for (const Tensor& tensor : {values, state[GetParam() == DType::f32 ? 0u : 1u]}) {
      results.emplace_back(static_cast<size_t>(shapes.elements));
      memory.read(results.back().data(), tensor.raw(), tensor.bytes());
    }
    return results;
  }
};

TEST_P(CudaMuon, StepsLikeTheCpu) {
  for (const MuonShapes& shapes : muon_shapes()) {
    SCOPED_TRACE(fmt::format("[{}, {}]", shapes.matrices[0].rows, shapes.matrices[0].columns));
    WorkerPool pool(1);
    CpuStream cpu(pool);
    const auto expected = steps(shapes, cpu, *make_host_memory());
    std::vector<std::vector<float>> first;
    for_schedules([&] {
      const auto got = steps(shapes, *make_cuda_test_stream(), *make_cuda_test_memory());
      if (first.empty()) first = got;
      EXPECT_TRUE(got == first) << "other bits";
      for (size_t i = 0; i < got.size(); ++i) {
        double distance = 0, size = 0;
        for (size_t e = 0; e < got[i].size(); ++e) {
          distance += std::pow(static_cast<double>(got[i][e]) - static_cast<double>(expected[i][e]), 2);
          size += std::pow(static_cast<double>(expected[i][e]), 2);
        }
        EXPECT_LT(std::sqrt(distance / size), i == 0 ? 2e-6 : 2e-7) << "array " << i;
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaMuon, testing::Values(DType::f32, DType::bf16),
                         [](const auto& info) { return std::string(name(info.param)); });

}  // namespace
}  // namespace strata::test
