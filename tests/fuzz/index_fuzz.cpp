// SPDX-License-Identifier: Apache-2.0
// Indexes of sharded models, and config.json.
#include "checkpoint/adapters/hf_config.h"
#include "checkpoint/adapters/safetensors_index.h"
#include "checkpoint/strict_json.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace strata;
  MemoryFileSystem files;
  put_file(files, "/x.json", data, size);
  answered([&] { read_safetensors_index(files, "/x.json"); });
  answered([&] {
    parse_hf_config(
        parse_strict_json({reinterpret_cast<const char*>(data), size}, "x", {.depth = 32, .values = 10'000}),
        "x");
  });
  return 0;
}
