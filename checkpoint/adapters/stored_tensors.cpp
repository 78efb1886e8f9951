// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/stored_tensors.h"

#include <algorithm>

#include "checkpoint/adapters/strided_copy.h"
#include "core/base/check.h"
#include "core/io/page_memory.h"

namespace strata {
namespace {

constexpr size_t kOpenFiles = 64;
constexpr int64_t kSpan = int64_t{4} << 20;         // read at once at most, with gaps
constexpr int64_t kSmallSpan = int64_t{256} << 10;  // gaps in less than this are not worth another read
constexpr int64_t kWaste = 4;                       // bytes read for each that is wanted, at most

// Reads a rectangle of a tensor, halving it until what it covers is worth reading as a whole.
struct RectReader {
  File& file;
  int64_t offset, size;
  StridedTarget layout;  // strides of the tensor in the file

  void read(const Rect& rect, const StridedTarget& into) const {
    const int64_t wanted = rect.numel() * size;
    int64_t first = offset, span = size;
    bool contiguous = true;  // here and there
    int64_t dense = size;
    for (int d = rect.extent.rank() - 1; d >= 0; --d) {
      const int64_t stride = layout.strides[static_cast<size_t>(d)];
      first += rect.begin[d] * stride;
      span += (rect.extent[d] - 1) * stride;
      contiguous = contiguous && (rect.extent[d] == 1 ||
                                  (stride == dense && into.strides[static_cast<size_t>(d)] == dense));
      dense *= rect.extent[d];
    }
    if (span == wanted && contiguous) return file.read(first, {into.data, static_cast<size_t>(span)});
    if (span <= kSmallSpan || (span <= kSpan && span <= kWaste * wanted)) {
      const PageMemory memory = page_memory(span);
      file.read(first, {memory.get(), static_cast<size_t>(span)});
      StridedOrigin origin{.data = memory.get(), .strides = layout.strides};
      return copy_strided(rect.extent, origin, into, size);
    }
    int d = 0;
    while (rect.extent[d] == 1) ++d;
    Rect half = rect;
    StridedTarget target = into;
    half.extent.set(d, rect.extent[d] / 2);
    read(half, target);
    half.begin.set(d, rect.begin[d] + half.extent[d]);
    target.data += half.extent[d] * into.strides[static_cast<size_t>(d)];
    half.extent.set(d, rect.extent[d] - half.extent[d]);
    read(half, target);
  }
};

}  // namespace

size_t StoredTensors::add_file(std::string path) {
  paths_.push_back(std::move(path));
  return paths_.size() - 1;
}

void StoredTensors::add(StoredTensor tensor) {
  check(tensor.file < paths_.size(), "[stored tensors] file {} of {}", tensor.file, paths_.size());
  places_.push_back({tensor.file, tensor.offset,
                     tensor.strides.value_or(
                         row_major(nullptr, tensor.logical.shape, size_of(tensor.logical.type)).strides)});
  tensors_.push_back(std::move(tensor.logical));
}

std::shared_ptr<File> StoredTensors::file(size_t index) const {
  const std::lock_guard lock(mutex_);
  const auto known =
      std::find_if(open_.begin(), open_.end(), [&](const auto& entry) { return entry.first == index; });
  if (known != open_.end()) {
    std::rotate(known, known + 1, open_.end());
    return open_.back().second;
  }
  if (open_.size() >= kOpenFiles) open_.erase(open_.begin());
  return open_.emplace_back(index, files_.open(paths_[index], OpenMode::read_plain)).second;
}

void StoredTensors::read(size_t tensor, const Rect& rect, const StridedTarget& into) const {
  if (rect.numel() == 0) return;
  const TensorSpec& logical = tensors_.at(tensor);
  const int64_t size = size_of(logical.type);
  const Place& place = places_[tensor];
  const auto opened = file(place.file);
  RectReader{*opened, place.offset, size, {.strides = place.strides}}.read(rect, into);
}

}  // namespace strata
