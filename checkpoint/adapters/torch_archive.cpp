// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/torch_archive.h"

#include <algorithm>

#include "checkpoint/adapters/torch_pickle.h"
#include "checkpoint/adapters/zip_archive.h"
#include "core/base/error.h"

namespace strata {

TorchArchive read_torch_archive(File& file, int64_t offset, std::optional<int64_t> bytes) {
  const std::map<std::string, ZipEntry> entries =
      read_zip_directory(file, offset, bytes.value_or(file.size() - offset));
  const auto refuse = [&](std::string found) {
    throw Error(Fault::model, {.what = "this archive is not what torch.save writes",
                               .where = file.path(),
                               .found = std::move(found)});
  };
  // "<name>/data.pkl"; its neighbours share the name.
  const auto pickled = std::find_if(entries.begin(), entries.end(),
                                    [](const auto& entry) { return entry.first.ends_with("/data.pkl"); });
  if (pickled == entries.end()) refuse("no data.pkl");
  const std::string root = pickled->first.substr(0, pickled->first.size() - 8);
  if (const auto order = entries.find(root + "byteorder"); order != entries.end()) {
    std::string text(static_cast<size_t>(std::min<int64_t>(order->second.bytes, 16)), '\0');
    file.read(order->second.offset, std::as_writable_bytes(std::span(text)));
    if (text != "little") refuse("byte order '" + text + "'");
  }
  FileBytes pickled_bytes(file, pickled->second.offset, pickled->second.bytes);
  TorchArchive archive{.pickle = read_pickle(pickled_bytes, file.path() + ": data.pkl")};
  TorchContents contents = find_torch_tensors(archive.pickle, file.path());
  for (TorchTensor& tensor : contents.tensors) {
    TensorSpec logical{.name = std::move(tensor.name), .type = tensor.type, .shape = tensor.shape};
    // Its size is a number before anything is computed from it; the caller checks the name.
    check_logical({.name = "tensor", .type = tensor.type, .shape = tensor.shape}, file.path());
    const auto storage = entries.find(root + "data/" + tensor.storage);
    if (storage == entries.end())
      refuse(fmt::format("tensor '{}' in storage '{}', which is not there", logical.name,
                         tensor.storage.substr(0, 40)));
    // Its last element must lie in the storage. No overflow: extents and strides are below 2^48.
    const int64_t size = size_of(logical.type), held = storage->second.bytes / size;
    __int128 last = tensor.first;
    for (int d = 0; d < logical.shape.rank(); ++d)
      last += static_cast<__int128>(logical.shape[d] - 1) * tensor.strides[static_cast<size_t>(d)];
    if (tensor.first < 0 || tensor.first > held || (logical.shape.numel() > 0 && last >= held))
      refuse(
          fmt::format("tensor '{}' {} beyond its storage of {} elements", logical.name, logical.shape, held));
    TorchPlace place{.logical = std::move(logical), .offset = storage->second.offset + tensor.first * size};
    for (size_t d = 0; d < place.strides.size(); ++d) place.strides[d] = tensor.strides[d] * size;
    archive.tensors.push_back(std::move(place));
  }
  archive.values = std::move(contents.values);
  return archive;
}

}  // namespace strata
