// SPDX-License-Identifier: Apache-2.0
// A conversion to our own format that was cut off goes on: whole pieces are kept, others written again, and
// what comes out is a checkpoint like any other.
#include <gtest/gtest.h>

#include "checkpoint/convert.h"
#include "checkpoint/strata_source.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/adapters/memory_source.h"

namespace strata {
namespace {

// Stops after `left` pieces.
class Stopping : public MemorySource {
 public:
  using MemorySource::MemorySource;
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override {
    if (left-- <= 0) throw Error(Fault::environment, {.what = "stopped"});
    MemorySource::read(tensor, rect, into);
  }
  mutable std::atomic<int> left{1 << 30};
};

constexpr const char* kPath = "/c/step";

Conversion convert_to(FileSystem& files, const TensorSource& source, const std::string& identity = "a") {
  StrataSink sink(files, kPath,
                  {.step = 3,
                   .block_bytes = 4096,
                   .piece_bytes = 500,
                   .shard_bytes = 9000,
                   .sync_bytes = 600,
                   .keep_partial = true,
                   .identity = identity});
  sink.declare({source.tensors().begin(), source.tensors().end()}, {{"note", 1}}, {{"config.json", "{}"}});
  WorkerPool pool(1);
  const Conversion done = convert_tensors(source, sink, pool, nullptr);
  sink.finish();
  sink.commit();
  return done;
}

void expect_whole(FileSystem& files, const TensorSource& source) {
  const StrataSource read(files, kPath);
  EXPECT_EQ(read.verify(), std::vector<std::string>());
  ASSERT_EQ(read.tensors().size(), source.tensors().size());
  for (size_t t = 0; t < source.tensors().size(); ++t) EXPECT_EQ(read_whole(read, t), read_whole(source, t));
  EXPECT_FALSE(files.info(std::string(kPath) + ".partial"));
  const auto names = files.list(kPath);
  for (const std::string& name : *names) EXPECT_EQ(name.find("layout"), std::string::npos) << name;
}

// The folder after `pieces` pieces.
void cut_off(FileSystem& files, const Stopping& source, int pieces) {
  source.left = pieces;
  EXPECT_THROW(convert_to(files, source), Error);
  source.left = 1 << 30;
}

TEST(StrataSink, GoesOnWhereItWasCutOff) {
  const Stopping source(sample_tensors());
  const int64_t all = [&] {
    MemoryFileSystem files;
    return convert_to(files, source).bytes;
  }();
  for (const int pieces : {0, 1, 7, 30, 45}) {
    MemoryFileSystem files;
    cut_off(files, source, pieces);
    ASSERT_TRUE(files.info(std::string(kPath) + ".partial"));
    const Conversion done = convert_to(files, source);
    EXPECT_EQ(done.bytes + done.kept_bytes, all);
    if (pieces >= 30) EXPECT_GT(done.kept_bytes, all / 3) << pieces;
    expect_whole(files, source);
  }
}

TEST(StrataSink, DoesNotKeepWhatIsNoLongerThere) {
  const Stopping source(sample_tensors());
  MemoryFileSystem files;
  cut_off(files, source, 40);
  const std::string shard = std::string(kPath) + ".partial/shard-00000.h5";
  {
    // In the first tensor's first piece, and nowhere else.
    std::string content = read_file(files, shard);
    const std::vector<std::byte> first = read_whole(source, 0);
    const size_t at = content.find(std::string(reinterpret_cast<const char*>(first.data()), 64));
    ASSERT_NE(at, std::string::npos);
    content[at + 100] = static_cast<char>(content[at + 100] ^ 1);
    files.open(shard, OpenMode::update)->write(0, std::as_bytes(std::span(content)));
  }
  const Conversion done = convert_to(files, source);
  EXPECT_GT(done.kept_bytes, 0);
  expect_whole(files, source);

  MemoryFileSystem shorter;
  cut_off(shorter, source, 40);
  shorter.remove(shard);
  convert_to(shorter, source);
  expect_whole(shorter, source);
}

TEST(StrataSink, AnotherSourceBeginsAnew) {
  const Stopping source(sample_tensors());
  MemoryFileSystem files;
  cut_off(files, source, 40);
  EXPECT_EQ(convert_to(files, source, "b").kept_bytes, 0);
  expect_whole(files, source);
}

}  // namespace
}  // namespace strata
