// SPDX-License-Identifier: Apache-2.0
// The manifest's own hash would stop nearly every input: it is put right first.
#include "checkpoint/manifest.h"
#include "checkpoint/sha256.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace strata;
  std::string text(reinterpret_cast<const char*>(data), size);
  const std::string end = "\"sha256\":\"";
  if (const size_t at = text.rfind(end); at != std::string::npos) {
    text.resize(at + end.size());
    text += sha256_hex(text) + "\"}\n";
  }
  answered([&] { parse_manifest(text, "x"); });
  return 0;
}
