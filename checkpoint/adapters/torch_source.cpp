// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/torch_source.h"

#include <algorithm>

#include "checkpoint/adapters/safetensors_index.h"
#include "checkpoint/adapters/torch_pickle.h"
#include "checkpoint/adapters/zip_archive.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr std::string_view kSingle = "pytorch_model.bin", kIndex = "pytorch_model.bin.index.json";

bool is_folder(FileSystem& files, const std::string& path) {
  const auto info = files.info(path);
  return info && info->type == FileInfo::Type::directory;
}

}  // namespace

bool TorchSource::recognises(FileSystem& files, const std::string& path) {
  if (is_folder(files, path))
    return files.info(path + "/" + std::string(kSingle)) || files.info(path + "/" + std::string(kIndex));
  const auto info = files.info(path);
  if (!info || info->type != FileInfo::Type::file || info->bytes < 4 || files.is_link(path)) return false;
  std::string magic(4, '\0');
  files.open(path, OpenMode::read_plain)->read(0, std::as_writable_bytes(std::span(magic)));
  return magic == "PK\x03\x04";
}

TorchSource::TorchSource(FileSystem& files, const std::string& path) : StoredTensors(files), path_(path) {
  if (!is_folder(files, path) || !files.info(path + "/" + std::string(kIndex))) {
    read_archive(add_file(is_folder(files, path) ? path + "/" + std::string(kSingle) : path));
    return;
  }
  const SafetensorsIndex index = read_safetensors_index(files, path + "/" + std::string(kIndex));
  for (const std::string& name : index.files) read_archive(add_file(path + "/" + name));
  std::vector<std::string> names;
  for (const TensorSpec& tensor : tensors()) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  for (const auto& [name, file] : index.tensor_of)
    if (!std::binary_search(names.begin(), names.end(), name))
      throw Error(
          Fault::model,
          {.what = fmt::format("tensor '{}' of the index is in none of its files", name), .where = path});
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
    throw Error(Fault::model, {.what = fmt::format("tensor '{}' is in two files", *twice), .where = path});
}

void TorchSource::read_archive(size_t index) {
  const auto opened = file(index);
  const std::map<std::string, ZipEntry> entries = read_zip_directory(*opened);
  const auto refuse = [&](std::string found) {
    throw Error(Fault::model, {.what = "this archive is not what torch.save writes",
                               .where = opened->path(),
                               .found = std::move(found)});
  };
  // "<name>/data.pkl"; its neighbours share the name.
  const auto pickled = std::find_if(entries.begin(), entries.end(),
                                    [](const auto& entry) { return entry.first.ends_with("/data.pkl"); });
  if (pickled == entries.end()) refuse("no data.pkl");
  const std::string root = pickled->first.substr(0, pickled->first.size() - 8);
  if (const auto order = entries.find(root + "byteorder"); order != entries.end()) {
    std::string text(static_cast<size_t>(std::min<int64_t>(order->second.bytes, 16)), '\0');
    opened->read(order->second.offset, std::as_writable_bytes(std::span(text)));
    if (text != "little") refuse("byte order '" + text + "'");
  }
  FileBytes bytes(*opened, pickled->second.offset, pickled->second.bytes);
  const Pickle pickle = read_pickle(bytes, opened->path() + ": data.pkl");
  TorchContents contents = find_torch_tensors(pickle, opened->path());
  for (TorchTensor& tensor : contents.tensors) {
    const TensorSpec logical{.name = std::move(tensor.name), .type = tensor.type, .shape = tensor.shape};
    check_logical(logical, opened->path());
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
    std::array<int64_t, Shape::kMaxRank> strides{};
    for (size_t d = 0; d < strides.size(); ++d) strides[d] = tensor.strides[d] * size;
    add({.logical = logical,
         .file = index,
         .offset = storage->second.offset + tensor.first * size,
         .strides = strides});
  }
  for (auto& [name, text] : contents.values) metadata_["values"][name] = std::move(text);
}

std::string TorchSource::format() const {
  return num_files() == 1 ? "torch.save" : fmt::format("torch.save, {} files", num_files());
}

}  // namespace strata
