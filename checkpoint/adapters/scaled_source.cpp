// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/scaled_source.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "checkpoint/adapters/strided_copy.h"
#include "core/base/error.h"
#include "core/format/e4m3.h"

namespace strata {
namespace {

constexpr int64_t kScaledAtOnce = int64_t{1} << 20;  // decoded at a time

bool is_codes(const TensorSpec& tensor) {
  return tensor.type == ElementType::f8_e4m3 && tensor.shape.rank() == 2;
}

std::array<float, 256> decoded() {
  std::array<float, 256> values;
  for (size_t code = 0; code < values.size(); ++code) values[code] = E4m3::decode(static_cast<uint8_t>(code));
  return values;
}

// The blocks of `extent` elements that begin at `begin`: the first, and how many.
std::pair<int64_t, int64_t> blocks_of(int64_t begin, int64_t extent, int64_t block) {
  const int64_t first = begin / block;
  return {first, (begin + extent - 1) / block + 1 - first};
}

}  // namespace

bool ScaledSource::is_needed(const TensorSource& source) {
  return std::any_of(source.tensors().begin(), source.tensors().end(), is_codes);
}

ScaledSource::ScaledSource(const TensorSource& source, const ScaledBlocks& blocks)
    : DerivedSource(source), factors_(source, ElementType::f32), blocks_(blocks) {
  const std::span<const TensorSpec> stored = source.tensors();
  std::map<std::string, size_t> known;
  for (size_t t = 0; t < stored.size(); ++t)
    if (stored[t].state == "param") known.emplace(stored[t].name, t);
  const auto find = [&](const std::string& name) {
    const auto found = known.find(name);
    return found == known.end() ? std::nullopt : std::optional(found->second);
  };
  std::vector<std::string> faults;
  for (size_t t = 0; t < stored.size(); ++t) {
    TensorSpec tensor = stored[t];
    Place place{t, std::nullopt};
    if (is_codes(tensor)) {
      const Shape shape = blocks.factors(tensor.shape);
      place.factors = find(tensor.name + std::string(kScaleSuffix));
      if (!place.factors) {
        faults.push_back(
            fmt::format("missing    {}{} {} of {}", tensor.name, kScaleSuffix, shape, to_string(tensor)));
      } else if (const TensorSpec& factors = stored[*place.factors];
                 factors.shape != shape ||
                 (factors.type != ElementType::f32 && factors.type != ElementType::bf16)) {
        faults.push_back(
            fmt::format("different  {}, which should be f32 or bf16 {}", to_string(factors), shape));
      }
      tensor.type = ElementType::f32;
    } else if (tensor.name.ends_with(kScaleSuffix)) {
      const auto codes = find(tensor.name.substr(0, tensor.name.size() - kScaleSuffix.size()));
      if (codes && is_codes(stored[*codes])) continue;
      faults.push_back(fmt::format("extra      {}, of no codes", to_string(tensor)));
    }
    tensors_.push_back(std::move(tensor));
    places_.push_back(place);
  }
  if (faults.empty()) return;
  constexpr size_t kListed = 50;
  const size_t all = faults.size();
  if (all > kListed) faults.resize(kListed);
  throw Error(Fault::model,
              {.what = "8-bit weights and their factors do not fit each other",
               .where = source.path(),
               .found = fmt::format("{} differences\n    {}", all, fmt::join(faults, "\n    ")),
               .expected = fmt::format("beside each e4m3 matrix NAME a factor for every {}x{} block, NAME{}",
                                       blocks.rows, blocks.columns, kScaleSuffix),
               .fix = "fetch the model's folder again, whole; weight_block_size of its config.json says the "
                      "blocks"});
}

std::string ScaledSource::format() const {
  return fmt::format("{}, e4m3 with a factor for {}x{} weights", source_.format(), blocks_.rows,
                     blocks_.columns);
}

std::optional<Digest> ScaledSource::stored_digest(size_t tensor) const {
  const Place& place = places_.at(tensor);
  return place.factors ? std::nullopt : source_.stored_digest(place.from);
}

void ScaledSource::read(size_t tensor, const Rect& rect, const StridedTarget& into) const {
  const Place& place = places_.at(tensor);
  if (!place.factors) return source_.read(place.from, rect, into);
  static const std::array<float, 256> kValues = decoded();
  std::vector<std::byte> codes;
  std::vector<float> factors, values;
  for_parts(rect, into, kScaledAtOnce, [&](const Rect& part, const StridedTarget& target) {
    const int64_t rows = part.extent[0], columns = part.extent[1];
    const auto [row, block_rows] = blocks_of(part.begin[0], rows, blocks_.rows);
    const auto [column, block_columns] = blocks_of(part.begin[1], columns, blocks_.columns);
    codes.resize(static_cast<size_t>(rows * columns));
    values.resize(codes.size());
    factors.resize(static_cast<size_t>(block_rows * block_columns));
    source_.read(place.from, part, row_major(codes.data(), part.extent, 1));
    const Rect of_blocks{{row, column}, {block_rows, block_columns}};
    factors_.read(*place.factors, of_blocks,
                  row_major(reinterpret_cast<std::byte*>(factors.data()), of_blocks.extent, 4));
    for (int64_t r = 0; r < rows; ++r) {
      const float* const factor =
          &factors[static_cast<size_t>(((part.begin[0] + r) / blocks_.rows - row) * block_columns)];
      for (int64_t b = 0; b < block_columns; ++b) {
        const int64_t first = std::max<int64_t>((column + b) * blocks_.columns - part.begin[1], 0);
        const int64_t last = std::min((column + b + 1) * blocks_.columns - part.begin[1], columns);
        for (int64_t i = r * columns + first; i < r * columns + last; ++i)
          values[static_cast<size_t>(i)] =
              kValues[static_cast<size_t>(codes[static_cast<size_t>(i)])] * factor[b];
      }
    }
    copy_strided(
        part.extent,
        {reinterpret_cast<const std::byte*>(values.data()), row_major(nullptr, part.extent, 4).strides},
        target, 4);
  });
}

}  // namespace strata
