// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/safetensors_source.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "checkpoint/adapters/safetensors_header.h"
#include "checkpoint/adapters/safetensors_index.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr std::string_view kSuffix = ".safetensors";

// The files of a folder by their names.
std::vector<std::string> safetensors_in(FileSystem& files, const std::string& folder) {
  std::vector<std::string> found;
  for (const std::string& name : files.list(folder).value_or(std::vector<std::string>()))
    if (name.ends_with(kSuffix)) found.push_back(name);
  return found;
}

}  // namespace

bool SafetensorsSource::recognises(FileSystem& files, const std::string& path) {
  if (!is_folder(files, path)) return path.ends_with(kSuffix) || path.ends_with(".safetensors.index.json");
  return files.info(path + "/" + std::string(kSafetensorsIndexName)) || !safetensors_in(files, path).empty();
}

SafetensorsSource::SafetensorsSource(FileSystem& files, const std::string& path)
    : StoredTensors(files), path_(path) {
  std::string chosen = path;
  if (is_folder(files, path)) {
    const std::vector<std::string> names = safetensors_in(files, path);
    const auto has = [&](std::string_view name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    if (files.info(path + "/" + std::string(kSafetensorsIndexName)))
      chosen = path + "/" + std::string(kSafetensorsIndexName);
    else if (has("model.safetensors"))
      chosen = path + "/model.safetensors";
    else if (names.size() == 1)
      chosen = path + "/" + names.front();
    else
      throw Error(Fault::model, {.what = "the folder does not say which of its files are the model",
                                 .where = path,
                                 .found = fmt::format("{} files *{}", names.size(), kSuffix),
                                 .expected = fmt::format("model.safetensors, or {}", kSafetensorsIndexName),
                                 .fix = "name one file"});
  }
  if (chosen.ends_with(".json"))
    read_index(files, chosen);
  else
    read_header(add_file(chosen));
}

void SafetensorsSource::read_header(size_t index) {
  SafetensorsHeader header = read_safetensors_header(*file(index));
  for (SafetensorsEntry& entry : header.entries)
    add({.logical = {.name = std::move(entry.name), .type = entry.type, .shape = entry.shape},
         .file = index,
         .offset = header.data_offset + entry.begin});
  if (index == 0 && !header.metadata.empty()) metadata_["__metadata__"] = header.metadata;
}

void SafetensorsSource::read_index(FileSystem& files, const std::string& index_path) {
  const SafetensorsIndex index = read_safetensors_index(files, index_path);
  std::vector<std::string> faults;
  std::vector<char> seen(index.tensor_of.size());
  for (const std::string& name : index.files)
    if (!files.info(parent_directory(index_path) + "/" + name))
      throw Error(Fault::model, {.what = "a file of a sharded model is missing",
                                 .where = index_path,
                                 .found = fmt::format("no {} beside it", name),
                                 .expected = fmt::format("all {} files of the index", index.files.size()),
                                 .fix = "fetch the model's folder again, whole"});
  for (const std::string& name : index.files) {
    const size_t before = tensors().size();
    const size_t number = add_file(parent_directory(index_path) + "/" + name);
    read_header(number);
    for (const TensorSpec& tensor : tensors().subspan(before)) {
      const auto entry = std::lower_bound(index.tensor_of.begin(), index.tensor_of.end(), tensor.name,
                                          [](const auto& a, const std::string& b) { return a.first < b; });
      const bool known = entry != index.tensor_of.end() && entry->first == tensor.name;
      if (!known || entry->second != number)
        faults.push_back(fmt::format("'{}' lies in {}, the index says {}", tensor.name, name,
                                     known ? index.files[entry->second] : "nothing of it"));
      else
        seen[static_cast<size_t>(entry - index.tensor_of.begin())] = 1;
    }
  }
  for (size_t t = 0; t < seen.size(); ++t)
    if (!seen[t])
      faults.push_back(
          fmt::format("'{}' is not in {}", index.tensor_of[t].first, index.files[index.tensor_of[t].second]));
  if (faults.empty()) return;
  constexpr size_t kListed = 50;
  const size_t all = faults.size();
  if (all > kListed) faults.resize(kListed);
  throw Error(
      Fault::model,
      {.what = "the index of a sharded model and its files do not agree",
       .where = index_path,
       .found = fmt::format("{}{}", fmt::join(faults, "\n            "),
                            all > kListed ? fmt::format("\n            and {} more", all - kListed) : ""),
       .fix = "fetch or write the model again"});
}

std::string SafetensorsSource::format() const {
  return num_files() == 1 ? "safetensors" : fmt::format("safetensors, {} files", num_files());
}

}  // namespace strata
