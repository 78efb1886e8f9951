// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/strata_source.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "checkpoint/runs.h"
#include "checkpoint/sha256.h"
#include "checkpoint/shard_writer.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/io/crc32c.h"
#include "core/io/page_memory.h"

namespace strata {
namespace {

// Puts elements [at, at + count) of the rectangle of `extent`, counted row by row, where `into` wants them.
void scatter(const Shape& extent, int64_t at, int64_t count, int64_t element_bytes, const std::byte* from,
             const StridedTarget& into) {
  const int last = extent.rank() - 1;
  if (last < 0) {
    std::memcpy(into.data, from, static_cast<size_t>(element_bytes));
    return;
  }
  const int64_t stride = into.strides[static_cast<size_t>(last)];
  while (count > 0) {
    const int64_t column = at % extent[last], now = std::min(count, extent[last] - column);
    std::byte* target = into.data + column * stride;
    int64_t rest = at / extent[last];
    for (int d = last - 1; d >= 0; --d) {
      target += rest % extent[d] * into.strides[static_cast<size_t>(d)];
      rest /= extent[d];
    }
    if (stride == element_bytes)
      std::memcpy(target, from, static_cast<size_t>(now * element_bytes));
    else
      for (int64_t i = 0; i < now; ++i)
        std::memcpy(target + i * stride, from + i * element_bytes, static_cast<size_t>(element_bytes));
    at += now;
    from += now * element_bytes;
    count -= now;
  }
}

Rect relative(const Rect& inner, const Rect& outer) {
  Rect rect = inner;
  for (int d = 0; d < inner.begin.rank(); ++d) rect.begin.set(d, inner.begin[d] - outer.begin[d]);
  return rect;
}

}  // namespace

struct StrataSource::Shard {
  std::unique_ptr<File> buffered, direct;  // direct null: not wanted, or the file system has none
};

// One fragment's blocks, one at a time in memory.
class StrataSource::Blocks {
 public:
  Blocks(const StrataSource& source, size_t tensor, const ManifestFragment& fragment)
      : source_(source),
        tensor_(tensor),
        fragment_(fragment),
        bytes_(fragment.rect.numel() * size_of(source.tensors_[tensor].type)),
        shard_(source.shard(fragment.file)),
        memory_(page_memory(std::min(bytes_, source.manifest_.block_bytes))) {}

  // The verified bytes of a block; until the next call.
  std::span<const std::byte> get(int64_t block) {
    const int64_t block_bytes = source_.manifest_.block_bytes, at = block * block_bytes;
    const std::span<std::byte> bytes(memory_.get(), static_cast<size_t>(std::min(block_bytes, bytes_ - at)));
    if (block == loaded_) return bytes;
    loaded_ = -1;
    read(fragment_.offset + at, bytes);
    const uint32_t crc = crc32c(bytes);
    if (crc != fragment_.crcs[static_cast<size_t>(block)]) source_.damaged(tensor_, fragment_, block, crc);
    loaded_ = block;
    return bytes;
  }

 private:
  void read(int64_t offset, std::span<std::byte> into) {
    const bool pages = shard_->direct && offset % kPage == 0;
    const auto body = into.first(pages ? into.size() / kPage * kPage : 0);
    if (!body.empty()) shard_->direct->read(offset, body);
    if (body.size() < into.size())
      shard_->buffered->read(offset + std::ssize(body), into.subspan(body.size()));
  }

  const StrataSource& source_;
  size_t tensor_;
  const ManifestFragment& fragment_;
  int64_t bytes_;
  std::shared_ptr<Shard> shard_;
  PageMemory memory_;
  int64_t loaded_ = -1;
};

StrataSource::StrataSource(FileSystem& files, std::string folder, const Options& options)
    : files_(files), folder_(std::move(folder)), options_(options), manifest_(read_manifest(files, folder_)) {
  for (const ManifestTensor& tensor : manifest_.tensors) {
    by_name_.push_back(tensors_.size());
    tensors_.push_back(tensor.logical);
  }
  std::sort(by_name_.begin(), by_name_.end(), [&](size_t a, size_t b) {
    return std::tie(tensors_[a].name, tensors_[a].state) < std::tie(tensors_[b].name, tensors_[b].state);
  });
}

StrataSource::~StrataSource() = default;

std::string StrataSource::format() const {
  return fmt::format("Strata {}.{}, step {}", manifest_.version.major, manifest_.version.minor,
                     manifest_.step);
}

std::optional<size_t> StrataSource::find(const std::string& name, const std::string& state) const {
  const auto found = std::lower_bound(
      by_name_.begin(), by_name_.end(), std::tie(name, state),
      [&](size_t a, const auto& b) { return std::tie(tensors_[a].name, tensors_[a].state) < b; });
  if (found == by_name_.end() || tensors_[*found].name != name || tensors_[*found].state != state)
    return std::nullopt;
  return *found;
}

std::shared_ptr<StrataSource::Shard> StrataSource::shard(size_t file) const {
  const std::lock_guard lock(mutex_);
  const auto known =
      std::find_if(open_.begin(), open_.end(), [&](const auto& entry) { return entry.first == file; });
  if (known != open_.end()) {
    std::rotate(known, known + 1, open_.end());
    return open_.back().second;
  }
  const std::string path = folder_ + "/" + manifest_.files[file].name;
  auto shard = std::make_shared<Shard>();
  shard->buffered = files_.open(path, OpenMode::read_plain);
  if (options_.caching != Caching::buffered) {
    shard->direct = files_.open(path, OpenMode::read_plain, options_.caching);
    const Alignment need = shard->direct->alignment();
    if (!shard->direct->direct() || kPage % need.offset != 0 || kPage % need.memory != 0)
      shard->direct = nullptr;
  }
  if (open_.size() >= options_.open_shards) open_.erase(open_.begin());
  return open_.emplace_back(file, std::move(shard)).second;
}

void StrataSource::damaged(size_t tensor, const ManifestFragment& fragment, int64_t block,
                           uint32_t found) const {
  const TensorSpec& logical = tensors_[tensor];
  const int64_t at = block * manifest_.block_bytes, size = size_of(logical.type);
  const int64_t bytes = std::min(manifest_.block_bytes, fragment.rect.numel() * size - at);
  throw Error(
      Fault::model,
      {.what = fmt::format("tensor '{}' ({}) is damaged", logical.name, logical.state),
       .where = fmt::format("{}/{}: block {} ({} bytes at {}), elements {} to {} of the part at {} + {}",
                            folder_, manifest_.files[fragment.file].name, block, bytes, fragment.offset + at,
                            at / size, (at + bytes) / size, fragment.rect.begin, fragment.rect.extent),
       .found = fmt::format("checksum {:08x}", found),
       .expected = fmt::format("{:08x}", fragment.crcs[static_cast<size_t>(block)]),
       .fix = "use an earlier checkpoint of the run"});
}

void StrataSource::read(size_t tensor, const Rect& rect, const StridedTarget& into) const {
  const int64_t size = size_of(tensors_.at(tensor).type);
  const int64_t block_bytes = manifest_.block_bytes;
  for (const ManifestFragment& fragment : manifest_.tensors[tensor].fragments) {
    const std::optional<Rect> common = intersect(fragment.rect, rect);
    if (!common || common->numel() == 0) continue;
    Blocks blocks(*this, tensor, fragment);
    StridedTarget target = into;
    for (int d = 0; d < rect.begin.rank(); ++d)
      target.data += (common->begin[d] - rect.begin[d]) * into.strides[static_cast<size_t>(d)];
    // Runs come in the order of the file: each block is read once.
    each_run(fragment.rect.extent, relative(*common, fragment.rect),
             [&](int64_t first, int64_t count, int64_t at) {
               while (count > 0) {
                 const int64_t block = first * size / block_bytes, in_block = first * size % block_bytes;
                 const int64_t now = std::min(count, (block_bytes - in_block) / size);
                 scatter(common->extent, at, now, size, blocks.get(block).data() + in_block, target);
                 first += now;
                 at += now;
                 count -= now;
               }
             });
  }
}

// Fragments are read as they lie in the files; large ones by rows.
std::vector<Rect> StrataSource::pieces(size_t tensor, int64_t bytes) const {
  std::vector<Rect> pieces;
  for (const ManifestFragment& fragment : manifest_.tensors.at(tensor).fragments)
    for (Rect piece : cut_rows(fragment.rect.extent, size_of(tensors_[tensor].type), bytes)) {
      for (int d = 0; d < piece.begin.rank(); ++d)
        piece.begin.set(d, piece.begin[d] + fragment.rect.begin[d]);
      pieces.push_back(piece);
    }
  return pieces;
}

std::vector<Asset> StrataSource::assets() const {
  std::vector<Asset> assets;
  for (const ManifestFile& file : manifest_.files) {
    if (file.kind != ManifestFile::Kind::asset) continue;
    const auto opened = files_.open(folder_ + "/" + file.name, OpenMode::read_plain);
    std::string content(static_cast<size_t>(file.bytes), '\0');
    opened->read(0, std::as_writable_bytes(std::span(content)));
    if (sha256_hex(content) != file.sha256)
      throw Error(Fault::model, {.what = "a file of the checkpoint is damaged",
                                 .where = opened->path(),
                                 .found = "another hash than was written",
                                 .fix = "use an earlier checkpoint of the run"});
    assets.push_back({file.name.substr(file.name.rfind('/') + 1), std::move(content)});
  }
  return assets;
}

}  // namespace strata
