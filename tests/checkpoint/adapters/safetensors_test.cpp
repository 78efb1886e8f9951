// SPDX-License-Identifier: Apache-2.0
// safetensors: what is written is read back, any rectangle of it, into memory of any strides; a conversion
// that was cut off goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoint/adapters/safetensors_sink.h"
#include "checkpoint/adapters/safetensors_source.h"
#include "core/base/error.h"
#include "tests/checkpoint/sample.h"

namespace strata {
namespace {

std::vector<TensorSpec> weights() {
  std::vector<TensorSpec> tensors = sample_tensors();
  std::erase_if(tensors, [](const TensorSpec& tensor) { return tensor.state != "param"; });
  for (TensorSpec& tensor : tensors) tensor.role.clear();
  return tensors;
}

// Writes the pieces of `sink` for which `wanted` says so.
void write_pieces(TensorSink& sink, const std::vector<TensorSpec>& tensors,
                  const std::function<bool(int)>& wanted) {
  int count = 0;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const auto whole = sample_bytes(tensors[t]);
    const int64_t size = size_of(tensors[t].type);
    const std::vector<Rect> pieces = sink.pieces(t);
    for (size_t p = 0; p < pieces.size(); ++p) {
      if (sink.kept(t, p) || !wanted(count++)) continue;
      std::vector<std::byte> part(static_cast<size_t>(pieces[p].numel() * size));
      copy_rect(pieces[p], Rect::whole(tensors[t].shape), whole.data(), pieces[p],
                row_major(part.data(), pieces[p].extent, size), size);
      sink.write(t, pieces[p], part);
    }
  }
}

void write_weights(FileSystem& files, const std::string& path, int64_t file_bytes) {
  SafetensorsSink sink(files, path, {.piece_bytes = 1000, .file_bytes = file_bytes});
  sink.declare(weights(), {{"__metadata__", {{"note", "x"}}}}, {{"config.json", "{}"}});
  write_pieces(sink, weights(), [](int) { return true; });
  sink.commit();
}

size_t index_of(const TensorSource& source, const std::string& name) {
  for (size_t t = 0; t < source.tensors().size(); ++t)
    if (source.tensors()[t].name == name) return t;
  ADD_FAILURE() << name;
  return 0;
}

TEST(Safetensors, WhatIsWrittenIsReadBack) {
  for (const int64_t file_bytes : {int64_t{1} << 30, int64_t{4000}, int64_t{1}}) {
    const TemporaryFolder folder;
    const auto files = make_posix_file_system();
    const std::string path = folder.path() + "/model";
    write_weights(*files, path, file_bytes);
    const SafetensorsSource source(*files, path);
    ASSERT_EQ(source.tensors().size(), weights().size());
    EXPECT_EQ(source.format() == "safetensors", file_bytes == int64_t{1} << 30) << source.format();
    EXPECT_EQ(source.metadata().at("__metadata__").at("note"), "x");
    for (const TensorSpec& tensor : weights()) {
      const size_t t = index_of(source, tensor.name);
      EXPECT_EQ(source.tensors()[t], tensor);
      EXPECT_EQ(read_whole(source, t), sample_bytes(tensor)) << tensor.name;
    }
    EXPECT_EQ(read_file(*files, path + "/config.json"), "{}");
    EXPECT_FALSE(files->info(path + "/.journal"));
    EXPECT_FALSE(files->info(path + ".partial"));
  }
}

// A large tensor too, so that reads with gaps are cut.
TEST(Safetensors, AnyRectangleComesIntoMemoryOfAnyStrides) {
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  const TensorSpec tensor{.name = "big", .type = ElementType::bf16, .shape = {700, 5, 1501}};
  const auto whole = sample_bytes(tensor);
  {
    SafetensorsSink sink(*files, folder.path() + "/m", {});
    sink.declare({tensor}, {}, {});
    for (const Rect& piece : sink.pieces(0)) {
      ASSERT_EQ(piece, Rect::whole(tensor.shape));
      sink.write(0, piece, whole);
    }
    sink.commit();
  }
  const SafetensorsSource source(*files, folder.path() + "/m");
  const Rect rects[] = {
      {{0, 0, 0}, {700, 5, 1501}}, {{3, 1, 7}, {1, 1, 1}},      {{10, 0, 0}, {300, 5, 1501}},
      {{0, 2, 0}, {700, 1, 1501}}, {{0, 4, 1500}, {700, 1, 1}}, {{5, 1, 3}, {690, 3, 1490}},
      {{0, 0, 1}, {700, 5, 2}},    {{699, 4, 0}, {1, 1, 1501}}, {{1, 1, 1}, {0, 3, 3}}};
  for (const Rect& rect : rects) {
    std::vector<std::byte> want(static_cast<size_t>(rect.numel() * 2)), got(want.size()), turned(want.size());
    copy_rect(rect, Rect::whole(tensor.shape), whole.data(), rect, row_major(want.data(), rect.extent, 2), 2);
    source.read(0, rect, row_major(got.data(), rect.extent, 2));
    EXPECT_EQ(got, want) << to_string(rect.begin) << to_string(rect.extent);
    // As [dim 2][dim 0][dim 1].
    const int64_t e0 = rect.extent[0], e1 = rect.extent[1];
    source.read(0, rect, {turned.data(), {2 * e1, 2, 2 * e0 * e1}});
    for (int64_t i = 0; i < e0; ++i)
      for (int64_t j = 0; j < e1; ++j)
        for (int64_t k = 0; k < rect.extent[2]; ++k)
          ASSERT_EQ(std::memcmp(&turned[static_cast<size_t>(2 * ((k * e0 + i) * e1 + j))],
                                &want[static_cast<size_t>(2 * ((i * e1 + j) * rect.extent[2] + k))], 2),
                    0);
  }
}

TEST(Safetensors, AConversionThatWasCutOffGoesOn) {
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  const std::string path = folder.path() + "/m";
  const auto sink = [&](const std::string& identity) {
    auto made = std::make_unique<SafetensorsSink>(*files, path,
                                                  SafetensorsSink::Options{.piece_bytes = 1000,
                                                                           .file_bytes = 9000,
                                                                           .sync_bytes = 1,
                                                                           .keep_partial = true,
                                                                           .identity = identity});
    made->declare(weights(), {}, {});
    return made;
  };
  const auto kept = [&](const TensorSink& made) {
    int count = 0;
    for (size_t t = 0; t < weights().size(); ++t)
      for (size_t p = 0; p < made.pieces(t).size(); ++p) count += made.kept(t, p) ? 1 : 0;
    return count;
  };
  write_pieces(*sink("a"), weights(), [](int n) { return n < 10; });
  EXPECT_FALSE(files->info(path));
  EXPECT_EQ(kept(*sink("a")), 10);
  // A torn line of the journal counts for nothing.
  const auto journal = files->open(path + ".partial/.journal", OpenMode::update);
  journal->truncate(journal->size() - 3);
  auto again = sink("a");
  EXPECT_EQ(kept(*again), 9);
  EXPECT_EQ(again->kept(0, 0),
            digest_of(weights()[0].shape, again->pieces(0)[0], 4, sample_bytes(weights()[0]).data()));
  write_pieces(*again, weights(), [](int) { return true; });
  again->commit();
  const SafetensorsSource source(*files, path);
  for (const TensorSpec& tensor : weights())
    EXPECT_EQ(read_whole(source, index_of(source, tensor.name)), sample_bytes(tensor)) << tensor.name;
}

TEST(Safetensors, AnotherConversionBeginsAnew) {
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  const std::string path = folder.path() + "/m";
  for (const char* identity : {"a", "b"}) {
    SafetensorsSink sink(*files, path,
                         {.piece_bytes = 1000, .sync_bytes = 1, .keep_partial = true, .identity = identity});
    sink.declare(weights(), {}, {});
    EXPECT_FALSE(sink.kept(0, 0));
    write_pieces(sink, weights(), [](int n) { return n < 10; });
  }
  files->make_directory(path);
  EXPECT_THROW(SafetensorsSink(*files, path, {}), Error);
}

TEST(Safetensors, AFolderOfOthersIsNotRemoved) {
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  files->make_directory(folder.path() + "/m.partial");
  replace_file(*files, folder.path() + "/m.partial/thesis.txt", std::string_view("precious"));
  SafetensorsSink sink(*files, folder.path() + "/m", {});
  EXPECT_THROW(sink.declare(weights(), {}, {}), Error);
  EXPECT_EQ(read_file(*files, folder.path() + "/m.partial/thesis.txt"), "precious");
}

}  // namespace
}  // namespace strata
