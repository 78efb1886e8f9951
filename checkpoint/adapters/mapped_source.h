// SPDX-License-Identifier: Apache-2.0
// Tensors made of rectangles of another source's tensors: renamed, cut out, fused, transposed, stacked, with
// dims taken away. Foreign formats differ from the logical tensors by geometry alone, and this is all of it.
// No element is converted.
#pragma once

#include <array>
#include <functional>

#include "checkpoint/logical.h"

namespace strata {

// The elements of `target` (a rectangle of the new tensor). Element (i, j, ...) of it is the old tensor's
// element at `begin`, moved by i in dim axes[0], by j in dim axes[1], ...; dims of the old tensor that are
// not among them stay at `begin`. A dim with kNew for an axis is one that the old tensor has not: the target
// has extent 1 there.
struct MappedPiece {
  static constexpr int8_t kNew = -1;
  size_t from = 0;  // index of the old tensor
  Shape begin;
  Rect target;
  std::array<int8_t, Shape::kMaxRank> axes{0, 1, 2, 3, 4};
};

struct MappedTensor {
  TensorSpec logical;
  std::vector<MappedPiece> pieces;  // cover it exactly once
};

// All of an old tensor: as it is, or (a matrix) with rows and columns exchanged.
MappedPiece whole_piece(size_t from, const Shape& target);
MappedPiece transposed_piece(size_t from, const Shape& target);

class MappedSource : public TensorSource {
 public:
  // `source` lives longer. Throws Error(model) naming the tensor when pieces leave theirs, have another type,
  // or do not cover the new tensor exactly once.
  MappedSource(const TensorSource& source, std::vector<MappedTensor> tensors, nlohmann::json metadata,
               std::vector<Asset> assets);

  std::string format() const override { return source_.format(); }
  std::string path() const override { return source_.path(); }
  std::span<const TensorSpec> tensors() const override { return logical_; }
  const nlohmann::json& metadata() const override { return metadata_; }
  std::vector<Asset> assets() const override { return assets_; }
  // Of tensors that are old ones as they were.
  std::optional<Digest> stored_digest(size_t tensor) const override;
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override;

 private:
  const TensorSource& source_;
  std::vector<MappedTensor> tensors_;
  std::vector<TensorSpec> logical_;
  nlohmann::json metadata_;
  std::vector<Asset> assets_;
};

// Those of a source's tensors that are wanted, as they are, without its assets.
MappedSource select_tensors(const TensorSource& source,
                            const std::function<bool(const TensorSpec& tensor)>& wanted);

}  // namespace strata
