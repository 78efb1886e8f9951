// SPDX-License-Identifier: Apache-2.0
// The layers of the tree, kept by reading every #include: no arrow upwards or between siblings, and each vendor header
// in the one folder that owns it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

// A folder may include itself and what its row lists. core/* first, lowest layer first.
const std::map<std::string, std::set<std::string>>& allowed() {
  static const auto table = [] {
    const std::set<std::string> base{"core/base"};
    const std::set<std::string> device{"core/base", "core/device"};
    const std::set<std::string> tensor{"core/base", "core/device", "core/tensor"};
    std::set<std::string> format = tensor;
    format.insert("core/format");
    std::set<std::string> ops = format;
    ops.insert({"core/io", "core/ops", "core/dist"});
    std::set<std::string> nn = ops;
    nn.insert({"core/program", "core/nn"});
    std::set<std::string> step = nn;
    step.insert("core/step");
    std::set<std::string> core = step;
    core.insert({"core/models", "core/data"});
    std::map<std::string, std::set<std::string>> rows{
        {"core/base", {}},     {"core/device", base},   {"core/tensor", device}, {"core/format", tensor},
        {"core/io", format},   {"core/ops", format},    {"core/dist", format},   {"core/program", ops},
        {"core/nn", ops},      {"core/step", nn},       {"core/models", step},   {"core/data", step},
        {"parallel", core},    {"precision", core},     {"optim", core},         {"offload", core},
        {"checkpoint", core},
    };
    std::set<std::string> all = core;
    all.insert({"parallel", "precision", "optim", "offload", "checkpoint"});
    rows["launch"] = all;
    all.insert({"launch", "tests", "examples"});
    rows["examples"] = rows["tests"] = all;
    return rows;
  }();
  return table;
}

// A vendor header (by prefix of what stands between <>), and the one folder that includes it. Tests may include any.
const std::vector<std::pair<std::string, std::string>> kVendors = {
    {"liburing", "core/io"},   {"hdf5", "checkpoint"}, {"H5", "checkpoint"},        {"toml++/", "launch"},
    {"CLI/", "launch"},        {"dnnl", "launch"},     {"oneapi/", "launch"},       {"mpi", "parallel"},
    {"nccl", "parallel"},      {"cublas", "core/ops"}, {"cudnn", "core/ops"},       {"cub/", "core/ops"},
    {"nvml", "core/device"},   {"pcre2", "core/data"}, {"utf8proc", "core/data"},   {"sentencepiece", "core/data"},
    {"hwloc", "core/device"},  {"xxhash", "core/base"}, {"zstd", "checkpoint"},     {"zip", "checkpoint"},
    {"spdlog/", "core/base"},
};

// "core/nn/layers.h" -> "core/nn"; "launch/train/build.h" -> "launch".
std::string layer_of(const fs::path& path) {
  auto part = path.begin();
  const std::string top = part->string();
  if (top != "core") return top;
  return ++part == path.end() ? top : top + "/" + part->string();
}

struct Include {
  fs::path file;  // relative to the root
  int line;
  std::string target;
  bool angled;
};

std::vector<Include> includes_of(const fs::path& root) {
  static const std::regex pattern(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  static const std::set<std::string> suffixes{".h", ".cpp", ".cu", ".cuh"};
  std::vector<Include> includes;
  for (const auto& [top, unused] : allowed()) {
    if (!fs::exists(root / top)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      if (!suffixes.contains(entry.path().extension().string())) continue;
      std::ifstream file(entry.path());
      std::string text;
      for (int line = 1; std::getline(file, text); ++line) {
        std::smatch match;
        if (std::regex_search(text, match, pattern))
          includes.push_back({fs::relative(entry.path(), root), line, match[2], match[1] == "<"});
      }
    }
  }
  return includes;
}

// What is wrong with one #include; nothing when it is right.
std::optional<std::string> fault(const Include& include) {
  const std::string from = layer_of(include.file);
  const std::string place = include.file.string() + ":" + std::to_string(include.line) + ": ";
  if (include.angled) {
    if (from == "tests") return std::nullopt;
    for (const auto& [prefix, owner] : kVendors)
      if (include.target.starts_with(prefix) && from != owner)
        return place + "<" + include.target + "> belongs to " + owner;
    return std::nullopt;
  }
  if (include.target.find('/') == std::string::npos)
    return place + "\"" + include.target + "\" is not spelled from the root";
  const std::string to = layer_of(include.target);
  if (from == to || allowed().at(from).contains(to)) return std::nullopt;
  return place + from + " must not see " + to;
}

TEST(Layers, EveryIncludePointsDownwards) {
  const std::vector<Include> includes = includes_of(STRATA_SOURCE_DIR);
  ASSERT_GT(includes.size(), 100U);
  for (const Include& include : includes)
    if (const auto text = fault(include)) ADD_FAILURE() << *text;
}

TEST(Layers, EveryQuotedIncludeExists) {
  for (const Include& include : includes_of(STRATA_SOURCE_DIR))
    if (!include.angled)
      EXPECT_TRUE(fs::exists(fs::path(STRATA_SOURCE_DIR) / include.target))
          << include.file << ":" << include.line << ": " << include.target;
}

TEST(Layers, ArrowsAgainstTheLayersAreFound) {
  EXPECT_TRUE(fault({"core/base/log.h", 1, "core/tensor/tensor.h", false}));
  EXPECT_TRUE(fault({"core/ops/norm.cpp", 1, "core/nn/block.h", false}));
  EXPECT_TRUE(fault({"optim/adamw.cpp", 1, "checkpoint/saver.h", false}));
  EXPECT_TRUE(fault({"core/models/llama.cpp", 1, "core/data/dataset.h", false}));
  EXPECT_TRUE(fault({"checkpoint/x.cpp", 1, "launch/cli.h", false}));
  EXPECT_TRUE(fault({"core/data/x.cpp", 1, "liburing.h", true}));
  EXPECT_TRUE(fault({"core/nn/x.cpp", 1, "block.h", false}));
  EXPECT_FALSE(fault({"core/nn/x.cpp", 1, "core/ops/norm.h", false}));
  EXPECT_FALSE(fault({"launch/x.cpp", 1, "optim/adamw.h", false}));
}

}  // namespace
