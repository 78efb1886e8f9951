// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/strata_sink.h"

#include <algorithm>
#include <map>

#include "checkpoint/commit.h"
#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {

StrataSink::StrataSink(FileSystem& files, std::string path, const Options& options)
    : files_(files), options_(options), folder_(files, std::move(path), options.sync_bytes) {
  manifest_.writer = "strata 0.1.0";
  manifest_.id = make_id();
  manifest_.step = options.step;
  manifest_.block_bytes = options.block_bytes;
}

StrataSink::~StrataSink() {
  if (committed_ || shards_.empty() || options_.keep_partial) return;
  try {
    shards_.clear();
    folder_.discard();
  } catch (const Error&) {  // the next conversion to this place removes it
  }
}

void StrataSink::declare(std::vector<TensorSpec> tensors, const nlohmann::json& metadata,
                         std::vector<Asset> assets) {
  check(shards_.empty() && manifest_.tensors.empty(), "[sink] declared twice");
  manifest_.meta = metadata;
  assets_ = std::move(assets);
  std::vector<std::vector<ShardEntry>> shards(1);
  std::vector<std::vector<std::pair<size_t, size_t>>> piece_of(1);  // by shard and entry
  std::string identity = fmt::format("strata {} {} {} {}\n{}\n", options_.step, options_.block_bytes,
                                     options_.piece_bytes, options_.shard_bytes, options_.identity);
  int64_t filled = 0;
  for (TensorSpec& tensor : tensors) {
    check_logical(tensor, folder_.final_path());
    identity += to_string(tensor) + "\n";
    pieces_.push_back(cut_rows(tensor.shape, size_of(tensor.type), options_.piece_bytes));
    places_.emplace_back();
    for (const Rect& piece : pieces_.back()) {
      if (filled >= options_.shard_bytes) {
        shards.emplace_back();
        piece_of.emplace_back();
        filled = 0;
      }
      piece_of.back().emplace_back(places_.size() - 1, places_.back().size());
      places_.back().push_back({shards.size() - 1, shards.back().size()});
      shards.back().push_back({tensor, piece});
      filled += shards.back().back().bytes();
      ++unwritten_;
    }
    manifest_.tensors.push_back({.logical = std::move(tensor)});
  }
  const bool resumed = folder_.open(identity);
  for (const char* made_last : {"assets", kViewName.data(), kManifestName.data()})
    if (resumed) remove_tree(files_, folder_.path() + "/" + made_last);
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("{}/shard-{:05}.h5", folder_.path(), i);
    auto shard = resumed ? ShardWriter::adopt(files_, name, shards[i], options_.block_bytes) : nullptr;
    for (size_t e = 0; shard && e < shards[i].size(); ++e) {
      const auto [tensor, piece] = piece_of[i][e];
      const auto known = folder_.kept(tensor, piece);
      if (!known || !shard->keep(e, *known)) continue;
      kept_[{tensor, piece}] = *known;
      --unwritten_;
    }
    if (!shard) {
      if (resumed) files_.remove(name);
      shard = std::make_unique<ShardWriter>(files_, name, std::move(shards[i]), options_.block_bytes);
    }
    shards_.push_back(std::move(shard));
  }
}

std::optional<Digest> StrataSink::kept(size_t tensor, size_t piece) const {
  const auto known = kept_.find({tensor, piece});
  return known == kept_.end() ? std::nullopt : std::optional(known->second);
}

std::vector<Rect> StrataSink::pieces(size_t tensor) const { return pieces_.at(tensor); }

void StrataSink::write(size_t tensor, const Rect& piece, std::span<const std::byte> bytes) {
  const std::vector<Rect>& all = pieces_.at(tensor);
  const auto found = std::lower_bound(all.begin(), all.end(), piece, [](const Rect& a, const Rect& b) {
    return std::lexicographical_compare(a.begin.begin(), a.begin.end(), b.begin.begin(), b.begin.end());
  });
  check(found != all.end() && *found == piece, "[sink] {} + {} is no piece of '{}'", piece.begin,
        piece.extent, manifest_.tensors[tensor].logical.name);
  const auto number = static_cast<size_t>(found - all.begin());
  const Place place = places_[tensor][number];
  shards_[place.shard]->write(place.entry, bytes);
  --unwritten_;
  folder_.wrote(tensor, number, shards_[place.shard]->written(place.entry).digest, std::ssize(bytes), [&] {
    for (const auto& shard : shards_) shard->sync_written();
  });
}

std::string StrataSink::finish() {
  check(unwritten_ == 0, "[sink] {} pieces were not written", unwritten_.load());
  for (const auto& shard : shards_) {
    shard->sync();
    manifest_.files.push_back({.kind = ManifestFile::Kind::shard,
                               .name = shard->path().substr(folder_.path().size() + 1),
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
  seal_folder(files_, folder_.path(), manifest_, assets_);
  finished_ = true;
  return folder_.path();
}

void StrataSink::commit() {
  if (!finished_) finish();
  shards_.clear();
  folder_.publish();
  committed_ = true;
}

}  // namespace strata
