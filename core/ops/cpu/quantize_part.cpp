// SPDX-License-Identifier: Apache-2.0
// A part of a matrix, band of 128 rows by band: the rest of a row that another part began, whole rows, and
// the beginning of one that another part ends, each in chunks of 128 elements.
#include "core/ops/quantize_part.h"

#include <algorithm>
#include <bit>

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/kernels/quantize_kernels.h"
#include "core/ops/cpu/parallel.h"

namespace strata::cpu {
namespace {

constexpr uint32_t kInfinityBits = 0x7F800000u;

const QuantizeKernels& part_kernels(Isa isa) { return STRATA_SELECT_ISA(isa, quantize_kernels); }

struct Rows {
  int64_t begin, end;   // rows of the matrix
  int64_t first, last;  // columns
};

// The part's real elements.
int64_t end_of(const MatrixPart& part) {
  return std::clamp(part.rows * part.k, part.begin, part.begin + part.x.numel());
}
// Bands that it has elements of.
Range bands_of(const MatrixPart& part) {
  const int64_t of_band = kScaleTile * part.k, end = end_of(part);
  return {part.begin / of_band, end > part.begin ? div_up(end, of_band) : part.begin / of_band};
}

// body(tile's first row, first column, rows, columns) over what the part has of a band.
template <typename Body>
void for_tiles(const MatrixPart& part, int64_t band, const Body& body) {
  const int64_t k = part.k, of_band = kScaleTile * k;
  const int64_t begin = std::max(part.begin, band * of_band),
                end = std::min(end_of(part), (band + 1) * of_band);
  const int64_t whole = div_up(begin, k), behind = end / k;  // rows that are here as a whole
  const Rows pieces[] = {
      {begin / k, begin / k + 1, begin % k, std::min(k, end - begin / k * k)},
      {whole, behind, 0, k},
      {behind, behind + 1, 0, end % k},
  };
  const bool has[] = {begin % k != 0, whole < behind, end % k != 0 && behind >= whole};
  for (int i = 0; i < 3; ++i) {
    if (!has[i]) continue;
    const auto& [from, to, first, last] = pieces[i];
    for (int64_t column = first / kScaleTile * kScaleTile; column < last; column += kScaleTile) {
      const int64_t left = std::max(column, first), right = std::min(column + kScaleTile, last);
      body(from, left, static_cast<int>(to - from), static_cast<int>(right - left));
    }
  }
}

CodeTile load(const QuantizeKernels& kernels, const MatrixPart& part, int64_t row, int64_t column, int rows,
              int columns, float* values) {
  MatrixRef x = offset(ref(part.x), row * part.k + column - part.begin);
  x.stride = part.k;
  kernels.load(x, rows, columns, values);
  return {values, rows, columns};
}

}  // namespace

int64_t part_magnitudes_scratch(const MatrixPart& part) {
  return div_up(part.rows, kScaleTile) * size_of(DType::f32);
}

void part_magnitudes(Stream& stream, const MatrixPart& part, const Tensor& amax) {
  CpuStream& cpu = cpu_stream(stream);
  const Scratch::Scope scope(stream.scratch());
  std::byte* const scratch = stream.scratch().take(part_magnitudes_scratch(part));
  cpu.enqueue([&pool = cpu.pool(), isa = cpu.isa(), part, amax, scratch] {
    const QuantizeKernels& kernels = part_kernels(isa);
    const bool by_block = part.shape == ScaleShape::block;
    auto* const of_bands = reinterpret_cast<uint32_t*>(scratch);
    auto* const to = reinterpret_cast<uint32_t*>(amax.data<float>());
    std::fill_n(to, amax.numel(), 0u);
    const Range bands = bands_of(part);
    pool.for_each(bands.end - bands.begin, [&](int64_t index, int) {
      alignas(64) float values[kCodeTile * kCodeTile];
      const int64_t band = bands.begin + index;
      of_bands[band] = 0;
      for_tiles(part, band, [&](int64_t row, int64_t column, int rows, int columns) {
        uint32_t of_rows[kCodeTile] = {};
        kernels.row_amax(load(kernels, part, row, column, rows, columns, values), of_rows);
        uint32_t most = *std::max_element(of_rows, of_rows + rows);
        most = std::min(most, kInfinityBits);
        uint32_t& here = by_block ? to[band * amax.stride(0) + column / kScaleTile] : of_bands[band];
        here = std::max(here, most);
      });
    });
    for (int64_t band = bands.begin; !by_block && band < bands.end; ++band)
      *to = std::max(*to, of_bands[band]);
  });
}

void quantize_part(Stream& stream, const QuantizePart& args) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&pool = cpu.pool(), isa = cpu.isa(), args] {
    const MatrixPart& part = args.part;
    const QuantizeKernels& kernels = part_kernels(isa);
    const Fp8Format format = args.codes.dtype() == DType::f8e4m3 ? Fp8Format::e4m3 : Fp8Format::e5m2;
    const CodeKernels& of_format = format == Fp8Format::e4m3 ? kernels.e4m3 : kernels.e5m2;
    const auto scale = [&](int64_t entry) {
      return scale_of(largest_finite(format), args.amax.data<const float>()[entry], args.kind);
    };
    for (int64_t i = 0; i < args.scales.numel(); ++i) args.scales.data<float>()[i] = scale(i).factor;
    auto* const codes = reinterpret_cast<uint8_t*>(args.codes.raw());
    std::fill_n(codes + (end_of(part) - part.begin), part.begin + part.x.numel() - end_of(part), uint8_t{0});
    const Range bands = bands_of(part);
    pool.for_each(bands.end - bands.begin, [&](int64_t index, int) {
      alignas(64) float values[kCodeTile * kCodeTile];
      float multipliers[kCodeTile];
      const int64_t band = bands.begin + index;
      for_tiles(part, band, [&](int64_t row, int64_t column, int rows, int columns) {
        const int64_t entry =
            part.shape == ScaleShape::block ? band * args.amax.stride(0) + column / kScaleTile : 0;
        std::fill_n(multipliers, rows, scale(entry).multiplier);
        of_format.encode_rows(load(kernels, part, row, column, rows, columns, values), multipliers,
                              codes + (row * part.k + column - part.begin), part.k);
      });
    });
  });
}

}  // namespace strata::cpu
