// SPDX-License-Identifier: Apache-2.0
// The teeth of equivalence_test: what breaks a layout moves loss or gradients far beyond its bounds.
#include <gtest/gtest.h>

#include <cmath>

#include "core/ops/elementwise.h"
#include "tests/parallel/boundaries/layout_run.h"

namespace strata {
namespace {

constexpr double kVisible = 1e-3;  // a hundred times the bound

ModelSpec spec_of(const char* arch) {
  const bool llama = std::string(arch) == "llama";
  return {.arch = arch,
          .layers = 2,
          .hidden = 24,
          .heads = 8,
          .kv_heads = llama ? 4 : 8,
          .head_dim = 6,
          .ffn = 40,
          .vocab = 90,
          .max_positions = 32,
          .tied = !llama,
          .qk_norm = llama};
}

// A boundary whose ranks do not meet: where rows are gathered or scattered, a rank's own stand in for all.
class Deaf final : public Boundary {
 public:
  explicit Deaf(const Boundary& real) : real_(real) {}
  bool identity() const override { return real_.identity(); }
  int64_t rows(int64_t n) const override { return real_.rows(n); }
  int64_t first_row(int64_t n) const override { return real_.first_row(n); }
  int64_t rows_before(int64_t n) const override { return real_.rows_before(n); }
  void forward(Stream& stream, const Tensor& x, const Tensor& y) const override { stand_in(stream, x, y); }
  void backward(Stream& stream, const Tensor& dy, const Tensor& dx) const override {
    stand_in(stream, dy, dx);
  }

 private:
  static void stand_in(Stream& stream, const Tensor& from, const Tensor& to) {
    if (from.raw() == to.raw()) return;
    const int64_t rows = std::min(from.dim(0), to.dim(0));
    for (int64_t begin = 0; begin < to.dim(0); begin += rows)
      copy(stream, from.slice(0, 0, rows), to.slice(0, begin, rows));
  }
  const Boundary& real_;
};

double error_of(const ModelSpec& spec, const TestLayout& layout, const Sabotage& sabotage) {
  const Batch batch = packed_batch(2, 32, spec.vocab);
  const Outcome expected = run_layout(spec, DType::f32, batch);
  const Outcome got = run_layout(spec, DType::f32, batch, layout, sabotage);
  return std::max(std::abs(got.loss - expected.loss) / expected.loss, farthest(got, expected).relative);
}

class Sabotaged : public testing::TestWithParam<std::tuple<const char*, bool>> {
 protected:
  ModelSpec spec() const { return spec_of(std::get<0>(GetParam())); }
  TestLayout layout() const { return {.tp = 2, .sequence = std::get<1>(GetParam())}; }
};

TEST_P(Sabotaged, ABoundaryWhoseRanksDoNotMeetShows) {
  for (const Point point :
       {Point::embed_out, Point::attn_in, Point::attn_out, Point::mlp_in, Point::mlp_out, Point::head_in}) {
    std::mutex mutex;
    std::vector<std::unique_ptr<Deaf>> deaf;
    const Sabotage sabotage{.boundaries = [&](BoundarySet& set) {
      const std::lock_guard lock(mutex);
      deaf.push_back(std::make_unique<Deaf>(set[point]));
      set.bind(point, *deaf.back());
    }};
    EXPECT_GT(error_of(spec(), layout(), sabotage), kVisible) << "point " << static_cast<int>(point);
  }
}

TEST_P(Sabotaged, AShiftedPartShows) {
  EXPECT_LT(error_of(spec(), layout(), {}), kVisible / 100);
  for (const char* tensor : {"layers.0.attention.key.weight", "layers.1.attention.output.weight",
                             "layers.1.mlp.down.weight", "embedding.weight"})
    EXPECT_GT(error_of(spec(), layout(), {.shifted = tensor}), kVisible) << tensor;
}

INSTANTIATE_TEST_SUITE_P(Ways, Sabotaged, testing::Combine(testing::Values("llama", "gpt2"), testing::Bool()),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) +
                                  (std::get<1>(info.param) ? "_sp" : "");
                         });

// A gain that is held whole sees a part of the tokens on each rank, or a part of the heads.
TEST(Sabotage, AForgottenSumOfPartialGradientsShows) {
  EXPECT_GT(error_of(spec_of("gpt2"), {.tp = 2, .sequence = true}, {.forget_partial = true}), 0.1);
  EXPECT_GT(error_of(spec_of("llama"), {.tp = 2, .sequence = true}, {.forget_partial = true}), 0.1);
  EXPECT_GT(error_of(spec_of("llama"), {.tp = 2}, {.forget_partial = true}), 0.1);            // q/k norm
  EXPECT_LT(error_of(spec_of("gpt2"), {.tp = 2}, {.forget_partial = true}), kVisible / 100);  // has none
}

}  // namespace
}  // namespace strata
