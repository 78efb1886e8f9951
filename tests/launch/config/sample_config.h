// SPDX-License-Identifier: Apache-2.0
// A small configuration without faults, and ways to break it, for the tests beside.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "launch/config/load.h"

namespace strata::test {

inline const std::string kGood = R"([run]
steps = 100
[model]
layers = 2
hidden = 64
heads = 4
[data]
train = ["text.txt"]
seq_len = 32
[batch]
tokens_per_step = 256
micro_batch = 2
)";

// kGood with text after the header of a section, so that line numbers stay easy: `line` is added behind
// "[section]".
inline std::string good_with(const std::string& section, const std::string& line) {
  const size_t header = kGood.find("[" + section + "]\n");
  if (header == std::string::npos) return kGood + "[" + section + "]\n" + line + "\n";
  std::string text = kGood;
  return text.insert(header + section.size() + 3, line + "\n");
}

inline LoadedConfig load(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_config(text, "run.toml", overrides);
}

// The reports of a configuration that must not load.
inline std::vector<Report> faults_of(const std::string& text,
                                     const std::vector<std::string>& overrides = {}) {
  try {
    load(text, overrides);
  } catch (const ConfigFaults& faults) {
    EXPECT_EQ(faults.exit_code(), 2);
    EXPECT_EQ(to_string(faults.report()), to_string(faults.reports().front()));
    return faults.reports();
  }
  ADD_FAILURE() << "this configuration should be refused:\n" << text;
  return {};
}

}  // namespace strata::test
