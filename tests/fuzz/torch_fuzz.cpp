// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/torch_source.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace strata;
  MemoryFileSystem files;
  put_file(files, "/x.pt", data, size);
  answered([&] { read_all(TorchSource(files, "/x.pt")); });
  return 0;
}
