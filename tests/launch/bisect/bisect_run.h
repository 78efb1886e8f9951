// SPDX-License-Identifier: Apache-2.0
// A configuration of four layers in f32 that every layout of up to eight ranks fits, and a text, in a folder
// of the test's own.
#pragma once

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "launch/bisect/bisect.h"

namespace strata {

using Overrides = std::vector<std::string>;

class BisectRun : public testing::Test {
 protected:
  BisectRun() {
    folder_ = std::filesystem::path(testing::TempDir()) / ("strata_bisect_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    std::ofstream text(folder_ / "text.txt");
    for (int i = 0; i < 60; ++i)
      text << "verse " << i << ": and " << i * i % 97 << " begat " << i * 7 % 31 << ".\n";
    std::ofstream(config()) << "[run]\nname = \"test\"\nsteps = 100\nout = \"" << path("out")
                            << "\"\n[data]\ntrain = [\"" << path("text.txt") << R"("]
seq_len = 16
valid_fraction = 0.0
[model]
layers = 4
hidden = 32
heads = 4
ffn = 48
[batch]
tokens_per_step = 128
micro_batch = 1
[precision]
compute = "fp32"
[optimizer]
lr = 3e-3
[eval]
every = 0
[log]
every = 0
tensorboard = false
)";
  }
  ~BisectRun() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string config() const { return path("run.toml"); }
  BisectSide side(Overrides overrides = {}, Interference interference = {}) const {
    return {config(), std::move(overrides), std::move(interference)};
  }

  std::filesystem::path folder_;
};

}  // namespace strata
