// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/torch_source.h"

#include <algorithm>

#include "checkpoint/adapters/safetensors_index.h"
#include "checkpoint/adapters/torch_archive.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr std::string_view kSingle = "pytorch_model.bin", kIndex = "pytorch_model.bin.index.json";

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
  TorchArchive archive = read_torch_archive(*opened);
  for (TorchPlace& tensor : archive.tensors) {
    check_logical(tensor.logical, opened->path());
    add({.logical = std::move(tensor.logical),
         .file = index,
         .offset = tensor.offset,
         .strides = tensor.strides});
  }
  for (auto& [name, text] : archive.values) metadata_["values"][name] = std::move(text);
}

std::string TorchSource::format() const {
  return num_files() == 1 ? "torch.save" : fmt::format("torch.save, {} files", num_files());
}

}  // namespace strata
