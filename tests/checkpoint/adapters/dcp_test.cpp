// SPDX-License-Identifier: Apache-2.0
// What torch.distributed.checkpoint writes, by one rank and by four with sharded and replicated tensors, is
// read without Python; damaged and hostile folders are refused. tests/golden/make_torch_dcp.py made the
// files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoint/adapters/dcp_metadata.h"
#include "checkpoint/adapters/dcp_source.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/sample.h"
#include "tests/support/hex.h"

namespace strata {
namespace {

using testing::HasSubstr;

const std::string kDcpGolden = std::string(STRATA_SOURCE_DIR) + "/tests/golden/torch_dcp/";

class Dcp : public testing::TestWithParam<const char*> {};

TEST_P(Dcp, EveryTensorIsRead) {
  const auto files = make_posix_file_system();
  const auto want = nlohmann::json::parse(read_file(*files, kDcpGolden + GetParam() + ".json"));
  ASSERT_TRUE(DcpSource::recognises(*files, kDcpGolden + GetParam()));
  const DcpSource source(*files, kDcpGolden + GetParam());
  ASSERT_EQ(source.tensors().size(), want.size());
  for (size_t t = 0; t < source.tensors().size(); ++t) {
    const TensorSpec& tensor = source.tensors()[t];
    const std::string name = tensor.state == "param"
                                 ? tensor.name
                                 : fmt::format("optim.state.{}.{}", tensor.name.substr(6),
                                               tensor.state == "m" ? "exp_avg" : "exp_avg_sq");
    ASSERT_TRUE(want.contains(name)) << name;
    EXPECT_EQ(std::vector<int64_t>(tensor.shape.begin(), tensor.shape.end()),
              want[name]["shape"].get<std::vector<int64_t>>());
    EXPECT_EQ(hex(read_whole(source, t)), want[name]["bytes"]) << to_string(tensor);
  }
  EXPECT_EQ(source.metadata()["values"]["step"], "41");
}
INSTANTIATE_TEST_SUITE_P(Checkpoints, Dcp, testing::Values("single", "ranks"));

TEST(DcpSource, PartsAreRectangles) {
  const auto files = make_posix_file_system();
  const DcpMetadata metadata = read_dcp_metadata(*files, kDcpGolden + "ranks");
  EXPECT_EQ(metadata.files.size(), 4u);
  std::map<std::string, size_t> parts;
  for (const auto& tensor : metadata.tensors) parts[tensor.logical.name] = tensor.chunks.size();
  EXPECT_EQ(parts["model.a.weight"], 4u);  // 7 rows: 2, 2, 2, 1
  EXPECT_EQ(parts["model.b.weight"], 3u);  // 3 columns on 4 ranks: the last has none
  EXPECT_EQ(parts["model.c.bias"], 1u);    // replicated: stored once
  EXPECT_EQ(parts["model.d.grid"], 4u);
}

// A folder in memory, changed before it is read.
class DcpFolder {
 public:
  DcpFolder() {
    const auto real = make_posix_file_system();
    const auto names = real->list(kDcpGolden + "ranks").value();
    for (const std::string& name : names)
      contents[name] = read_file(*real, fmt::format("{}ranks/{}", kDcpGolden, name));
  }
  std::string fault() const {
    MemoryFileSystem files;
    files.make_directory("/c");
    for (const auto& [name, content] : contents)
      files.open(fmt::format("/c/{}", name), OpenMode::create)->write(0, std::as_bytes(std::span(content)));
    try {
      const DcpSource source(files, "/c");
      for (size_t t = 0; t < source.tensors().size(); ++t) read_whole(source, t);
      return "";
    } catch (const std::exception& error) {
      return error.what();
    }
  }
  // Of the metadata.
  void replace(const std::string& from, const std::string& to) {
    const size_t at = contents[".metadata"].find(from);
    ASSERT_NE(at, std::string::npos);
    contents[".metadata"].replace(at, from.size(), to);
  }
  std::map<std::string, std::string> contents;
};

TEST(DcpSource, DamagedFoldersAreRefused) {
  ASSERT_EQ(DcpFolder().fault(), "");
  DcpFolder missing;
  missing.contents.erase("__2_0.distcp");
  EXPECT_THAT(missing.fault(), HasSubstr("__2_0.distcp"));
  DcpFolder cut;
  cut.contents["__3_0.distcp"].resize(cut.contents["__3_0.distcp"].size() - 1);
  EXPECT_THAT(cut.fault(), HasSubstr("an archive does not lie in its file"));
  DcpFolder swapped;  // each is an archive of a tensor, of another shape
  std::swap(swapped.contents["__0_0.distcp"], swapped.contents["__2_0.distcp"]);
  EXPECT_THAT(swapped.fault(),
              testing::AnyOf(HasSubstr("is not what the metadata says"), HasSubstr("no directory at its end"),
                             HasSubstr("does not lie in its file")));
}

TEST(DcpSource, HostileMetadataIsRefused) {
  DcpFolder traversal;
  traversal.replace("__2_0.distcp", "../_0.distcp");
  EXPECT_THAT(traversal.fault(), HasSubstr("the file name '../_0.distcp'"));
  DcpFolder absolute;
  absolute.replace("__2_0.distcp", "/etc/shadow_");
  EXPECT_THAT(absolute.fault(), HasSubstr("the file name '/etc/shadow_'"));
  DcpFolder type;
  type.replace("float32", "complex");
  EXPECT_THAT(type.fault(), HasSubstr("of type torch.complex"));
  DcpFolder renamed;
  renamed.replace("ChunkStorageMetadata", "PunkyStorageMetadata");
  EXPECT_THAT(renamed.fault(), HasSubstr("where a ChunkStorageMetadata should be"));
  DcpFolder foreign;
  foreign.replace("torch.distributed.checkpoint.metadata", "posix_distributed_checkpoint_metadata");
  EXPECT_THAT(foreign.fault(), HasSubstr("where a Metadata should be"));
}

// Every byte of the metadata: no crash, no hang, never a tensor that is covered twice or not at all.
TEST(DcpSource, EveryByteOfTheMetadataFlipped) {
  int refused = 0, overlaps = 0, holes = 0;
  const std::string whole = DcpFolder().contents[".metadata"];
  for (size_t at = 0; at < whole.size(); ++at) {
    DcpFolder folder;
    folder.contents[".metadata"][at] = static_cast<char>(whole[at] ^ (1 << (at % 3)));
    const std::string fault = folder.fault();
    refused += fault.empty() ? 0 : 1;
    overlaps += fault.find("overlap") != std::string::npos ? 1 : 0;
    holes += fault.find("is not covered once") != std::string::npos ? 1 : 0;
  }
  EXPECT_GT(refused, 500);
  EXPECT_GT(overlaps, 0);
  EXPECT_GT(holes, 0);
}

}  // namespace
}  // namespace strata
