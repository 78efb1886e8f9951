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
  double first;  // relative difference of the loss before any update,
  double later;  // and of the losses of 20 steps
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

// The sets round differently in two places only: a product and its sum at once (FMA) or one after the other,
// and the hardware's bf16 dot product. One f32 loss is a mean over sums of some hundred terms of 2^-24; in
// bf16 every activation may fall to the neighbouring number, 2^-8 away, independently. Twenty updates let
// what differs grow about tenfold.
TEST_P(EveryIsa, TrainsAlike) {
  const std::vector<double> expected = losses_under(Isa::portable);
  ASSERT_EQ(expected.size(), 20U);
  EXPECT_LT(expected.back(), expected.front() - 0.1) << "it must learn, or there is nothing to compare";
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
    if (isa > machine_isa()) continue;
    const std::vector<double> got = losses_under(isa);
    ASSERT_EQ(got.size(), expected.size()) << name(isa);
    EXPECT_NEAR(got.front(), expected.front(), GetParam().first * expected.front()) << name(isa);
    for (size_t i = 1; i < got.size(); ++i)
      EXPECT_NEAR(got[i], expected[i], GetParam().later * expected[i]) << name(isa) << " step " << i + 1;
  }
}
INSTANTIATE_TEST_SUITE_P(Formats, EveryIsa,
                         testing::Values(Format{"fp32", "fp32", 3e-7, 3e-6},
                                         Format{"bf16", "split", 1e-3, 1e-2}),
                         [](const auto& info) { return std::string(info.param.compute); });

}  // namespace
}  // namespace strata
