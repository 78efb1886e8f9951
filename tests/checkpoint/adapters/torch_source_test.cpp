// SPDX-License-Identifier: Apache-2.0
// What torch.save writes is read without Python, and what is damaged or hostile is refused, in little memory,
// with nothing run. tests/golden/make_torch_save.py made the files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoint/adapters/torch_source.h"
#include "checkpoint/adapters/zip_archive.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/sample.h"
#include "tests/support/hex.h"

namespace strata {
namespace {

const std::string kTorchGolden = std::string(STRATA_SOURCE_DIR) + "/tests/golden/torch_save/kinds";

TEST(TorchSource, EveryKindOfTensorIsRead) {
  const auto files = make_posix_file_system();
  const auto want = nlohmann::json::parse(read_file(*files, kTorchGolden + ".json"));
  ASSERT_TRUE(TorchSource::recognises(*files, kTorchGolden + ".pt"));
  const TorchSource source(*files, kTorchGolden + ".pt");
  ASSERT_EQ(source.tensors().size(), want.size());
  for (size_t t = 0; t < source.tensors().size(); ++t) {
    const TensorSpec& tensor = source.tensors()[t];
    ASSERT_TRUE(want.contains(tensor.name)) << tensor.name;
    EXPECT_EQ(std::vector<int64_t>(tensor.shape.begin(), tensor.shape.end()),
              want[tensor.name]["shape"].get<std::vector<int64_t>>());
    EXPECT_EQ(hex(read_whole(source, t)), want[tensor.name]["bytes"]) << to_string(tensor);
  }
  const auto& values = source.metadata()["values"];
  EXPECT_EQ(values["iteration"], "1234");
  EXPECT_EQ(values["huge"], "0x10000000000000000000000000");
  EXPECT_EQ(values["optimizer.param_groups.0.betas"], "(0.9, 0.95)");
  EXPECT_THAT(values["args"].get<std::string>(), testing::HasSubstr("argparse.Namespace"));
}

std::string torch_fault(const std::string& content) {
  MemoryFileSystem files;
  files.open("/x.pt", OpenMode::create)->write(0, std::as_bytes(std::span(content)));
  try {
    const TorchSource source(files, "/x.pt");
    for (size_t t = 0; t < source.tensors().size(); ++t) read_whole(source, t);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(TorchSource, EveryByteFlippedIsRefusedOrReadsInBounds) {
  const auto files = make_posix_file_system();
  const std::string whole = read_file(*files, kTorchGolden + ".pt");
  ASSERT_EQ(torch_fault(whole), "");
  int refused = 0;
  for (size_t at = 0; at < whole.size(); at += 3) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    refused += torch_fault(damaged).empty() ? 0 : 1;
    if (at % 16 == 0) {
      EXPECT_NE(torch_fault(whole.substr(0, at)), "");
    }
  }
  EXPECT_GT(refused, 100);
}

// A stored archive with one entry.
std::string archive(const std::string& pickle) {
  const std::string name = "x/data.pkl";
  const auto u16 = [](size_t v) { return std::string{static_cast<char>(v), static_cast<char>(v >> 8)}; };
  const auto u32 = [&](size_t v) { return u16(v & 0xffff) + u16(v >> 16); };
  const std::string sizes = u32(0) + u32(pickle.size()) + u32(pickle.size()) + u16(name.size()) + u16(0);
  const std::string local = "PK\x03\x04" + u16(10) + u16(0) + u16(0) + u32(0) + sizes + name + pickle;
  const std::string central = "PK\x01\x02" + u16(10) + u16(10) + u16(0) + u16(0) + u32(0) + sizes + u16(0) +
                              u16(0) + u16(0) + u32(0) + u32(0) + name;
  return local + central + "PK\x05\x06" + u16(0) + u16(0) + u16(1) + u16(1) + u32(central.size()) +
         u32(local.size()) + u16(0);
}

TEST(TorchSource, NothingIsEverRun) {
  // cos\nsystem\n('touch ...')R: what an attack looks like.
  std::string attack = "\x80\x02";
  attack += "cposix\nsystem\nX";
  attack += std::string{16, 0, 0, 0};
  attack += "touch /tmp/owned\x85R.";
  const std::string content = archive(attack);
  MemoryFileSystem files;
  files.open("/x.pt", OpenMode::create)->write(0, std::as_bytes(std::span(content)));
  const TorchSource source(files, "/x.pt");
  EXPECT_TRUE(source.tensors().empty());
  EXPECT_THAT(source.metadata().dump(), testing::HasSubstr("<posix.system, ('touch /tmp/owned')>"));
}

TEST(TorchSource, HostilePicklesAreRefused) {
  const auto u32 = [](uint32_t v) { return std::string(reinterpret_cast<const char*>(&v), 4); };
  struct Case {
    std::string pickle, fault;
  };
  std::string nested = "N", wide, doubling = "]q" + std::string(1, '\0');
  for (int i = 0; i < 100; ++i) nested += "\x85";
  for (int i = 0; i < 300000; ++i) wide += "N";
  // A list of two of the list before, and so on: 2^40 leaves of 40 lists.
  std::string bomb = "]";
  for (int i = 0; i < 40; ++i)
    bomb += "q" + std::string(1, static_cast<char>(i)) + "(h" + std::string(1, static_cast<char>(i)) + "h" +
            std::string(1, static_cast<char>(i)) + "l";
  const Case cases[] = {
      {"", "its end too early"},
      {"\x80\x09.", "protocol 9"},
      {".", "a value missing"},
      {"(.", "a value missing"},
      {"t.", "a mark missing"},
      {"h\x05.", "memo 5, which was not set"},
      {"r" + u32(4000000000u), "memo 4000000000"},
      {"X" + u32(4000000000u) + "abc", "bytes of text"},
      {"X" + u32(100) + "abc", "its end too early"},
      {"\x8d" + std::string(8, '\xff'), "bytes of text"},
      {"Na.", "a value missing"},
      {"NNa.", "items for what holds none"},
      {"}(Nu.", "a key without a value"},
      {"c" + std::string(2000, 'x') + "\n", "a line of more than"},
      {"i", "opcode 0x69"},
      {"NN\x93.", "a class without a name"},
      {nested + ".", "more than 32 levels"},
      {wide + ".", "more than"},
      {"]q" + std::string(1, '\0') + "h" + std::string(1, '\0') + "a.", "more than 32 levels"},
      {bomb + ".", "more than 32 levels"},
      {"ctorch._utils\n_rebuild_tensor_v2\n)R.", "no tensor that can be read"},
      {"ctorch._utils\n_rebuild_parameter\n)R.", "a parameter without its tensor"},
  };
  for (const Case& c : cases)
    EXPECT_THAT(torch_fault(archive(c.pickle)), testing::HasSubstr(c.fault)) << c.pickle.substr(0, 40);
}

TEST(TorchSource, HostileArchivesAreRefused) {
  const std::string good = archive("N.");
  ASSERT_EQ(torch_fault(good), "");
  const auto with = [&](size_t at, const std::string& bytes) {
    return std::string(good).replace(at, bytes.size(), bytes);
  };
  const size_t central = 30 + 10 + 2, end = central + 46 + 10;
  EXPECT_THAT(torch_fault("PK\x03\x04"), testing::HasSubstr("no directory at its end"));
  EXPECT_THAT(torch_fault(with(central + 10, "\x08")), testing::HasSubstr("is compressed"));
  EXPECT_THAT(torch_fault(with(central + 8, "\x01")), testing::HasSubstr("is encrypted"));
  EXPECT_THAT(torch_fault(with(central + 20, "\xff\xff\xff\x7f\xff\xff\xff\x7f")),
              testing::HasSubstr("lies outside the file"));
  EXPECT_THAT(torch_fault(with(central + 42, "\xff\xff\xff\x7f")),
              testing::HasSubstr("lies outside the file"));
  EXPECT_THAT(torch_fault(with(central + 20, "\x30")), testing::HasSubstr("is compressed"));
  EXPECT_THAT(torch_fault(with(central + 20, std::string("\x30\0\0\0\x30", 5))),
              testing::HasSubstr("overlaps the directory"));
  EXPECT_THAT(torch_fault(with(central + 46, "y")), testing::HasSubstr("has another header"));
  EXPECT_THAT(torch_fault(with(end + 10, "\x02")), testing::HasSubstr("no directory entry 1 of 2"));
  EXPECT_THAT(torch_fault(with(end + 12, "\xff\xff\xff\xff")), testing::HasSubstr("a directory of"));
  EXPECT_THAT(torch_fault(with(end + 16, "\xff\xff\xff\xff")),
              testing::HasSubstr("a directory outside the file"));
  EXPECT_THAT(
      torch_fault(archive("N.").replace(30, 10, "x/data.pkx").replace(central + 46, 10, "x/data.pkx")),
      testing::HasSubstr("no data.pkl"));
}

}  // namespace
}  // namespace strata
