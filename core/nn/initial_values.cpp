// SPDX-License-Identifier: Apache-2.0
#include "core/nn/initial_values.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/hash.h"
#include "core/ops/elementwise.h"
#include "core/tensor/transfer.h"

namespace strata {
namespace {

void fill_normal_part(Stream& stream, const LogicalTensor& piece, const Tensor& rows, uint64_t seed) {
  const RandomKey key{.seed = seed, .stream = hash_name(piece.name)};
  const Rect& held = piece.held;
  const bool whole_rows = piece.shape.rank() == 1 || held.extent[1] == piece.shape[1];
  const int64_t width = piece.shape.rank() == 1 ? 1 : piece.shape[1];
  // Whole rows lie as they do in the logical tensor; of columns, every row is a piece of its own.
  const int64_t step = whole_rows ? std::max<int64_t>(rows.dim(0), 1) : 1;
  for (int64_t row = 0; row < rows.dim(0); row += step) {
    const int64_t first = (held.begin[0] + row) * width + (whole_rows ? 0 : held.begin[1]);
    fill_normal(stream, rows.slice(0, row, step), key, static_cast<uint64_t>(first), piece.init.std);
  }
}

// Of the host, which any device then copies: adapters are small.
void fill_uniform_part(Stream& stream, const LogicalTensor& piece, const Tensor& rows, uint64_t seed) {
  const RandomKey key{.seed = seed, .stream = hash_name(piece.name)};
  const float bound = std::sqrt(3.0f) * piece.init.std;
  const int64_t columns = piece.held.extent[1];
  std::vector<float> values(static_cast<size_t>(rows.numel()));
  for (int64_t i = 0; i < rows.numel(); ++i) {
    const auto element = static_cast<uint64_t>((piece.held.begin[0] + i / columns) * piece.shape[1] +
                                               piece.held.begin[1] + i % columns);
    values[static_cast<size_t>(i)] =
        (2 * uniform_open(random_block(key, element / 4)[element % 4]) - 1) * bound;
  }
  transfer(stream, Tensor::borrow(values.data(), DType::f32, rows.shape()), rows);
  stream.synchronize();  // `values` go
}

}  // namespace

Tensor rows_of(const LogicalTensor& piece, const Tensor& physical) {
  return physical.slice(0, piece.first_row, piece.held.extent[0]);
}

void fill_initial(Stream& stream, const Parameter& parameter, const Tensor& values, uint64_t seed) {
  for (const LogicalTensor& piece : parameter.pieces) {
    const Tensor rows = rows_of(piece, values);
    if (piece.init.kind == Init::Kind::ones) fill(stream, rows, 1);
    if (piece.init.kind == Init::Kind::uniform) fill_uniform_part(stream, piece, rows, seed);
    if (piece.init.kind == Init::Kind::normal) fill_normal_part(stream, piece, rows, seed);
  }
}

}  // namespace strata
