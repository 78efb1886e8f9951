// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/logical.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr int64_t kLargest = int64_t{1} << 62;  // bytes of one tensor

bool printable(std::string_view text, size_t longest) {
  return !text.empty() && text.size() <= longest && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 127 && c != '/' && c != '@' && c != '"' && c != '\\';
  });
}

}  // namespace

std::string to_string(const TensorSpec& tensor) {
  return fmt::format("{} ({}) {} {}", tensor.name, tensor.state, name(tensor.type), tensor.shape);
}

void check_logical(const TensorSpec& tensor, const std::string& where) {
  const auto refuse = [&](std::string what, std::string found) {
    throw Error(Fault::model, {.what = std::move(what), .where = where, .found = std::move(found)});
  };
  if (!printable(tensor.name, 512))
    refuse("a tensor has a name that no checkpoint holds",
           fmt::format("{} bytes: '{}'", tensor.name.size(), tensor.name.substr(0, 80)));
  if (!printable(tensor.state, 64) || tensor.state == "." || tensor.state == "..")
    refuse(fmt::format("tensor '{}' has a state that no checkpoint holds", tensor.name),
           tensor.state.substr(0, 80));
  int64_t bytes = size_of(tensor.type);
  for (const int64_t extent : tensor.shape) {
    if (extent < 0 || (extent > 0 && bytes > kLargest / extent))
      refuse(fmt::format("tensor '{}' has an impossible shape", tensor.name), to_string(tensor.shape));
    bytes *= std::max<int64_t>(extent, 1);  // an empty tensor may not hide an overflow
  }
}

StridedTarget row_major(std::byte* data, const Shape& extent, int64_t element_bytes) {
  StridedTarget target{.data = data};
  int64_t stride = element_bytes;
  for (int d = extent.rank() - 1; d >= 0; --d) {
    target.strides[static_cast<size_t>(d)] = stride;
    stride *= extent[d];
  }
  return target;
}

std::vector<Rect> TensorSource::pieces(size_t tensor, int64_t bytes) const {
  const TensorSpec& logical = tensors()[tensor];
  return cut_rows(logical.shape, size_of(logical.type), bytes);
}

std::vector<Rect> cut_rows(const Shape& shape, int64_t element_bytes, int64_t bytes) {
  if (shape.numel() == 0) return {};
  // The first dim that has to be cut: one index of it and all behind it fits.
  int dim = 0;
  int64_t inner = shape.numel() * element_bytes;
  while (dim < shape.rank() && inner > bytes) inner /= shape[dim++];
  std::vector<Rect> pieces;
  if (dim == 0) return {Rect::whole(shape)};
  const int cut = dim - 1;
  const int64_t step = std::max<int64_t>(1, bytes / inner);
  Rect piece = Rect::whole(shape);
  for (int d = 0; d < cut; ++d) piece.extent.set(d, 1);
  for (;;) {
    for (int64_t begin = 0; begin < shape[cut]; begin += step) {
      piece.begin.set(cut, begin);
      piece.extent.set(cut, std::min(step, shape[cut] - begin));
      pieces.push_back(piece);
    }
    int d = cut - 1;
    for (; d >= 0; --d) {
      if (piece.begin[d] + 1 < shape[d]) {
        piece.begin.set(d, piece.begin[d] + 1);
        break;
      }
      piece.begin.set(d, 0);
    }
    if (d < 0) return pieces;
  }
}

void copy_rect(const Rect& common, const Rect& from_rect, const std::byte* from, const Rect& to_rect,
               const StridedTarget& to, int64_t element_bytes) {
  const int rank = common.extent.rank();
  if (common.numel() == 0) return;
  const StridedTarget source = row_major(nullptr, from_rect.extent, element_bytes);
  const auto at = [](const auto& strides, int d) { return strides[static_cast<size_t>(d)]; };
  std::byte* target = to.data;
  for (int d = 0; d < rank; ++d) {
    from += (common.begin[d] - from_rect.begin[d]) * at(source.strides, d);
    target += (common.begin[d] - to_rect.begin[d]) * at(to.strides, d);
  }
  // Trailing dims that lie alike on both sides are one memcpy.
  int outer = rank;
  int64_t run = element_bytes;
  while (outer > 0 && at(source.strides, outer - 1) == run && at(to.strides, outer - 1) == run)
    run *= common.extent[--outer];
  if (outer == 0) {
    std::memcpy(target, from, static_cast<size_t>(run));
    return;
  }
  // A run may end early: dims before `outer` step in both memories separately.
  std::array<int64_t, Shape::kMaxRank> index{};
  for (;;) {
    std::memcpy(target, from, static_cast<size_t>(run));
    int d = outer - 1;
    for (; d >= 0; --d) {
      from += at(source.strides, d);
      target += at(to.strides, d);
      if (++index[static_cast<size_t>(d)] < common.extent[d]) break;
      from -= at(source.strides, d) * common.extent[d];
      target -= at(to.strides, d) * common.extent[d];
      index[static_cast<size_t>(d)] = 0;
    }
    if (d < 0) return;
  }
}

}  // namespace strata
