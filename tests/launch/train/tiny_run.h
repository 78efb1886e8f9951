// SPDX-License-Identifier: Apache-2.0
// A run small enough to be trained in a test: a text, a configuration and a folder that goes with it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/io/file_system.h"
#include "launch/config/load.h"
#include "launch/metrics/metrics_log.h"
#include "launch/train/trainer.h"

namespace strata {

class TinyRun : public testing::Test {
 protected:
  TinyRun() {
    const auto* const info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              ("strata_" + std::string(info->name()) + "_" + std::to_string(getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    std::ofstream text(folder_ / "text.txt");
    // Enough for 100 steps of 64 tokens without being one line over and over.
    for (int i = 0; i < 400; ++i)
      text << "verse " << i << ": and " << i * i % 97 << " begat " << i * 7 % 31 << ".\n";
  }
  ~TinyRun() override { std::filesystem::remove_all(folder_); }

  // The configuration with `overrides` (key=value) on top, writing to folder()/out.
  LoadedConfig config(const std::string& out, std::vector<std::string> overrides = {}) const {
    const std::string toml = R"(
[run]
name = "test"
steps = 100
threads = 2
[model]
arch = "llama"
layers = 2
hidden = 32
heads = 2
ffn = 48
[data]
seq_len = 16
valid_fraction = 0.05
[batch]
tokens_per_step = 64
micro_batch = 2
[optimizer]
lr = 3e-3
[schedule]
type = "cosine"
warmup = 5
[precision]
compute = "bf16"
state = "split"
[checkpoint]
every = 50
keep = 5
[eval]
every = 50
[log]
every = 0
)";
    const std::vector<std::string> paths{"run.out=" + (folder_ / out).string(),
                                         "data.train=[\"" + (folder_ / "text.txt").string() + "\"]"};
    overrides.insert(overrides.begin(), paths.begin(), paths.end());
    return parse_config(toml, "test.toml", overrides);
  }

  std::filesystem::path out(const std::string& name) const { return folder_ / name; }

  static std::string bytes_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // Losses of every step, as written: the shortest text that gives back the double.
  std::vector<double> losses(const std::string& name) const {
    const auto files = make_posix_file_system();
    std::vector<double> losses;
    for (const StepRecord& record : read_metrics(*files, (out(name) / "metrics.jsonl").string()))
      losses.push_back(record.loss);
    return losses;
  }

  std::filesystem::path folder_;
};

}  // namespace strata
