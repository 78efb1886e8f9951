// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/pickle.h"
#include "checkpoint/adapters/torch_pickle.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace strata;
  MemoryFileSystem files;
  put_file(files, "/x", data, size);
  const auto file = files.open("/x", OpenMode::read_plain);
  answered([&] {
    FileBytes bytes(*file, 0, static_cast<int64_t>(size));
    const Pickle pickle = read_pickle(bytes, "x");
    to_string(pickle, pickle.root);
    find_torch_tensors(pickle, "x");
  });
  return 0;
}
