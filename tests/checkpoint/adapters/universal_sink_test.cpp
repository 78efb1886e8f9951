// SPDX-License-Identifier: Apache-2.0
// What UniversalSink writes is what UniversalSource reads, as sound archives; a conversion that was cut off
// goes on; DeepSpeed's own engine loads it, on the CPU, at stages 1, 2 and 3 (needs a Python with DeepSpeed,
// python.h).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/adapters/universal_sink.h"
#include "checkpoint/adapters/universal_source.h"
#include "checkpoint/convert.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/adapters/memory_source.h"
#include "tests/checkpoint/adapters/python.h"

namespace strata {
namespace {

using testing::HasSubstr;

// The parameters of tests/interop/deepspeed_universal_test.py. Moments of squares are not negative there
// either, but nothing computes with these.
std::vector<TensorSpec> trained() {
  std::vector<TensorSpec> tensors;
  for (const auto& [name, shape] : std::vector<std::pair<std::string, Shape>>{
           {"embed.weight", {11, 6}}, {"up.weight", {7, 6}}, {"up.bias", {7}}, {"down.weight", {5, 7}}})
    for (const char* state : {"param", "m", "v"})
      tensors.push_back({.name = name, .state = state, .shape = shape});
  return tensors;
}

// Finite numbers: sample_bytes may be anything.
class Numbers : public MemorySource {
 public:
  using MemorySource::MemorySource;
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override {
    const TensorSpec& logical = tensors()[tensor];
    std::vector<float> whole(static_cast<size_t>(logical.shape.numel()));
    for (size_t i = 0; i < whole.size(); ++i)
      whole[i] =
          static_cast<float>(static_cast<int>(mix64(hash_name(logical.name + logical.state) + i) % 20011)) /
              10000.F -
          1.F;
    copy_rect(rect, Rect::whole(logical.shape), reinterpret_cast<const std::byte*>(whole.data()), rect, into,
              sizeof(float));
    if (left-- <= 0) throw Error(Fault::environment, {.what = "stopped"});
  }
  mutable std::atomic<int> left{1 << 30};
};

void convert_to(FileSystem& files, const std::string& path, const TensorSource& source,
                const UniversalSink::Options& options) {
  UniversalSink sink(files, path, options);
  sink.declare({source.tensors().begin(), source.tensors().end()}, {{"step", 41}}, {{"config.json", "{}"}});
  WorkerPool pool(2);
  convert_tensors(source, sink, pool, nullptr);
  sink.commit();
}

void expect_same(FileSystem& files, const std::string& path, const TensorSource& source) {
  ASSERT_TRUE(UniversalSource::recognises(files, path));
  const UniversalSource read(files, path);
  ASSERT_EQ(read.tensors().size(), source.tensors().size());
  EXPECT_EQ(read.metadata()["step"], 41);
  size_t found = 0;
  for (size_t t = 0; t < source.tensors().size(); ++t)
    for (size_t r = 0; r < read.tensors().size(); ++r)
      if (read.tensors()[r] == source.tensors()[t]) {
        ++found;
        EXPECT_EQ(read_whole(read, r), read_whole(source, t)) << to_string(source.tensors()[t]);
      }
  EXPECT_EQ(found, source.tensors().size());
}

TEST(UniversalSink, IsReadAsItWasWritten) {
  for (const int64_t piece : {16, 100, 1 << 20}) {
    MemoryFileSystem files;
    const Numbers source(trained());
    convert_to(files, "/u", source, {.piece_bytes = piece});
    expect_same(files, "/u", source);
    EXPECT_EQ(read_file(files, "/u/latest_universal"), "global_step41");
    EXPECT_FALSE(files.info("/u.partial"));
  }
}

TEST(UniversalSink, GoesOnWhereItWasCutOff) {
  MemoryFileSystem files;
  const UniversalSink::Options options{.piece_bytes = 40, .sync_bytes = 200, .keep_partial = true};
  const Numbers source(trained());
  source.left = 30;
  EXPECT_THROW(convert_to(files, "/u", source, options), Error);
  ASSERT_TRUE(files.info("/u.partial"));
  source.left = 1 << 30;
  UniversalSink sink(files, "/u", options);
  sink.declare({source.tensors().begin(), source.tensors().end()}, {{"step", 41}}, {{"config.json", "{}"}});
  WorkerPool pool(1);
  const Conversion done = convert_tensors(source, sink, pool, nullptr);
  EXPECT_GT(done.kept_bytes, 500);
  sink.commit();
  expect_same(files, "/u", source);
}

TEST(UniversalSink, RefusesWhatDeepspeedHasNoPlaceFor) {
  MemoryFileSystem files;
  const auto fault = [&](const TensorSpec& tensor) -> std::string {
    try {
      UniversalSink(files, "/u", {}).declare({tensor}, {}, {});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(fault({.name = "w", .type = ElementType::bf16, .shape = {2}}), HasSubstr("bf16"));
  EXPECT_THAT(fault({.name = "a:b", .shape = {2}}), HasSubstr("a:b"));
  EXPECT_FALSE(files.info("/u.partial"));
}

TEST(Interop, DeepspeedLoadsOurUniversalCheckpoint) {
  Python python("STRATA_DEEPSPEED_PYTHON");
  NEEDS(python.there());
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  const Numbers source(trained());
  convert_to(*files, folder.path() + "/u", source, {.piece_bytes = 100});
  const auto said = python.run("deepspeed_universal_test.py", "'" + folder.path() + "/u'", {});
  NEEDS(said);
  ASSERT_EQ(said->size(), 3u);  // stages
  for (const nlohmann::json& stage : *said)
    for (const nlohmann::json& rank : stage) {
      EXPECT_EQ(rank["global_steps"], 41);
      EXPECT_EQ(rank["step"], 42);  // after one more
      for (size_t t = 0; t < source.tensors().size(); ++t) {
        const TensorSpec& tensor = source.tensors()[t];
        EXPECT_EQ(rank["tensors"][tensor.name + " " + tensor.state], hex(read_whole(source, t)))
            << to_string(tensor);
      }
    }
}

}  // namespace
}  // namespace strata
