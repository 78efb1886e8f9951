// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/gguf_model.h"
#include "checkpoint/adapters/gguf_source.h"
#include "checkpoint/adapters/gguf_tokenizer.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace strata;
  MemoryFileSystem files;
  put_file(files, "/x.gguf", data, size);
  answered([&] {
    const GgufSource source(files, "/x.gguf");
    read_all(source);
    answered([&] { make_gguf_tokenizer(source); });
    parse_gguf_model(source);
  });
  return 0;
}
