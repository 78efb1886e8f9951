// SPDX-License-Identifier: Apache-2.0
// Checkpoints of any format as logical tensors: whole, unfused, unpadded, named. A TensorSource is read, a
// TensorSink is written; converting is one into the other, and no code beyond a format's own file knows how
// that format stores things.
#pragma once

#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/digest.h"
#include "checkpoint/element_type.h"
#include "core/tensor/rect.h"

namespace strata {

// `name` and `state` together are unique in a checkpoint. Both hold printable ASCII without '/', '@' and
// blanks, `name` at most 512 bytes, `state` at most 64.
struct TensorSpec {
  std::string name;             // "layers.0.mlp.up.weight"
  std::string state = "param";  // "param", or what an optimizer keeps for it: "m", "v", ...
  ElementType type = ElementType::f32;
  Shape shape;
  std::string role = {};  // "linear", "norm", "embedding", ...; empty when not known

  int64_t bytes() const { return shape.numel() * size_of(type); }
  friend bool operator==(const TensorSpec&, const TensorSpec&) = default;
};

std::string to_string(const TensorSpec& tensor);  // "layers.0.mlp.up.weight (m) f32 [512, 192]"

// Throws Error(model) when name, state or shape are not what TensorSpec allows (extents are >= 0 and the
// bytes fit in 62 bits). `where` is the file that said so.
void check_logical(const TensorSpec& tensor, const std::string& where);

// A rectangle of a logical tensor: what a rank holds, or a file stores contiguously in row-major order.
struct Fragment {
  size_t tensor = 0;  // index into a list of TensorSpec
  Rect rect;
};

// Memory that takes or gives the elements of a rectangle: element (i, j, ...) of it is at
// data + i * strides[0] + j * strides[1] + ...; strides are in bytes and may be negative or zero-free in any
// order.
template <typename Byte>
struct StridedBytes {
  Byte* data = nullptr;
  std::array<int64_t, Shape::kMaxRank> strides{};
};
using StridedTarget = StridedBytes<std::byte>;

// Contiguous row-major memory of `extent` elements.
StridedTarget row_major(std::byte* data, const Shape& extent, int64_t element_bytes);

// A file that travels with the tensors (model configuration, tokenizer). Names match [A-Za-z0-9._-]+ and do
// not begin with a dot.
struct Asset {
  std::string name;
  std::string content;
};

class TensorSource {
 public:
  virtual ~TensorSource() = default;

  virtual std::string format() const = 0;  // "Strata 1.0", "safetensors, 3 files": for people
  virtual std::string path() const = 0;    // for messages
  virtual std::span<const TensorSpec> tensors() const = 0;
  // What the format says beside the tensors, as a JSON object.
  virtual const nlohmann::json& metadata() const = 0;
  virtual std::vector<Asset> assets() const { return {}; }
  // The digest that was stored with a tensor (digest.h); nothing when the format stores none.
  virtual std::optional<Digest> stored_digest(size_t tensor) const {
    static_cast<void>(tensor);
    return std::nullopt;
  }

  // Fills `into` with the elements of `rect`, which lies in the tensor's shape. Callable from several
  // threads. What the format can check is checked before any byte is handed out: a damaged block is an
  // Error(model) naming tensor and range.
  virtual void read(size_t tensor, const Rect& rect, const StridedTarget& into) const = 0;
  // Rectangles that are cheap to read as a whole, covering the tensor exactly once, of at most `bytes` each
  // where the format allows. The default cuts rows.
  virtual std::vector<Rect> pieces(size_t tensor, int64_t bytes) const;
};

class TensorSink {
 public:
  virtual ~TensorSink() = default;  // without commit(): nothing is left under the final name

  // Once, first: everything that will be written. Lays out files and reserves their space.
  virtual void declare(std::vector<TensorSpec> tensors, const nlohmann::json& metadata,
                       std::vector<Asset> assets) = 0;
  // The rectangles in which the sink wants a tensor, covering it exactly once.
  virtual std::vector<Rect> pieces(size_t tensor) const = 0;
  // The digest of a piece that an earlier try, cut off before its commit(), left whole: not to be written
  // again. Nothing for the others, and for formats that begin anew.
  virtual std::optional<Digest> kept(size_t tensor, size_t piece) const {
    static_cast<void>(tensor);
    static_cast<void>(piece);
    return std::nullopt;
  }
  // One whole piece, contiguous and row-major; each that was not kept exactly once, in any order, from
  // several threads.
  virtual void write(size_t tensor, const Rect& piece, std::span<const std::byte> bytes) = 0;
  // Once, when every piece was written: makes the result whole and durable, under a name that is not yet its
  // own, and returns that: it can be read there.
  virtual std::string finish() = 0;
  // Last: gives it its name, durably. Does finish() when that was not done.
  virtual void commit() = 0;
};

// Rows (then parts of rows) of `shape` in rectangles of at most `bytes`, at least one element each, in
// row-major order: each is contiguous in a row-major tensor. Nothing for a tensor without elements.
std::vector<Rect> cut_rows(const Shape& shape, int64_t element_bytes, int64_t bytes);

// Copies the elements of `common` (inside both rectangles, all of one tensor) from row-major `from`, which
// holds `from_rect`, to `to`, whose data holds `to_rect`.
void copy_rect(const Rect& common, const Rect& from_rect, const std::byte* from, const Rect& to_rect,
               const StridedTarget& to, int64_t element_bytes);

}  // namespace strata
