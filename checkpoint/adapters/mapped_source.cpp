// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/mapped_source.h"

#include "checkpoint/tiling.h"
#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {
namespace {

// Where a rectangle of the new tensor, inside the piece, lies in the old one.
Rect in_old(const MappedPiece& piece, const Rect& rect) {
  Rect old{.begin = piece.begin, .extent = piece.begin};
  for (int d = 0; d < old.extent.rank(); ++d) old.extent.set(d, 1);
  for (int d = 0; d < rect.extent.rank(); ++d) {
    const int axis = piece.axes[static_cast<size_t>(d)];
    if (axis == MappedPiece::kNew) continue;
    old.begin.set(axis, piece.begin[axis] + rect.begin[d] - piece.target.begin[d]);
    old.extent.set(axis, rect.extent[d]);
  }
  return old;
}

void check_piece(const MappedPiece& piece, const MappedTensor& tensor, std::span<const TensorSpec> old,
                 const std::string& where) {
  const TensorSpec& logical = tensor.logical;
  const auto refuse = [&](std::string found, std::string expected) {
    throw Error(Fault::model,
                {.what = fmt::format("tensor '{}' cannot be made from what is there", logical.name),
                 .where = where,
                 .found = std::move(found),
                 .expected = std::move(expected)});
  };
  check(piece.from < old.size(), "[map] tensor {} of {}", piece.from, old.size());
  const TensorSpec& from = old[piece.from];
  if (from.type != logical.type) refuse(to_string(from), fmt::format("type {}", name(logical.type)));
  const auto all = intersect(piece.target, Rect::whole(logical.shape));
  if (piece.target.extent.rank() != logical.shape.rank() || !all || *all != piece.target)
    refuse(fmt::format("a part at {} + {}", piece.target.begin, piece.target.extent),
           fmt::format("inside {}", logical.shape));
  unsigned seen = 0;
  bool good = piece.begin.rank() == from.shape.rank();
  for (int d = 0; good && d < logical.shape.rank(); ++d) {
    const int axis = piece.axes[static_cast<size_t>(d)];
    if (axis == MappedPiece::kNew) {
      good = piece.target.extent[d] == 1;
      continue;
    }
    good = axis >= 0 && axis < from.shape.rank() && !(seen >> axis & 1u);
    seen |= 1u << axis;
  }
  if (good) {
    const Rect old_rect = in_old(piece, piece.target);
    for (int d = 0; d < from.shape.rank(); ++d)
      good = good && old_rect.begin[d] >= 0 && old_rect.begin[d] + old_rect.extent[d] <= from.shape[d];
  }
  if (!good)
    refuse(to_string(from),
           fmt::format("one that holds the part {} of {}", piece.target.extent, logical.shape));
}

}  // namespace

MappedPiece whole_piece(size_t from, const Shape& target) {
  Shape begin = target;
  for (int d = 0; d < begin.rank(); ++d) begin.set(d, 0);
  return {.from = from, .begin = begin, .target = Rect::whole(target)};
}

MappedPiece transposed_piece(size_t from, const Shape& target) {
  MappedPiece piece = whole_piece(from, target);
  piece.axes = {1, 0, 2, 3, 4};
  return piece;
}

MappedSource::MappedSource(const TensorSource& source, std::vector<MappedTensor> tensors,
                           nlohmann::json metadata, std::vector<Asset> assets)
    : source_(source),
      tensors_(std::move(tensors)),
      metadata_(std::move(metadata)),
      assets_(std::move(assets)) {
  for (const MappedTensor& tensor : tensors_) {
    check_logical(tensor.logical, source.path());
    std::vector<Rect> rects;
    for (const MappedPiece& piece : tensor.pieces) {
      check_piece(piece, tensor, source.tensors(), source.path());
      if (piece.target.numel() > 0) rects.push_back(piece.target);
    }
    if (const auto fault = find_tiling_fault(tensor.logical.shape, rects))
      throw Error(
          Fault::model,
          {.what = fmt::format("tensor '{}' is not covered once by what it is made of", tensor.logical.name),
           .where = source.path(),
           .found = fmt::format("element {} {} times", fault->element, fault->covered)});
    logical_.push_back(tensor.logical);
  }
}

std::optional<Digest> MappedSource::stored_digest(size_t tensor) const {
  const MappedTensor& mapped = tensors_.at(tensor);
  if (mapped.pieces.size() != 1) return std::nullopt;
  const MappedPiece& piece = mapped.pieces.front();
  if (source_.tensors()[piece.from].shape != mapped.logical.shape) return std::nullopt;
  for (int d = 0; d < mapped.logical.shape.rank(); ++d)
    if (piece.axes[static_cast<size_t>(d)] != d) return std::nullopt;
  return source_.stored_digest(piece.from);
}

void MappedSource::read(size_t tensor, const Rect& rect, const StridedTarget& into) const {
  for (const MappedPiece& piece : tensors_.at(tensor).pieces) {
    const auto common = intersect(piece.target, rect);
    if (!common || common->numel() == 0) continue;
    StridedTarget target{.data = into.data};
    for (int d = 0; d < rect.extent.rank(); ++d) {
      const auto from = static_cast<size_t>(d);
      target.data += (common->begin[d] - rect.begin[d]) * into.strides[from];
      if (piece.axes[from] != MappedPiece::kNew)
        target.strides[static_cast<size_t>(piece.axes[from])] = into.strides[from];
    }
    source_.read(piece.from, in_old(piece, *common), target);
  }
}

MappedSource select_tensors(const TensorSource& source,
                            const std::function<bool(const TensorSpec& tensor)>& wanted) {
  std::vector<MappedTensor> selected;
  for (size_t i = 0; i < source.tensors().size(); ++i)
    if (const TensorSpec& tensor = source.tensors()[i]; wanted(tensor))
      selected.push_back({tensor, {whole_piece(i, tensor.shape)}});
  return MappedSource(source, std::move(selected), source.metadata(), {});
}

}  // namespace strata
