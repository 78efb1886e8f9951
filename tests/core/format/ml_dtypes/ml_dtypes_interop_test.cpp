// SPDX-License-Identifier: Apache-2.0
// Rounding to 8-bit formats against ml_dtypes: 10^8 random floats, and all bf16. Needs a Python with the
// package ml_dtypes: STRATA_INTEROP_PYTHON, or the virtual environment tests/interop/venv. Without one it is
// skipped, or fails where STRATA_INTEROP=required.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "core/format/fp8.h"
#include "core/format/ue8m0.h"

namespace strata {
namespace {

const std::string kSource = STRATA_SOURCE_DIR;

// Empty: there is none with ml_dtypes.
std::string python() {
  const char* const named = std::getenv("STRATA_INTEROP_PYTHON");
  const std::string path = named != nullptr ? named : kSource + "/tests/interop/venv/bin/python3";
  const std::string command = "'" + path + "' -c 'import ml_dtypes' 2>/dev/null";
  return std::filesystem::exists(path) && std::system(command.c_str()) == 0 ? path : "";
}

class Peer {
 public:
  Peer(const std::string& python, const std::string& format)
      : pipe_(::popen(
            ("'" + python + "' '" + kSource + "/tests/interop/ml_dtypes_test.py' " + format).c_str(), "w")) {}
  void send(const std::vector<float>& values, const std::vector<uint8_t>& codes) {
    const auto count = static_cast<uint32_t>(values.size());
    std::fwrite(&count, sizeof count, 1, pipe_);
    std::fwrite(values.data(), sizeof(float), values.size(), pipe_);
    std::fwrite(codes.data(), 1, codes.size(), pipe_);
  }
  bool agrees() {
    const int status = ::pclose(pipe_);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  FILE* pipe_;
};

TEST(MlDtypesInterop, RoundsEveryFloatAlike) {
  const std::string path = python();
  if (path.empty()) {
    const char* const wish = std::getenv("STRATA_INTEROP");
    if (wish != nullptr && std::string(wish) == "required") FAIL() << "no Python with ml_dtypes";
    GTEST_SKIP() << "no Python with ml_dtypes: set STRATA_INTEROP_PYTHON or make tests/interop/venv";
  }
  constexpr size_t kChunk = 4'000'000;
  constexpr int kChunks = 25;
  const auto compare = [&](const std::string& format, const auto& encode_one) {
    Peer peer(path, format);
    std::mt19937 random(17);
    std::vector<float> values(0x10000);
    for (uint32_t bits = 0; bits < 0x10000; ++bits) values[bits] = std::bit_cast<float>(bits << 16);
    for (int chunk = 0; chunk <= kChunks; ++chunk) {
      std::vector<uint8_t> codes;
      codes.reserve(values.size());
      for (const float value : values) codes.push_back(encode_one(value));
      peer.send(values, codes);
      values.resize(kChunk);
      // Half of them where the formats' values lie: random bits alone are mostly far outside.
      for (size_t i = 0; i < kChunk; ++i) {
        const auto bits = static_cast<uint32_t>(random());
        const uint32_t exponent = 127 - 18 + (bits >> 23) % 36;
        values[i] = std::bit_cast<float>(i % 2 == 0 ? bits : (bits & 0x807FFFFFu) | exponent << 23);
      }
    }
    EXPECT_TRUE(peer.agrees()) << format;
  };
  compare("e4m3", [](float x) { return encode(Fp8Format::e4m3, x); });
  compare("e5m2", [](float x) { return encode(Fp8Format::e5m2, x); });
  compare("ue8m0", [](float x) { return Ue8m0::encode(x); });
}

}  // namespace
}  // namespace strata
