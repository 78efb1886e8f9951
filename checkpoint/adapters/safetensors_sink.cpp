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
    : files_(files), options_(options), folder_(files, std::move(path), options.sync_bytes) {}

SafetensorsSink::~SafetensorsSink() {
  if (shards_.empty() || options_.keep_partial) return;
  try {
    shards_.clear();
    folder_.discard();
  } catch (const Error&) {  // the next conversion to this place removes it
  }
}

void SafetensorsSink::declare(std::vector<TensorSpec> tensors, const nlohmann::json& metadata,
                              std::vector<Asset> assets) {
  check(shards_.empty(), "[safetensors] declared twice");
  tensors_ = std::move(tensors);
  assets_ = std::move(assets);
  std::map<std::string, std::string> texts{{"format", "pt"}};  // transformers refuses a file without it
  if (const auto given = metadata.find("__metadata__"); given != metadata.end() && given->is_object())
    for (const auto& [key, value] : given->items())
      if (value.is_string()) texts[key] = value.get<std::string>();

  std::vector<std::vector<SafetensorsEntry>> entries(1);
  std::vector<size_t> file_of;
  int64_t filled = 0, total = 0;
  std::string identity = "safetensors\n" + options_.identity;
  for (const TensorSpec& tensor : tensors_) {
    check_logical(tensor, folder_.final_path());
    if (tensor.state != "param")
      throw Error(Fault::usage, {.what = "safetensors of a model hold no optimizer state",
                                 .found = to_string(tensor),
                                 .expected = "tensors of state param"});
    if (filled > 0 && filled + tensor.bytes() > options_.file_bytes) {
      entries.emplace_back();
      filled = 0;
    }
    filled += tensor.bytes();
    total += tensor.bytes();
    file_of.push_back(entries.size() - 1);
    entries.back().push_back({.name = tensor.name, .type = tensor.type, .shape = tensor.shape});
    identity += to_string(tensor) + "\n";
  }
  for (const auto& [key, value] : texts) identity += fmt::format("{}={}\n", key, value);
  identity += fmt::format("{} {}", options_.piece_bytes, options_.file_bytes);

  const bool resumed = folder_.open(identity);
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (size_t f = 0; f < entries.size(); ++f) {
    names_.push_back(entries.size() == 1 ? options_.stem + ".safetensors"
                                         : fmt::format("{}-{:05}-of-{:05}.safetensors", options_.stem, f + 1,
                                                       entries.size()));
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
  for (size_t t = 0; t < tensors_.size(); ++t) {
    size_t p = 0;
    for (const Rect& piece : pieces(t))
      if (!kept(t, p++)) unwritten_bytes_ += piece.numel() * size_of(tensors_[t].type);
  }
  if (entries.size() > 1)
    index_ =
        nlohmann::ordered_json{{"metadata", {{"total_size", total}}}, {"weight_map", std::move(map)}}.dump(
            2) +
        "\n";
}

std::vector<Rect> SafetensorsSink::pieces(size_t tensor) const {
  return cut_rows(tensors_.at(tensor).shape, size_of(tensors_[tensor].type), options_.piece_bytes);
}

std::optional<Digest> SafetensorsSink::kept(size_t tensor, size_t piece) const {
  return folder_.kept(tensor, piece);
}

void SafetensorsSink::write(size_t tensor, const Rect& piece, std::span<const std::byte> bytes) {
  const TensorSpec& logical = tensors_.at(tensor);
  const int64_t size = size_of(logical.type);
  const std::vector<Rect> all = pieces(tensor);
  const auto found = std::find(all.begin(), all.end(), piece);
  check(found != all.end() && std::ssize(bytes) == piece.numel() * size,
        "[safetensors] {} + {} is no piece of '{}'", piece.begin, piece.extent, logical.name);
  const StridedTarget layout = row_major(nullptr, logical.shape, size);
  int64_t at = places_[tensor].offset;
  for (int d = 0; d < logical.shape.rank(); ++d)
    at += piece.begin[d] * layout.strides[static_cast<size_t>(d)];
  shards_[places_[tensor].file]->write(at, bytes);
  unwritten_bytes_ -= std::ssize(bytes);
  folder_.wrote(tensor, static_cast<size_t>(found - all.begin()),
                digest_of(logical.shape, piece, size, bytes.data()), std::ssize(bytes), [&] {
                  for (const auto& shard : shards_) shard->sync();
                });
}

std::string SafetensorsSink::finish() {
  check(unwritten_bytes_ == 0, "[safetensors] {} bytes were not written", unwritten_bytes_.load());
  for (const auto& shard : shards_) shard->sync();
  shards_.clear();
  if (!index_.empty()) folder_.write(std::string(kSafetensorsIndexName), index_);
  for (const Asset& asset : assets_) {
    if (std::find(names_.begin(), names_.end(), asset.name) != names_.end())
      throw Error(Fault::usage,
                  {.what = "a file beside the model has a name of its files", .found = asset.name});
    folder_.write(asset.name, asset.content);
  }
  files_.sync_directory(folder_.path());
  finished_ = true;
  return folder_.path();
}

void SafetensorsSink::commit() {
  if (!finished_) finish();
  folder_.publish();
}

}  // namespace strata
