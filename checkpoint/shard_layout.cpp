// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/shard_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "checkpoint/hdf5_types.h"
#include "core/base/check.h"

namespace strata {

std::string dataset_name(const TensorSpec& tensor, const Rect& rect) {
  return fmt::format("{}@{}", tensor.name, fmt::join(rect.begin.begin(), rect.begin.end(), ","));
}

std::vector<int64_t> lay_out_shard(File& file, std::span<const ShardEntry> entries) {
  std::vector<int64_t> offsets;
  const Hdf5 library;
  Hdf5File shard(library, file, kPage);
  {
    DatasetMaker maker(shard);
    const Hdf5Id creation = maker.creation_list();
    shard.checked(H5Pset_layout(creation.get(), H5D_CONTIGUOUS), "set a property");
    shard.checked(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), "set a property");
    shard.checked(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), "set a property");
    for (const ShardEntry& entry : entries) {
      check(entry.bytes() > 0, "[shard] an empty fragment of '{}'", entry.tensor.name);
      const Hdf5Id space = hdf5_space(shard, entry.rect.extent);
      const std::string name = dataset_name(entry.tensor, entry.rect);
      const Hdf5Id dataset =
          maker.make(entry.tensor.state, name, entry.tensor.type, space.get(), creation.get());
      const haddr_t offset = H5Dget_offset(dataset.get());
      shard.checked(offset == HADDR_UNDEF ? -1 : 0, "place the dataset '" + name + "'");
      offsets.push_back(static_cast<int64_t>(offset));
      check(entry.bytes() < kPage || offsets.back() % kPage == 0, "[shard] '{}' at {}", name, offsets.back());
    }
  }
  shard.close();
  return offsets;
}

}  // namespace strata
