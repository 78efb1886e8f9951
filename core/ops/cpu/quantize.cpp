// SPDX-License-Identifier: Apache-2.0
// Quantizing in bands of 128 rows, tile by tile: a tile is read once for both results. Factors that are
// shared by more than a tile are known before: their magnitudes are gathered in a first pass.
#include "core/ops/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/amax.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/kernels/quantize_kernels.h"
#include "core/ops/cpu/parallel.h"
#include "core/ops/cpu/scale_at.h"

namespace strata::cpu {
namespace {

constexpr uint32_t kInfinity = 0x7F800000u;

const QuantizeKernels& kernels_of(Isa isa) { return STRATA_SELECT_ISA(isa, quantize_kernels); }
const CodeKernels& code_kernels(const QuantizeKernels& kernels, DType codes) {
  return codes == DType::f8e4m3 ? kernels.e4m3 : kernels.e5m2;
}
Fp8Format format_of(DType codes) { return codes == DType::f8e4m3 ? Fp8Format::e4m3 : Fp8Format::e5m2; }

// Magnitudes of a first pass, and sums to be added up band by band.
struct QuantizeSpace {
  int64_t bands, rows, columns;
  int64_t whole, row_amax, column_amax, counts;  // elements: u32, u32, u32, f64

  explicit QuantizeSpace(const Quantize& args)
      : bands(div_up(args.x.dim(0), kScaleTile)), rows(args.x.dim(0)), columns(args.x.dim(1)) {
    const auto has = [&](ScaleShape shape) {
      return (args.rows && args.rows.shape == shape) || (args.columns && args.columns.shape == shape);
    };
    whole = !args.known && ((has(ScaleShape::tensor) && !args.given) || args.amax) ? bands : 0;
    row_amax = args.rows && args.rows.shape == ScaleShape::row ? rows : 0;
    column_amax = args.columns && args.columns.shape == ScaleShape::row ? columns : 0;
    counts = args.counts ? bands * kQuantizeCounts : 0;
  }
  int64_t bytes() const { return counts * 8 + (whole + row_amax + column_amax) * 4; }
  bool first_pass() const { return whole + row_amax + column_amax > 0; }
};

struct Work {
  const Quantize& args;
  const QuantizeKernels& kernels;
  double* counts;
  uint32_t *whole, *row_amax, *column_amax;
  Fp8Scale whole_rows{1, 1}, whole_columns{1, 1};
};

CodeTile load(const Work& work, int64_t row, int64_t column, float* values) {
  const Tensor& x = work.args.x;
  const CodeTile tile{values, static_cast<int>(std::min(kScaleTile, x.dim(0) - row)),
                      static_cast<int>(std::min(kScaleTile, x.dim(1) - column))};
  work.kernels.load(offset(ref(x), row * x.stride(0) + column), tile.rows, tile.columns, values);
  return tile;
}

uint32_t largest(const uint32_t* magnitudes, int count) {
  uint32_t most = 0;
  for (int i = 0; i < count; ++i) most = std::max(most, magnitudes[i]);
  return most;
}

// Rows' magnitudes and the whole's come from bands, columns' from strips of 128 columns: no two workers write
// one.
void magnitudes_of_band(const Work& work, int64_t band) {
  alignas(64) float values[kCodeTile * kCodeTile];
  uint32_t rows[kCodeTile] = {};
  const int64_t row = band * kScaleTile;
  int count = 0;
  for (int64_t column = 0; column < work.args.x.dim(1); column += kScaleTile) {
    const CodeTile tile = load(work, row, column, values);
    work.kernels.row_amax(tile, rows);
    count = tile.rows;
  }
  if (work.whole) work.whole[band] = largest(rows, count);
  if (work.row_amax) std::copy_n(rows, count, work.row_amax + row);
}

void magnitudes_of_strip(const Work& work, int64_t strip) {
  alignas(64) float values[kCodeTile * kCodeTile];
  uint32_t* const columns = work.column_amax + strip * kScaleTile;
  std::fill_n(columns, std::min(kScaleTile, work.args.x.dim(1) - strip * kScaleTile), 0u);
  for (int64_t row = 0; row < work.args.x.dim(0); row += kScaleTile)
    work.kernels.column_amax(load(work, row, strip * kScaleTile, values), columns);
}

// The multipliers of one direction of a tile; writes the factors that the tile has for itself.
void scales_of_tile(const Work& work, const Quantized& to, const Fp8Scale& whole, const uint32_t* shared,
                    const uint32_t* own, uint32_t block, int count, int64_t first, int64_t chunk,
                    float* multipliers) {
  const float most = largest_finite(format_of(to.codes.dtype()));
  float* const scales = to.scales.data<float>();
  const auto make = [&](uint32_t amax) { return scale_of(most, std::bit_cast<float>(amax), work.args.kind); };
  const Fp8Scale of_block = to.shape == ScaleShape::block ? make(block) : whole;
  if (to.shape == ScaleShape::block)
    scales[first / kScaleTile * to.scales.stride(0) + chunk * to.scales.stride(1)] = of_block.factor;
  for (int i = 0; i < count; ++i) {
    Fp8Scale scale = of_block;
    if (to.shape == ScaleShape::row) {
      scale = make(shared[first + i]);
      if (chunk == 0) scales[(first + i) * to.scales.stride(0)] = scale.factor;
    } else if (to.shape == ScaleShape::tile) {
      scale = make(own[i]);
      scales[(first + i) * to.scales.stride(0) + chunk * to.scales.stride(1)] = scale.factor;
    }
    multipliers[i] = scale.multiplier;
  }
}

// In double precision: what encoding did to a tile.
void count_tile(const CodeTile& tile, Fp8Format format, bool transposed, const float* multipliers,
                double* counts) {
  for (int r = 0; r < tile.rows; ++r)
    for (int c = 0; c < tile.columns; ++c) {
      const float x = tile.values[r * kCodeTile + c], m = multipliers[transposed ? c : r], scaled = x * m;
      const float value = decode(format, encode(format, scaled));
      const double error = static_cast<double>(x) - static_cast<double>(value) / static_cast<double>(m);
      counts[kCountElements] += 1;
      counts[kCountSaturated] += saturates(format, scaled) ? 1 : 0;
      counts[kCountUnderflow] += x != 0 && value == 0 ? 1 : 0;
      if (!std::isfinite(x)) continue;
      counts[kSumSquares] += static_cast<double>(x) * static_cast<double>(x);
      counts[kSumSquaredError] += error * error;
    }
}

void quantize_band(const Work& work, int64_t band) {
  alignas(64) float values[kCodeTile * kCodeTile];
  float multipliers[kCodeTile];
  const Quantize& args = work.args;
  const int64_t row = band * kScaleTile;
  double* const counts = work.counts ? work.counts + band * kQuantizeCounts : nullptr;
  if (counts) std::fill_n(counts, kQuantizeCounts, 0.0);
  const auto by_tile = [](const Quantized& q) {
    return q && (q.shape == ScaleShape::tile || q.shape == ScaleShape::block);
  };
  for (int64_t column = 0; column < args.x.dim(1); column += kScaleTile) {
    const CodeTile tile = load(work, row, column, values);
    uint32_t row_amax[kCodeTile] = {}, column_amax[kCodeTile] = {}, block = 0;
    if (by_tile(args.rows) || (args.columns && args.columns.shape == ScaleShape::block)) {
      work.kernels.row_amax(tile, row_amax);
      block = largest(row_amax, tile.rows);
    }
    if (args.columns && args.columns.shape == ScaleShape::tile) work.kernels.column_amax(tile, column_amax);
    const auto codes_at = [](const Quantized& q, int64_t r, int64_t c) {
      return reinterpret_cast<uint8_t*>(q.codes.raw()) + r * q.codes.stride(0) + c;
    };
    if (args.rows) {
      const DType codes = args.rows.codes.dtype();
      scales_of_tile(work, args.rows, work.whole_rows, work.row_amax, row_amax, block, tile.rows, row,
                     column / kScaleTile, multipliers);
      code_kernels(work.kernels, codes)
          .encode_rows(tile, multipliers, codes_at(args.rows, row, column), args.rows.codes.stride(0));
      if (counts) count_tile(tile, format_of(codes), false, multipliers, counts);
    }
    if (args.columns) {
      const DType codes = args.columns.codes.dtype();
      scales_of_tile(work, args.columns, work.whole_columns, work.column_amax, column_amax, block,
                     tile.columns, column, band, multipliers);
      code_kernels(work.kernels, codes)
          .encode_columns(tile, multipliers, codes_at(args.columns, column, row),
                          args.columns.codes.stride(0));
      if (counts && !args.rows) count_tile(tile, format_of(codes), true, multipliers, counts);
    }
  }
}

void write_whole(const Quantized& to, const Fp8Scale& scale) {
  if (to && to.shape == ScaleShape::tensor) *to.scales.data<float>() = scale.factor;
}

}  // namespace

int64_t quantize_scratch(const Quantize& args) { return QuantizeSpace(args).bytes(); }

void quantize(Stream& stream, const Quantize& args) {
  CpuStream& cpu = cpu_stream(stream);
  const QuantizeSpace space(args);
  const Scratch::Scope scope(stream.scratch());
  std::byte* const scratch = stream.scratch().take(space.bytes());
  cpu.enqueue([&pool = cpu.pool(), isa = cpu.isa(), args, space, scratch] {
    auto* const counts = reinterpret_cast<double*>(scratch);
    auto* next = reinterpret_cast<uint32_t*>(counts + space.counts);
    const auto take = [&next](int64_t count) {
      return count > 0 ? std::exchange(next, next + count) : nullptr;
    };
    Work work{.args = args,
              .kernels = kernels_of(isa),
              .counts = space.counts > 0 ? counts : nullptr,
              .whole = take(space.whole),
              .row_amax = take(space.row_amax),
              .column_amax = take(space.column_amax)};
    if (work.whole || work.row_amax)
      pool.for_each(space.bands, [&](int64_t band, int) { magnitudes_of_band(work, band); });
    if (work.column_amax)
      pool.for_each(div_up(space.columns, kScaleTile),
                    [&](int64_t strip, int) { magnitudes_of_strip(work, strip); });
    const uint32_t amax = args.known   ? std::bit_cast<uint32_t>(*args.known.data<float>())
                          : work.whole ? largest(work.whole, static_cast<int>(space.bands))
                                       : 0;
    if (args.amax && amax < kInfinity)
      *args.amax.data<float>() = std::max(*args.amax.data<float>(), std::bit_cast<float>(amax));
    const auto whole = [&](const Quantized& to) -> Fp8Scale {
      if (!to || to.shape != ScaleShape::tensor) return {1, 1};
      if (args.given) return {1 / *args.given.data<float>(), *args.given.data<float>()};
      return scale_of(largest_finite(format_of(to.codes.dtype())), std::bit_cast<float>(amax), args.kind);
    };
    work.whole_rows = whole(args.rows);
    work.whole_columns = whole(args.columns);
    write_whole(args.rows, work.whole_rows);
    write_whole(args.columns, work.whole_columns);
    pool.for_each(space.bands, [&](int64_t band, int) { quantize_band(work, band); });
    if (work.counts)
      for (int64_t band = 0; band < space.bands; ++band)
        for (int i = 0; i < kQuantizeCounts; ++i)
          args.counts.data<double>()[i] += work.counts[band * kQuantizeCounts + i];
  });
}

void raise_amax(Stream& stream, const Tensor& x, const Tensor& amax) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&cpu, x, amax] {
    for_rows(cpu.pool(), x.dim(0), x.dim(1) * size_of(x.dtype()),
             [&](Range rows) { raise_amax(cpu.isa(), amax, x, rows); });
  });
}

void dequantize(Stream& stream, const Quantized& x, const Tensor& out) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&pool = cpu.pool(), x, out] {
    const Fp8Format format = format_of(x.codes.dtype());
    float values[256];
    for (int code = 0; code < 256; ++code) values[code] = decode(format, static_cast<uint8_t>(code));
    for_rows(pool, out.dim(0), 5 * out.dim(1), [&](Range rows) {
      for (int64_t r = rows.begin; r < rows.end; ++r) {
        const auto* const codes = reinterpret_cast<const uint8_t*>(x.codes.raw()) + r * x.codes.stride(0);
        for (int64_t c = 0; c < out.dim(1); ++c) {
          const float value = values[codes[c]] * scale_at(x, r, c / kScaleTile);
          if (out.dtype() == DType::f32)
            out.data<float>()[r * out.stride(0) + c] = value;
          else
            out.data<bf16>()[r * out.stride(0) + c] = to_bf16(value);
        }
      }
    });
  });
}

}  // namespace strata::cpu
