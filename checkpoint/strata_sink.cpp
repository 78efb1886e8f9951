// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/strata_sink.h"

#include <algorithm>

#include "checkpoint/commit.h"
#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {

StrataSink::StrataSink(FileSystem& files, std::string path, const Options& options)
    : files_(files), path_(std::move(path)), options_(options) {
  if (files_.info(path_))
    throw Error(Fault::usage, {.what = "the checkpoint to write is there already",
                               .where = path_,
                               .fix = "remove it, or name another folder"});
  manifest_.writer = "strata 0.1.0";
  manifest_.id = make_id();
  manifest_.step = options.step;
  manifest_.block_bytes = options.block_bytes;
  folder_ = temporary_folder(path_, manifest_.id);
}

StrataSink::~StrataSink() {
  if (committed_ || shards_.empty()) return;
  try {
    shards_.clear();
    remove_tree(files_, folder_);
  } catch (const Error&) {  // whoever looks for checkpoints removes it
  }
}

void StrataSink::declare(std::vector<TensorSpec> tensors, const nlohmann::json& metadata,
                         std::vector<Asset> assets) {
  check(shards_.empty() && manifest_.tensors.empty(), "[sink] declared twice");
  manifest_.meta = metadata;
  assets_ = std::move(assets);
  std::vector<std::vector<ShardEntry>> shards(1);
  int64_t filled = 0;
  for (TensorSpec& tensor : tensors) {
    check_logical(tensor, path_);
    pieces_.push_back(cut_rows(tensor.shape, size_of(tensor.type), options_.piece_bytes));
    places_.emplace_back();
    for (const Rect& piece : pieces_.back()) {
      if (filled >= options_.shard_bytes) {
        shards.emplace_back();
        filled = 0;
      }
      places_.back().push_back({shards.size() - 1, shards.back().size()});
      shards.back().push_back({tensor, piece});
      filled += shards.back().back().bytes();
      ++unwritten_;
    }
    manifest_.tensors.push_back({.logical = std::move(tensor)});
  }
  make_directories(files_, parent_directory(path_));
  files_.make_directory(folder_);
  for (size_t i = 0; i < shards.size(); ++i)
    shards_.push_back(std::make_unique<ShardWriter>(files_, fmt::format("{}/shard-{:05}.h5", folder_, i),
                                                    std::move(shards[i]), options_.block_bytes));
}

std::vector<Rect> StrataSink::pieces(size_t tensor) const { return pieces_.at(tensor); }

void StrataSink::write(size_t tensor, const Rect& piece, std::span<const std::byte> bytes) {
  const std::vector<Rect>& all = pieces_.at(tensor);
  const auto found = std::lower_bound(all.begin(), all.end(), piece, [](const Rect& a, const Rect& b) {
    return std::lexicographical_compare(a.begin.begin(), a.begin.end(), b.begin.begin(), b.begin.end());
  });
  check(found != all.end() && *found == piece, "[sink] {} + {} is no piece of '{}'", piece.begin,
        piece.extent, manifest_.tensors[tensor].logical.name);
  const Place place = places_[tensor][static_cast<size_t>(found - all.begin())];
  shards_[place.shard]->write(place.entry, bytes);
  --unwritten_;
}

std::string StrataSink::finish() {
  check(unwritten_ == 0, "[sink] {} pieces were not written", unwritten_.load());
  for (const auto& shard : shards_) {
    shard->sync();
    manifest_.files.push_back({.kind = ManifestFile::Kind::shard,
                               .name = shard->path().substr(folder_.size() + 1),
                               .bytes = shard->bytes(),
                               .crc = shard->gaps_crc()});
  }
  for (size_t t = 0; t < places_.size(); ++t)
    for (size_t p = 0; p < places_[t].size(); ++p) {
      const WrittenFragment& written = shards_[places_[t][p].shard]->written(places_[t][p].entry);
      manifest_.tensors[t].digest += written.digest;
      manifest_.tensors[t].fragments.push_back(
          {places_[t][p].shard, written.offset, pieces_[t][p], written.crcs});
    }
  seal_folder(files_, folder_, manifest_, assets_);
  finished_ = true;
  return folder_;
}

void StrataSink::commit() {
  if (!finished_) finish();
  publish_folder(files_, folder_, path_);
  committed_ = true;
}

}  // namespace strata
