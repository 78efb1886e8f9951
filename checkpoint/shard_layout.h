// SPDX-License-Identifier: Apache-2.0
// Which bytes of a shard belong to which fragment: HDF5 decides, so that any HDF5 reader finds the data; our
// own I/O then writes it there. format.md describes the file.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "checkpoint/logical.h"
#include "core/io/file.h"

namespace strata {

inline constexpr int64_t kPage = 4096;  // fragments of at least this many bytes begin at a multiple of it

// One fragment as a dataset: "/<state>/<name>@<begin 0>,<begin 1>". Not empty.
struct ShardEntry {
  TensorSpec tensor;
  Rect rect;

  int64_t bytes() const { return rect.numel() * size_of(tensor.type); }
};

std::string dataset_name(const TensorSpec& tensor, const Rect& rect);  // without the group

// Makes `file` an HDF5 file with a contiguous dataset per entry, allocated and not filled. Returns the offset
// of each. The file then ends behind the last byte that HDF5 gave away. Throws what `file` threw, or
// Error(environment).
std::vector<int64_t> lay_out_shard(File& file, std::span<const ShardEntry> entries);

}  // namespace strata
