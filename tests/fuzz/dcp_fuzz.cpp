// SPDX-License-Identifier: Apache-2.0
// A folder of DCP: four bytes say how long .metadata is, the rest is the one file of tensors.
#include <algorithm>
#include <cstring>

#include "checkpoint/adapters/dcp_source.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace strata;
  uint32_t said = 0;
  if (size < sizeof(said)) return 0;
  std::memcpy(&said, data, sizeof(said));
  data += sizeof(said);
  size -= sizeof(said);
  const size_t metadata = std::min<size_t>(said, size);
  MemoryFileSystem files;
  files.make_directory("/c");
  put_file(files, "/c/.metadata", data, metadata);
  put_file(files, "/c/__0_0.distcp", data + metadata, size - metadata);
  answered([&] { read_all(DcpSource(files, "/c")); });
  return 0;
}
