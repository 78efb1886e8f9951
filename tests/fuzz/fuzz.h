// SPDX-License-Identifier: Apache-2.0
// What the fuzzers share: bytes as a file, and refusals that are as they should be.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/logical.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"

namespace strata {

inline void put_file(FileSystem& files, const std::string& path, const uint8_t* data, size_t size) {
  files.open(path, OpenMode::create)->write(0, std::as_bytes(std::span(data, size)));
}

// Errors are answers; anything else (a broken contract, bad_alloc) is a finding.
template <typename Body>
void answered(const Body& body) {
  try {
    body();
  } catch (const Error&) {
  }
}

// Every byte of every tensor of a source that was accepted.
inline void read_all(const TensorSource& source) {
  for (size_t t = 0; t < source.tensors().size(); ++t) {
    const TensorSpec& tensor = source.tensors()[t];
    if (tensor.bytes() > (int64_t{1} << 20)) continue;  // strides may say the same byte many times
    std::vector<std::byte> bytes(static_cast<size_t>(tensor.bytes()));
    source.read(t, Rect::whole(tensor.shape), row_major(bytes.data(), tensor.shape, size_of(tensor.type)));
  }
}

}  // namespace strata
