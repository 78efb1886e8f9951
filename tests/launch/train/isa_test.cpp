// SPDX-License-Identifier: Apache-2.0
// Whole runs under every instruction set this machine has. STRATA_ISA is read once a process: the program is
// run.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>

#include "core/base/isa.h"
#include "launch/config/print.h"
#include "tests/launch/train/tiny_run.h"

namespace strata {
namespace {

struct Format {
  const char* compute;
  const char* state;
  // Relative difference of the first loss and of the later ones; and where the hardware has a bf16 dot
  // product.
  double first, later;
  double first_dot, later_dot;
};

class EveryIsa : public TinyRun, public testing::WithParamInterface<Format> {
 protected:
  // What the run wrote to its log of losses, under `isa`.
  std::vector<double> losses_under(Isa isa) const {
    const std::string out(name(isa));
    const std::string file = (folder_ / (out + ".toml")).string();
    std::ofstream(file) << effective_toml(
        config(out, {"run.steps=20", "eval.every=0", "checkpoint.every=0", "optimizer.eps=1e-4",
                     std::string("precision.compute=") + GetParam().compute,
                     std::string("precision.state=") + GetParam().state}));
    const std::string log = (folder_ / (out + ".log")).string();
    const std::string command =
        "STRATA_ISA=" + out + " '" STRATA_PROGRAM "' train '" + file + "' >'" + log + "' 2>&1 </dev/null";
    const int status = std::system(command.c_str());
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << bytes_of(log);
    return losses(out);
  }
};

// The sets differ in two roundings only. FMA rounds a product and its sum at once: in f32 a loss, a mean over
// sums of some hundred terms each with 2^-24, moves by some 1e-8, and twenty updates let that grow tenfold. A
// product of two bf16 is exact in f32, so there FMA changes nothing at all. The bf16 dot product rounds (and
// takes denormals) its own way: an activation may fall to the neighbouring number, 2^-8 away, each
// independently of the others.
TEST_P(EveryIsa, TrainsAlike) {
  const std::vector<double> expected = losses_under(Isa::portable);
  ASSERT_EQ(expected.size(), 20U);
  EXPECT_LT(expected.back(), expected.front() - 0.1) << "it must learn, or there is nothing to compare";
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
    if (isa > machine_isa()) continue;
    const std::vector<double> got = losses_under(isa);
    ASSERT_EQ(got.size(), expected.size()) << name(isa);
    const bool dot = isa == Isa::avx512_bf16;
    const double first = dot ? GetParam().first_dot : GetParam().first;
    const double later = dot ? GetParam().later_dot : GetParam().later;
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_NEAR(got[i], expected[i], (i == 0 ? first : later) * expected[i])
          << name(isa) << " step " << i + 1;
  }
}
INSTANTIATE_TEST_SUITE_P(Formats, EveryIsa,
                         testing::Values(Format{"fp32", "fp32", 1e-7, 1e-6, 1e-7, 1e-6},
                                         Format{"bf16", "split", 0, 0, 1e-3, 1e-2}),
                         [](const auto& info) { return std::string(info.param.compute); });

}  // namespace
}  // namespace strata
