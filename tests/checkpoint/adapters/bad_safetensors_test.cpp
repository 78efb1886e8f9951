// SPDX-License-Identifier: Apache-2.0
// safetensors that are damaged or hostile: a clear refusal, in little memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "checkpoint/adapters/safetensors_header.h"
#include "checkpoint/adapters/safetensors_source.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/sample.h"

namespace strata {
namespace {

std::string file_of(const std::string& json, size_t data_bytes) {
  const uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + json + std::string(data_bytes, 'x');
}

// What reading a file of this content says; empty when nothing is wrong.
std::string safetensors_fault(const std::string& content) {
  MemoryFileSystem files;
  const std::string path = "/model.safetensors";
  const auto file = files.open(path, OpenMode::create);
  file->write(0, std::as_bytes(std::span(content)));
  try {
    const SafetensorsSource source(files, path);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::model);
    return error.what();
  }
}

struct Case {
  std::string content, fault;  // an empty fault: the file is good
};

TEST(BadSafetensors, EachFaultIsNamed) {
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  const auto one = [](const std::string& fields) { return R"({"a":{)" + fields + "}}"; };
  const Case cases[] = {
      {file_of(good, 8), ""},
      {file_of(good + "   ", 8), ""},
      {file_of("{}", 0), ""},
      {file_of(R"({"__metadata__":{"k":"v"}})", 0), ""},
      {file_of(one(R"("dtype":"I64","shape":[],"data_offsets":[0,8])"), 8), ""},
      {file_of(one(R"("dtype":"F32","shape":[0,9],"data_offsets":[0,0])"), 0), ""},
      {"", "0 bytes"},
      {"1234567", "7 bytes"},
      {std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}"), "a header of 18446744073709551615 bytes"},
      {file_of(good, 8).substr(0, 30), "a file of 30 bytes"},
      {file_of(good, 7), "where the last tensor ends"},
      {file_of(good, 9), "where the last tensor ends"},
      {file_of("", 0), "other than an object"},
      {file_of(" " + good, 8), "other than an object"},
      {file_of("[]", 0), "other than an object"},
      {file_of(good + "x", 8), "no JSON"},
      {file_of(good.substr(0, good.size() - 1), 8), "no JSON"},
      {file_of("{\"\xff\":{}}", 0), "no JSON"},
      {file_of(one(R"("dtype":"F32","shape":[2])"), 8), "missing"},
      {file_of(one(R"("dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8])"), 8), "shape twice"},
      {file_of(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1)"), 8), "the key 'x'"},
      {file_of(one(R"("dtype":"C64","shape":[1],"data_offsets":[0,8])"), 8), "dtype 'C64'"},
      {file_of(one(R"("dtype":1,"shape":[1],"data_offsets":[0,8])"), 8), "a number"},
      {file_of(one(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), 8), "a negative number"},
      {file_of(one(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), 8), "a number with a point"},
      {file_of(one(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), 8), "a list"},
      {file_of(one(R"("dtype":"F32","shape":[1,1,1,1,1,2],"data_offsets":[0,8])"), 8), "more than 5 dims"},
      {file_of(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,9])"), 8), "more than two offsets"},
      {file_of(one(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), 8), "other than two offsets"},
      {file_of(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), 4), "8 bytes: f32 [2]"},
      {file_of(one(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), 8), "begins at byte 8"},
      {file_of(one(R"("dtype":"F32","shape":[2],"data_offsets":[4,12])"), 12), "begins at byte 4"},
      {file_of(one(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])"), 0),
       "impossible shape"},
      {file_of(one(R"("dtype":"F32","shape":[4611686018427387904,0],"data_offsets":[0,0])"), 0),
       "impossible shape"},
      {file_of(one(R"("dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8])"), 8),
       "a number with a point"},
      {file_of(
           R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
           3),
       "tensor 'b' begins at byte 1"},
      {file_of(
           R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})",
           5),
       "tensor 'b' begins at byte 3"},
      {file_of(
           R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
           4),
       "tensor 'a' twice"},
      {file_of(R"({"../a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2),
       "a name that no checkpoint holds"},
      {file_of("{\"" + std::string(600, 'a') + "\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
               2),
       "more than 512 bytes"},
      {file_of(R"({"__metadata__":{"k":1}})", 0), "a number"},
      {file_of(R"({"__metadata__":{"k":{}}})", 0), "an object"},
      {file_of(R"({"__metadata__":{"k":"a","k":"b"}})", 0), "'k' twice"},
      {file_of(R"({"__metadata__":{},"__metadata__":{}})", 0), "'__metadata__' twice"},
      {file_of(std::string(100000, '{'), 0), "no JSON"},
      {file_of("{\"a\":" + std::string(100000, '['), 0), "a list"},
  };
  for (const Case& c : cases) {
    const std::string found = safetensors_fault(c.content);
    if (c.fault.empty())
      EXPECT_EQ(found, "") << c.content.substr(8, 100);
    else
      EXPECT_THAT(found, testing::HasSubstr(c.fault)) << c.content.substr(0, 100);
  }
}

// The file says more than memory holds, but is too short for it: nothing is allocated for what is not there.
TEST(BadSafetensors, AHeaderOfManyTensorsIsRefusedInLittleMemory) {
  std::string json = "{";
  for (int i = 0; json.size() < (15u << 20); ++i)
    json += fmt::format(R"("{}":{{"dtype":"U8","shape":[],"data_offsets":[0,1]}},)", i);
  json.back() = '}';
  EXPECT_THAT(safetensors_fault(file_of(json, 1)), testing::HasSubstr("more than 200000 tensors"));
}

TEST(BadSafetensors, EveryByteFlippedIsRefusedOrReadsInBounds) {
  const std::string content = file_of(
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[2,3],"data_offsets":[8,14]}})",
      14);
  int refused = 0;
  for (size_t at = 0; at < content.size() * 8; ++at) {
    std::string damaged = content;
    damaged[at / 8] = static_cast<char>(damaged[at / 8] ^ (1 << (at % 8)));
    refused += safetensors_fault(damaged).empty() ? 0 : 1;
  }
  EXPECT_GT(refused, static_cast<int>(content.size() * 4));
}

class BadIndex : public testing::Test {
 protected:
  std::string fault(const std::string& index) {
    replace_file(*files_, folder_.path() + "/model.safetensors.index.json", index);
    try {
      const SafetensorsSource source(*files_, folder_.path());
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  }
  void file(const std::string& name, const std::string& tensor) {
    replace_file(*files_, folder_.path() + "/" + name,
                 file_of("{\"" + tensor + R"(":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2));
  }

  TemporaryFolder folder_;
  std::unique_ptr<FileSystem> files_ = make_posix_file_system();
};

TEST_F(BadIndex, IsRefused) {
  file("x.safetensors", "a");
  file("y.safetensors", "b");
  EXPECT_EQ(fault(R"({"metadata":{"total_size":4},"weight_map":{"a":"x.safetensors","b":"y.safetensors"}})"),
            "");
  const Case cases[] = {
      {R"({"weight_map":{"a":"x.safetensors"})", "no JSON"},
      {"", "no JSON"},
      {"[]", "a list"},
      {"{}", "no weight_map"},
      {R"({"weight_map":{"a":1}})", "other than the name of a file"},
      {R"({"weight_map":{"a":{}}})", "other than the name of a file"},
      {R"({"weight_map":{"a":[]}})", "a list"},
      {R"({"weight_map":{"a":"../x.safetensors"}})", "the file name '../x.safetensors'"},
      {R"({"weight_map":{"a":"/etc/passwd"}})", "the file name '/etc/passwd'"},
      {R"({"weight_map":{"a":"x.safetensors","a":"x.safetensors"}})", "tensor 'a' twice"},
      {R"({"weight_map":{},"weight_map":{}})", "weight_map twice"},
      {R"({"weight_map":{"a":"x.safetensors","c":"x.safetensors","b":"y.safetensors"}})",
       "'c' is not in x.safetensors"},
      {R"({"weight_map":{"b":"x.safetensors","a":"y.safetensors"}})",
       "'a' lies in x.safetensors, the index says y.safetensors"},
      {R"({"weight_map":{"a":"x.safetensors","b":"gone.safetensors"}})", "gone.safetensors"},
      {R"({"x":)" + std::string(1000, '['), "more than 8 levels"},
  };
  for (const Case& c : cases)
    EXPECT_THAT(fault(c.content), testing::HasSubstr(c.fault)) << c.content.substr(0, 80);
}

TEST_F(BadIndex, ASymbolicLinkIsRefused) {
  file("y.safetensors", "a");
  std::filesystem::create_symlink(folder_.path() + "/y.safetensors", folder_.path() + "/x.safetensors");
  EXPECT_THAT(fault(R"({"weight_map":{"a":"x.safetensors"}})"), testing::HasSubstr("ELOOP"));
}

}  // namespace
}  // namespace strata
