// SPDX-License-Identifier: Apache-2.0
// Ranks that share a GPU: the cases of every transport, on its tensors.
#include "parallel/comm/host_staging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/device/devices.h"
#include "core/tensor/transfer.h"
#include "parallel/comm/thread_world.h"
#include "tests/parallel/comm/collective_cases.h"

namespace strata {
namespace {

GroupSpec everybody(const World& world) {
  GroupSpec spec{.purpose = "all"};
  for (int rank = 0; rank < world.size(); ++rank) spec.members.push_back(rank);
  return spec;
}

class Ranks : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Counts, Ranks, testing::Values(1, 2, 3, 8), testing::PrintToStringParamName());

TEST_P(Ranks, EveryCollectiveOfAGpusTensorsEqualsTheSerialReference) {
  run_ranks(GetParam(), [&](World& world) {
    const auto gpu = open_gpu(0);
    const auto staged = stage_on_host(world, gpu->host_memory());
    const auto comm = staged->group(everybody(world));
    const auto stream = gpu->make_stream(OpenDevice::Use::communication);
    EXPECT_EQ(comm_cases::run_all(*comm, *stream, {.sizes = {0, 1, 7, 1025}, .memory = gpu->memory()}), "");
  });
}

TEST(HostStaging, SumsThatKernelsAddToAreTheHosts) {
  run_ranks(2, [&](World& world) {
    const auto gpu = open_gpu(0);
    const auto staged = stage_on_host(world, gpu->host_memory());
    const auto comm = staged->group(everybody(world));
    const auto stream = gpu->make_stream(OpenDevice::Use::compute);
    const Tensor sums = make_tensor(*gpu->host_memory(), DType::i64, {3}, "sums");
    for (int64_t i = 0; i < 3; ++i) sums.data<int64_t>()[i] = i + world.rank();
    comm->all_reduce(*stream, sums);
    stream->synchronize();
    EXPECT_THAT(sums.span<const int64_t>(), testing::ElementsAre(1, 3, 5));
  });
}

// Memory of the staging is used again by the next operation, also by one of another stream.
TEST(HostStaging, StreamsMayTakeTurns) {
  run_ranks(2, [&](World& world) {
    const auto gpu = open_gpu(0);
    const auto staged = stage_on_host(world, gpu->host_memory());
    const auto comm = staged->group(everybody(world));
    const auto one = gpu->make_stream(OpenDevice::Use::compute);
    const auto other = gpu->make_stream(OpenDevice::Use::communication);
    std::vector<float> ones(1000, 1), twos(2000, 2);
    const Tensor a = make_tensor(*gpu->memory(), DType::f32, {1000}, "a");
    const Tensor b = make_tensor(*gpu->memory(), DType::f32, {2000}, "b");
    transfer(*one, Tensor::borrow(ones.data(), DType::f32, {1000}), a);
    transfer(*other, Tensor::borrow(twos.data(), DType::f32, {2000}), b);
    for (int i = 0; i < 3; ++i) {
      comm->all_reduce(*one, a);
      comm->all_reduce(*other, b);
    }
    EXPECT_THAT(on_host(*one, a).span<const float>(), testing::Each(8.0F));
    EXPECT_THAT(on_host(*other, b).span<const float>(), testing::Each(16.0F));
  });
}

}  // namespace
}  // namespace strata
