// SPDX-License-Identifier: Apache-2.0
// What DcpSink writes is what DcpSource reads, moments and step included; a conversion that was cut off goes
// on; archives are as ZIP says. That torch.distributed.checkpoint reads it, too: torch_interop_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/adapters/crc32.h"
#include "checkpoint/adapters/dcp_sink.h"
#include "checkpoint/adapters/dcp_source.h"
#include "checkpoint/adapters/torch_archive.h"
#include "checkpoint/convert.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/adapters/memory_source.h"

namespace strata {
namespace {

std::vector<TensorSpec> trained() {
  std::vector<TensorSpec> tensors = sample_tensors();
  std::erase_if(tensors, [](const TensorSpec& t) { return t.state != "param"; });
  for (const char* state : {"m", "v", "momentum"})
    tensors.push_back(
        {.name = "embedding.weight", .state = state, .type = ElementType::f32, .shape = {96, 40}});
  tensors.push_back({.name = "scale", .type = ElementType::f8_e8m0, .shape = {3, 1, 2}});
  for (TensorSpec& tensor : tensors) tensor.role = "";
  return tensors;
}

TensorSpec named(TensorSpec tensor) {
  tensor.name = "model." + tensor.name;
  return tensor;
}

void convert_to(FileSystem& files, const TensorSource& source, const DcpSink::Options& options) {
  DcpSink sink(files, "/d", options);
  sink.declare({source.tensors().begin(), source.tensors().end()}, {{"step", 41}},
               {{"config.json", "{}"}, {"tokenizer.json", "[]"}});
  WorkerPool pool(2);
  convert_tensors(source, sink, pool, nullptr);
  sink.commit();
}

TEST(DcpSink, IsReadAsItWasWritten) {
  for (const int64_t piece : {64, 1000, 1 << 20})
    for (const int64_t file : {2000, 1 << 20}) {
      MemoryFileSystem files;
      const MemorySource source(trained());
      convert_to(files, source, {.piece_bytes = piece, .file_bytes = file});
      const DcpSource read(files, "/d");
      ASSERT_EQ(read.tensors().size(), source.tensors().size());
      for (size_t t = 0; t < source.tensors().size(); ++t) {
        EXPECT_EQ(read.tensors()[t], named(source.tensors()[t]));
        EXPECT_EQ(read_whole(read, t), read_whole(source, t)) << to_string(source.tensors()[t]);
      }
      EXPECT_EQ(read.metadata()["step"], 41);
      ASSERT_EQ(read.left_out().size(), 1u);
      EXPECT_EQ(read.left_out()[0], "optim.state.*.step: 1 times the step, 41");
      EXPECT_EQ(read_file(files, "/d/tokenizer.json"), "[]");
      EXPECT_FALSE(files.info("/d.partial"));
      EXPECT_EQ(files.info("/d/__0_1.distcp").has_value(), file == 2000);
    }
}

// Stops after `left` pieces, as a full disk or a kill would.
class Stopping : public MemorySource {
 public:
  using MemorySource::MemorySource;
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override {
    if (left-- <= 0) throw Error(Fault::environment, {.what = "stopped"});
    MemorySource::read(tensor, rect, into);
  }
  mutable std::atomic<int> left{1 << 30};
};

TEST(DcpSink, GoesOnWhereItWasCutOff) {
  MemoryFileSystem files;
  const DcpSink::Options options{.piece_bytes = 500, .sync_bytes = 600, .keep_partial = true};
  Stopping source(trained());
  WorkerPool pool(1);
  source.left = 40;
  EXPECT_THROW(convert_to(files, source, options), Error);
  source.left = 1 << 30;
  const int before = source.left;
  convert_to(files, source, options);
  const int needed = before - source.left;
  const DcpSource read(files, "/d");
  int64_t all = 0;
  for (size_t t = 0; t < source.tensors().size(); ++t) {
    EXPECT_EQ(read_whole(read, t), read_whole(source, t));
    all += std::ssize(cut_rows(source.tensors()[t].shape, size_of(source.tensors()[t].type), 500));
  }
  EXPECT_LT(needed, all - 30);
}

TEST(DcpSink, WritesThePlacesOfPartsOnce) {  // more than a batch of parts, in one tensor and in many
  MemoryFileSystem files;
  std::vector<TensorSpec> tensors{{.name = "long", .shape = {2500, 4}}};
  for (int i = 0; i < 1100; ++i) tensors.push_back({.name = fmt::format("t{}", i), .shape = {2}});
  const MemorySource source(tensors);
  convert_to(files, source, {.piece_bytes = 16});
  const DcpSource read(files, "/d");
  ASSERT_EQ(read.tensors().size(), tensors.size());
  for (const size_t t : {0, 1, 1000, 1100}) EXPECT_EQ(read_whole(read, t), read_whole(source, t));
}

TEST(Crc32, IsTheKnownOneAndJoins) {
  const std::string check = "123456789";  // the check value of CRC-32/ISO-HDLC
  EXPECT_EQ(crc32(std::as_bytes(std::span(check))), 0xcbf43926u);
  EXPECT_EQ(crc32({}), 0u);
  const std::vector<std::byte> bytes = sample_bytes({.name = "x", .type = ElementType::u8, .shape = {5000}});
  for (const size_t cut : {0, 1, 7, 8, 4096, 5000}) {
    const auto [a, b] = std::pair(std::span(bytes).first(cut), std::span(bytes).subspan(cut));
    EXPECT_EQ(crc32_combine(crc32(a), crc32(b), std::ssize(b)), crc32(bytes)) << cut;
  }
}

// Of which the 64-bit extension is needed: a file with holes.
TEST(TorchArchiveLayout, LargerThan4GiB) {
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  const TensorSpec tensor{.name = "t", .type = ElementType::f32, .shape = {(1 << 30) + 5, 1}};
  const TorchArchiveLayout layout(tensor.type, tensor.shape);
  const std::string path = folder.path() + "/x.pt", head = layout.head(7), tail = layout.tail(7);
  const auto file = files->open(path, OpenMode::create);
  file->write(0, std::as_bytes(std::span(head)));
  file->write(layout.bytes() - std::ssize(tail), std::as_bytes(std::span(tail)));
  const TorchArchive archive = read_torch_archive(*file);
  ASSERT_EQ(archive.tensors.size(), 1u);
  EXPECT_EQ(archive.tensors[0].logical.shape, tensor.shape);
  EXPECT_EQ(archive.tensors[0].offset, layout.data_offset());
  EXPECT_EQ(layout.data_offset() % 64, 0);
}

}  // namespace
}  // namespace strata
