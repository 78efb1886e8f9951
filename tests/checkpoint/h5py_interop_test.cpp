// SPDX-License-Identifier: Apache-2.0
// h5py opens view.h5 and finds every logical tensor whole, and every fragment in its shard. Needs a Python
// with h5py: STRATA_INTEROP_PYTHON. Without one the test is skipped, or fails where STRATA_INTEROP=required.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "checkpoint/strata_source.h"
#include "tests/checkpoint/sample.h"
#include "tests/support/hex.h"

namespace strata {
namespace {

using nlohmann::json;

json read_by_h5py(const std::string& python, const std::string& folder) {
  const std::string command =
      fmt::format("'{}' '{}/tests/interop/h5py_test.py' '{}'", python, STRATA_SOURCE_DIR, folder);
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot start " + command);
  std::string output;
  char buffer[4096];
  for (size_t n; (n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) output.append(buffer, n);
  const int status = ::pclose(pipe);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << command;
  return json::parse(output);
}

// bf16 as f32, NaN as zero: what the script prints.
std::vector<std::byte> widened(const std::vector<std::byte>& bf16) {
  std::vector<std::byte> wide(bf16.size() * 2);
  for (size_t i = 0; i < bf16.size() / 2; ++i) {
    uint16_t bits;
    std::memcpy(&bits, bf16.data() + 2 * i, 2);
    float value = std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
    if (std::isnan(value)) value = 0;
    std::memcpy(wide.data() + 4 * i, &value, 4);
  }
  return wide;
}

TEST(H5pyInterop, ReadsEveryTensorWhole) {
  const char* const python = std::getenv("STRATA_INTEROP_PYTHON");
  if (python == nullptr) {
    const char* const wish = std::getenv("STRATA_INTEROP");
    if (wish != nullptr && std::string(wish) == "required") FAIL() << "no Python with h5py";
    GTEST_SKIP() << "no Python with h5py: set STRATA_INTEROP_PYTHON";
  }
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  const std::string path = folder.path() + "/c";
  write_sample(*files, path);
  const json found = read_by_h5py(python, path);
  const StrataSource source(*files, path);
  const json& view = found.at("view.h5");
  EXPECT_EQ(view.size(), source.tensors().size());
  for (const TensorSpec& tensor : source.tensors()) {
    const std::string name = tensor.state + "/" + tensor.name;
    ASSERT_TRUE(view.contains(name)) << name;
    std::vector<int64_t> shape(tensor.shape.begin(), tensor.shape.end());
    if (shape.empty()) shape.push_back(1);
    EXPECT_EQ(view[name]["shape"], json(shape)) << name;
    const auto bytes = sample_bytes(tensor);
    EXPECT_EQ(view[name]["bytes"], hex(tensor.type == ElementType::bf16 ? widened(bytes) : bytes)) << name;
    const bool labelled = tensor.type == ElementType::f8_e4m3 || tensor.type == ElementType::boolean;
    EXPECT_EQ(view[name].value("label", ""), labelled ? std::string(strata::name(tensor.type)) : "") << name;
  }
  size_t fragments = 0, datasets = 0;
  for (const ManifestTensor& tensor : source.manifest().tensors) fragments += tensor.fragments.size();
  for (const auto& [file, rows] : found.items())
    if (file != "view.h5") datasets += rows.size();
  EXPECT_EQ(datasets, fragments);
}

}  // namespace
}  // namespace strata
