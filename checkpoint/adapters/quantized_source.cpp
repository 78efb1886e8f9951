// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/quantized_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr int64_t kQuantizedAtOnce = int64_t{1} << 20;  // of the matrix, held at a time

// A part of a matrix that consists of whole blocks, and its factors.
struct Blocks {
  Rect rect;
  std::vector<float> values;
  int64_t rows, columns;  // of a block
  std::vector<Fp8Scale> scales;

  void find_scales(ScaleKind kind) {
    const int64_t height = rect.extent[0], width = rect.extent[1], across = div_up(width, columns);
    std::vector<uint32_t> largest(static_cast<size_t>(div_up(height, rows) * across));
    for (int64_t r = 0; r < height; ++r)
      for (int64_t block = 0; block < across; ++block) {
        const float* const row = &values[static_cast<size_t>(r * width)];
        uint32_t& most = largest[static_cast<size_t>(r / rows * across + block)];
        for (int64_t c = block * columns; c < std::min((block + 1) * columns, width); ++c)
          most = std::max(most, std::bit_cast<uint32_t>(row[c]) & 0x7FFFFFFFu);
      }
    scales.clear();
    for (const uint32_t most : largest)
      scales.push_back(scale_of(largest_finite(Fp8Format::e4m3), std::bit_cast<float>(most), kind));
  }
  bool finite() const {
    return std::all_of(values.begin(), values.end(), [](float value) {
      return (std::bit_cast<uint32_t>(value) & 0x7FFFFFFFu) < 0x7F800000u;
    });
  }
  std::vector<std::byte> codes() const {
    const int64_t width = rect.extent[1], across = div_up(width, columns);
    std::vector<std::byte> made(values.size());
    for (int64_t r = 0; r < rect.extent[0]; ++r)
      for (int64_t block = 0; block < across; ++block) {
        const float multiplier = scales[static_cast<size_t>(r / rows * across + block)].multiplier;
        const int64_t end = r * width + std::min((block + 1) * columns, width);
        for (int64_t i = r * width + block * columns; i < end; ++i)
          made[static_cast<size_t>(i)] = std::byte{E4m3::encode(values[static_cast<size_t>(i)] * multiplier)};
      }
    return made;
  }
};

// Calls `f` with all blocks that hold elements of `rect`, a few at a time.
template <typename F>
void for_blocks(const Rect& rect, const Shape& shape, const ScaledBlocks& size, const F& f) {
  if (rect.numel() == 0) return;
  const int64_t wide = std::max<int64_t>(kQuantizedAtOnce / size.rows / size.columns, 1) * size.columns;
  const auto begin = [](int64_t at, int64_t block) { return at / block * block; };
  for (int64_t row = begin(rect.begin[0], size.rows); row < rect.begin[0] + rect.extent[0]; row += size.rows)
    for (int64_t column = begin(rect.begin[1], size.columns); column < rect.begin[1] + rect.extent[1];
         column += wide) {
      const int64_t end = std::min(round_up(rect.begin[1] + rect.extent[1], size.columns), shape[1]);
      f(Rect{{row, column}, {std::min(size.rows, shape[0] - row), std::min(wide, end - column)}});
    }
}

}  // namespace

QuantizedSource::QuantizedSource(const TensorSource& source, const std::vector<bool>& chosen, ScaleKind kind)
    : DerivedSource(source), kind_(kind) {
  for (size_t t = 0; t < source.tensors().size(); ++t) {
    TensorSpec tensor = source.tensors()[t];
    if (!chosen[t]) {
      tensors_.push_back(std::move(tensor));
      places_.push_back({t, What::as_it_is});
      continue;
    }
    check(tensor.type == ElementType::f32 && tensor.shape.rank() == 2, "[quantized] {}", to_string(tensor));
    tensor.type = ElementType::f8_e4m3;
    tensors_.push_back(tensor);
    places_.push_back({t, What::codes});
    tensors_.push_back({.name = tensor.name + std::string(kScaleSuffix),
                        .state = tensor.state,
                        .type = ElementType::f32,
                        .shape = blocks_.factors(tensor.shape)});
    places_.push_back({t, What::factors});
  }
}

std::optional<Digest> QuantizedSource::stored_digest(size_t tensor) const {
  const Place& place = places_.at(tensor);
  return place.what == What::as_it_is ? source_.stored_digest(place.from) : std::nullopt;
}

void QuantizedSource::read(size_t tensor, const Rect& rect, const StridedTarget& into) const {
  const Place place = places_.at(tensor);
  const size_t from = place.from;
  const What what = place.what;
  if (what == What::as_it_is) return source_.read(from, rect, into);
  const TensorSpec& matrix = source_.tensors()[from];
  Rect wanted = rect;  // of the matrix
  if (what == What::factors) {
    const std::array size{blocks_.rows, blocks_.columns};
    for (int d = 0; d < 2; ++d) {
      const int64_t block = size[static_cast<size_t>(d)], begin = rect.begin[d] * block;
      wanted.begin.set(d, begin);
      wanted.extent.set(d, std::min((rect.begin[d] + rect.extent[d]) * block, matrix.shape[d]) - begin);
    }
  }
  Blocks blocks{.rect = {}, .values = {}, .rows = blocks_.rows, .columns = blocks_.columns, .scales = {}};
  for_blocks(wanted, matrix.shape, blocks_, [&](const Rect& part) {
    blocks.rect = part;
    blocks.values.resize(static_cast<size_t>(part.numel()));
    source_.read(from, part,
                 row_major(reinterpret_cast<std::byte*>(blocks.values.data()), part.extent, sizeof(float)));
    if (!blocks.finite())
      throw Error(Fault::numeric, {.what = fmt::format("tensor '{}' cannot be stored in 8 bits", matrix.name),
                                   .where = source_.path(),
                                   .found = fmt::format("a weight that is infinite or no number, in {} + {}",
                                                        part.begin, part.extent),
                                   .expected = "numbers",
                                   .fix = "take an earlier checkpoint, or another --dtype"});
    blocks.find_scales(kind_);
    if (what == What::codes) {
      const std::vector<std::byte> codes = blocks.codes();
      copy_rect(*intersect(part, rect), part, codes.data(), rect, into, 1);
      return;
    }
    const Rect made{{part.begin[0] / blocks_.rows, part.begin[1] / blocks_.columns},
                    blocks_.factors(part.extent)};
    std::vector<float> factors;
    for (const Fp8Scale& scale : blocks.scales) factors.push_back(scale.factor);
    copy_rect(*intersect(made, rect), made, reinterpret_cast<const std::byte*>(factors.data()), rect, into,
              sizeof(float));
  });
}

}  // namespace strata
