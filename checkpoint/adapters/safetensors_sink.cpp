// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/safetensors_sink.h"

#include <algorithm>

#include "checkpoint/adapters/safetensors_header.h"
#include "checkpoint/adapters/safetensors_index.h"
#include "checkpoint/manifest.h"
#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {

SafetensorsSink::SafetensorsSink(FileSystem& files, std::string path, const Options& options)
    : FolderSink(files, std::move(path),
                 {options.piece_bytes, options.sync_bytes, options.keep_partial, options.identity}),
      file_bytes_(options.file_bytes),
      stem_(options.stem) {}

void SafetensorsSink::declare(std::vector<TensorSpec> tensors, const nlohmann::json& metadata,
                              std::vector<Asset> assets) {
  take(std::move(tensors), std::move(assets));
  std::map<std::string, std::string> texts{{"format", "pt"}};  // transformers refuses a file without it
  if (const auto given = metadata.find("__metadata__"); given != metadata.end() && given->is_object())
    for (const auto& [key, value] : given->items())
      if (value.is_string()) texts[key] = value.get<std::string>();

  std::vector<std::vector<SafetensorsEntry>> entries(1);
  std::vector<size_t> file_of;
  int64_t filled = 0, total = 0;
  std::string identity = fmt::format("safetensors {}", file_bytes_);
  for (const TensorSpec& tensor : declared()) {
    if (tensor.state != "param")
      throw Error(Fault::usage, {.what = "safetensors of a model hold no optimizer state",
                                 .found = to_string(tensor),
                                 .expected = "tensors of state param"});
    if (filled > 0 && filled + tensor.bytes() > file_bytes_) {
      entries.emplace_back();
      filled = 0;
    }
    filled += tensor.bytes();
    total += tensor.bytes();
    file_of.push_back(entries.size() - 1);
    entries.back().push_back({.name = tensor.name, .type = tensor.type, .shape = tensor.shape});
  }
  for (const auto& [key, value] : texts) identity += fmt::format("\n{}={}", key, value);

  const bool resumed = open(identity);
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (size_t f = 0; f < entries.size(); ++f) {
    names_.push_back(entries.size() == 1
                         ? stem_ + ".safetensors"
                         : fmt::format("{}-{:05}-of-{:05}.safetensors", stem_, f + 1, entries.size()));
    const std::string header = make_safetensors_header(entries[f], texts);
    const std::string name = folder_.path() + "/" + names_.back();
    auto file = resumed ? files_.open_if_exists(name, OpenMode::update) : nullptr;
    if (!file) file = files_.open(name, OpenMode::create);
    file->preallocate(std::ssize(header) + (entries[f].empty() ? 0 : entries[f].back().end));
    file->write(0, std::as_bytes(std::span(header)));
    for (const SafetensorsEntry& entry : entries[f]) {
      places_.push_back({f, std::ssize(header) + entry.begin});
      map[entry.name] = names_.back();
    }
    shards_.push_back(std::move(file));
  }
  if (entries.size() > 1)
    index_ =
        nlohmann::ordered_json{{"metadata", {{"total_size", total}}}, {"weight_map", std::move(map)}}.dump(
            2) +
        "\n";
}

void SafetensorsSink::store(size_t tensor, size_t /*number*/, const Rect& piece,
                            std::span<const std::byte> bytes) {
  const TensorSpec& spec = declared()[tensor];
  const Place& place = places_[tensor];
  shards_[place.file]->write(place.offset + first_element(piece, spec.shape) * size_of(spec.type), bytes);
}

void SafetensorsSink::sync() {
  for (const auto& shard : shards_) shard->sync();
}

void SafetensorsSink::complete() {
  sync();
  shards_.clear();
  for (const Asset& asset : assets())
    if (std::find(names_.begin(), names_.end(), asset.name) != names_.end())
      throw Error(Fault::usage,
                  {.what = "a file beside the model has a name of its files", .found = asset.name});
  if (!index_.empty()) folder_.write(std::string(kSafetensorsIndexName), index_);
}

}  // namespace strata
