// SPDX-License-Identifier: Apache-2.0
// PyTorch reads what we write for it: torch.distributed.checkpoint's load and dcp_to_torch_save. Needs a
// Python with PyTorch (python.h).
#include "checkpoint/adapters/dcp_sink.h"
#include "checkpoint/adapters/torch_types.h"
#include "checkpoint/convert.h"
#include "tests/checkpoint/adapters/memory_source.h"
#include "tests/checkpoint/adapters/python.h"

namespace strata {
namespace {

// Types that every PyTorch since 2.3 has.
std::vector<TensorSpec> tensors() {
  std::vector<TensorSpec> list;
  for (const ElementType type : {ElementType::f64, ElementType::f32, ElementType::f16, ElementType::bf16,
                                 ElementType::f8_e4m3, ElementType::f8_e5m2, ElementType::i64,
                                 ElementType::i32, ElementType::i16, ElementType::i8, ElementType::u8})
    list.push_back({.name = fmt::format("types.{}", name(type)), .type = type, .shape = {7, 3}});
  list.push_back({.name = "scalar", .shape = {}});
  list.push_back({.name = "empty", .shape = {0, 4}});
  list.push_back({.name = "cube", .shape = {3, 5, 7}});
  for (const char* state : {"m", "v"}) list.push_back({.name = "cube", .state = state, .shape = {3, 5, 7}});
  return list;
}

TEST(Interop, TorchReadsOurDistributedCheckpoint) {
  Python python;
  NEEDS(python.there());
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  const MemorySource source(tensors());
  DcpSink sink(*files, folder.path() + "/dcp", {.piece_bytes = 48, .file_bytes = 9000});
  sink.declare(tensors(), {{"step", 41}}, {});
  WorkerPool pool(2);
  convert_tensors(source, sink, pool, nullptr);
  sink.commit();
  const auto said = python.run("torch_dcp_test.py", "'" + folder.path() + "/dcp'", {});
  NEEDS(said);
  for (const char* way : {"load", "save"}) {
    const nlohmann::json& read = said->at(way);
    for (size_t t = 0; t < source.tensors().size(); ++t) {
      const TensorSpec& tensor = source.tensors()[t];
      std::string key;
      for (const std::string& part : dcp_path(tensor)) key += (key.empty() ? "" : ".") + part;
      ASSERT_TRUE(read.contains(key)) << way << " " << key;
      EXPECT_EQ(read[key]["dtype"], std::string(torch_type(tensor.type).dtype));
      EXPECT_EQ(read[key]["shape"], std::vector<int64_t>(tensor.shape.begin(), tensor.shape.end()));
      EXPECT_EQ(read[key]["bytes"], hex(read_whole(source, t))) << way << " " << to_string(tensor);
    }
    // PyTorch 2.3 does not give a number of the outermost dict back.
    if (std::string(way) == "save") EXPECT_EQ(read["step"], 41);
    EXPECT_EQ(read["optim.state.cube.step"]["bytes"], "00002442");  // 41 as a float
    EXPECT_EQ(read.size(), source.tensors().size() + 2);
  }
}

}  // namespace
}  // namespace strata
