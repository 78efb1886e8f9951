// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/safetensors_source.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace strata;
  MemoryFileSystem files;
  put_file(files, "/x.safetensors", data, size);
  answered([&] { read_all(SafetensorsSource(files, "/x.safetensors")); });
  return 0;
}
