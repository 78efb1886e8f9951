// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/folder_sink.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {

FolderSink::FolderSink(FileSystem& files, std::string path, Options options)
    : files_(files), folder_(files, std::move(path), options.sync_bytes), options_(std::move(options)) {}

FolderSink::~FolderSink() {
  if (!opened_ || committed_ || options_.keep_partial) return;
  try {
    folder_.discard();
  } catch (const Error&) {  // the next conversion to this place removes it
  }
}

void FolderSink::take(std::vector<TensorSpec> tensors, std::vector<Asset> assets) {
  check(tensors_.empty() && !opened_, "[sink] declared twice");
  tensors_ = std::move(tensors);
  assets_ = std::move(assets);
  for (const TensorSpec& tensor : tensors_) check_logical(tensor, folder_.final_path());
}

bool FolderSink::open(const std::string& format) {
  std::string identity = fmt::format("{}\n{}\n{}\n", format, options_.identity, options_.piece_bytes);
  for (const TensorSpec& tensor : tensors_) identity += to_string(tensor) + "\n";
  const bool resumed = folder_.open(identity);
  opened_ = true;
  for (size_t t = 0; t < tensors_.size(); ++t) {
    const size_t count = pieces(t).size();
    for (size_t p = 0; p < count; ++p) unwritten_ += kept(t, p) ? 0 : 1;
  }
  return resumed;
}

std::vector<Rect> FolderSink::pieces(size_t tensor) const {
  return cut_rows(tensors_.at(tensor).shape, size_of(tensors_[tensor].type), options_.piece_bytes);
}

std::optional<Digest> FolderSink::kept(size_t tensor, size_t piece) const {
  return folder_.kept(tensor, piece);
}

void FolderSink::write(size_t tensor, const Rect& piece, std::span<const std::byte> bytes) {
  const TensorSpec& spec = tensors_.at(tensor);
  const int64_t size = size_of(spec.type);
  const std::vector<Rect> all = pieces(tensor);
  const auto found = std::find(all.begin(), all.end(), piece);
  check(found != all.end() && std::ssize(bytes) == piece.numel() * size, "[sink] {} + {} is no piece of {}",
        piece.begin, piece.extent, to_string(spec));
  const auto number = static_cast<size_t>(found - all.begin());
  store(tensor, number, piece, bytes);
  --unwritten_;
  folder_.wrote(tensor, number, digest_of(spec.shape, piece, size, bytes.data()), std::ssize(bytes),
                [this] { sync(); });
}

std::string FolderSink::finish() {
  check(opened_ && unwritten_ == 0, "[sink] {} pieces were not written", unwritten_.load());
  complete();
  for (const Asset& asset : assets_) folder_.write(asset.name, asset.content);
  files_.sync_directory(folder_.path());
  finished_ = true;
  return folder_.path();
}

void FolderSink::commit() {
  if (!finished_) finish();
  folder_.publish();
  committed_ = true;
}

int64_t first_element(const Rect& piece, const Shape& shape) {
  const StridedTarget layout = row_major(nullptr, shape, 1);
  int64_t at = 0;
  for (int d = 0; d < shape.rank(); ++d) at += piece.begin[d] * layout.strides[static_cast<size_t>(d)];
  return at;
}

}  // namespace strata
