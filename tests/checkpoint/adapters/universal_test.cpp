// SPDX-License-Identifier: Apache-2.0
// DeepSpeed's universal checkpoints hold what we read from the ZeRO checkpoints they were made of; what does
// not fit together is refused. tests/golden/make_deepspeed.py made the files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/adapters/universal_source.h"
#include "checkpoint/adapters/zero_source.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/sample.h"

namespace strata {
namespace {

using testing::HasSubstr;

const std::string kUniversalGolden = std::string(STRATA_SOURCE_DIR) + "/tests/golden/deepspeed/";

std::map<std::string, std::vector<std::byte>> contents(const TensorSource& source) {
  std::map<std::string, std::vector<std::byte>> all;
  for (size_t t = 0; t < source.tensors().size(); ++t)
    all[to_string(source.tensors()[t])] = read_whole(source, t);
  return all;
}

// Stage 1: dicts of tensors. Stage 3: bare flat tensors.
TEST(UniversalSource, IsTheZeroCheckpointItWasMadeOf) {
  const auto files = make_posix_file_system();
  for (const char* stage : {"zero1", "zero3"}) {
    ASSERT_TRUE(UniversalSource::recognises(*files, kUniversalGolden + stage));
    const UniversalSource universal(*files, kUniversalGolden + stage);
    const auto want = contents(ZeroSource(*files, kUniversalGolden + stage));
    auto found = contents(universal);
    EXPECT_GE(found.size(), 21u);
    // Their converter widens what is frozen.
    if (const auto frozen = found.extract("frozen.weight (param) f32 [6, 6]"); !frozen.empty()) {
      const std::vector<std::byte>& narrow = want.at("frozen.weight (param) bf16 [6, 6]");
      auto& wide = found["frozen.weight (param) bf16 [6, 6]"];
      for (size_t i = 0; i < 2 * narrow.size(); ++i)
        if (i % 4 >= 2) wide.push_back(frozen.mapped()[i]);
    }
    for (const auto& [name, bytes] : found)
      EXPECT_TRUE(want.contains(name) && want.at(name) == bytes) << stage << " " << name;
    const bool all = std::string(stage) == "zero1";
    EXPECT_EQ(universal.left_out().size(), all ? 0u : 1u);
    EXPECT_EQ(found.size(),
              all ? want.size() : want.size() - 2);  // zero3: without the frozen one, the buffer
    EXPECT_THAT(universal.metadata()["values"]["optimizer_state"].get<std::string>(),
                HasSubstr("param_groups"));
  }
}

class UniversalFolder {
 public:
  explicit UniversalFolder(const char* stage) {
    load(*make_posix_file_system(), fmt::format("{}{}/global_step2_universal", kUniversalGolden, stage),
         "/c");
  }
  std::string fault() const {
    MemoryFileSystem files;
    for (const std::string& folder : folders) files.make_directory(folder);
    for (const auto& [name, content] : contents)
      files.open(name, OpenMode::create)->write(0, std::as_bytes(std::span(content)));
    try {
      const UniversalSource source(files, "/c");
      for (size_t t = 0; t < source.tensors().size(); ++t) read_whole(source, t);
      return "";
    } catch (const std::exception& error) {
      return error.what();
    }
  }
  std::map<std::string, std::string> contents;
  std::vector<std::string> folders;

 private:
  void load(FileSystem& real, const std::string& from, const std::string& to) {
    folders.push_back(to);
    const auto names = real.list(from).value();
    for (const std::string& name : names) {
      const std::string there = fmt::format("{}/{}", from, name), here = fmt::format("{}/{}", to, name);
      if (real.info(there)->type == FileInfo::Type::directory)
        load(real, there, here);
      else
        contents[here] = read_file(real, there);
    }
  }
};

TEST(UniversalSource, WhatDoesNotFitIsRefused) {
  ASSERT_EQ(UniversalFolder("zero1").fault(), "");
  ASSERT_EQ(UniversalFolder("zero3").fault(), "");
  UniversalFolder moment("zero1"), missing("zero1"), flat("zero3"), shapeless("zero3"), cut("zero1");
  moment.contents["/c/zero/up.weight/exp_avg.pt"] = moment.contents["/c/zero/down.weight/exp_avg.pt"];
  EXPECT_THAT(moment.fault(), HasSubstr("the parameter's [7, 6]"));
  missing.contents.erase("/c/zero/up.weight/fp32.pt");
  EXPECT_THAT(missing.fault(), HasSubstr("expected: fp32.pt"));
  flat.contents["/c/zero/up.weight/fp32.pt"] = flat.contents["/c/zero/down.weight/fp32.pt"];
  EXPECT_THAT(flat.fault(), HasSubstr("the 42 elements of [7, 6]"));
  std::erase_if(shapeless.contents,
                [](const auto& entry) { return entry.first.ends_with("_model_states.pt"); });
  EXPECT_THAT(shapeless.fault(), HasSubstr("a flat tensor"));
  cut.contents["/c/zero/up.weight/fp32.pt"].resize(900);
  EXPECT_THAT(cut.fault(), HasSubstr("up.weight/fp32.pt"));
}

}  // namespace
}  // namespace strata
