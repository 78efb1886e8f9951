// SPDX-License-Identifier: Apache-2.0
// Quantizers by the bytes they must move, and products of codes by their recipes, with bf16 beside them: with
// and without quantizing the left operand, so that it shows where 8 bits pay.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "core/ops/matmul.h"
#include "core/ops/quantize.h"
#include "tests/gpu/gpu_bench.h"

namespace strata {
namespace {

std::string_view name(ScaleShape shape) {
  switch (shape) {
    case ScaleShape::tensor:
      return "tensor";
    case ScaleShape::row:
      return "row";
    case ScaleShape::tile:
      return "tile";
    case ScaleShape::block:
      return "block";
  }
  return "?";
}

// Factors in the order that products read them in, so that none are moved.
Quantized make(Bench& bench, int64_t rows, int64_t k, ScaleShape shape) {
  Allocator& memory = *bench.device.memory();
  const Shape of = scales_shape(shape, rows, k);
  Tensor scales;
  if (shape == ScaleShape::tile)
    scales = make_tensor(memory, DType::f32, {of[1], of[0]}, "bench").t();
  else if (shape == ScaleShape::block)
    scales = make_tensor(memory, DType::f32, {of[0], round_up(of[1], 4)}, "bench").slice(1, 0, of[1]);
  else
    scales = make_tensor(memory, DType::f32, of, "bench");
  return {make_tensor(memory, DType::f8e4m3, {rows, k}, "bench"), scales, shape};
}

std::string quantizer(Bench& bench, int64_t rows, int64_t columns, ScaleShape shape, bool both,
                      double copy_bytes_per_s) {
  const Quantize args{.x = bench.normal({rows, columns}),
                      .rows = make(bench, rows, columns, shape),
                      .columns = both ? make(bench, columns, rows, shape) : Quantized()};
  const double seconds = bench.seconds([&] { quantize(bench.stream, args); });
  const bool twice = shape == ScaleShape::tensor || shape == ScaleShape::row;  // reads x again for magnitudes
  double bytes = static_cast<double>(args.x.bytes()) * (twice ? 2 : 1);
  for (const Quantized& to : {args.rows, args.columns})
    if (to) bytes += static_cast<double>(to.codes.bytes() + to.scales.numel() * size_of(DType::f32));
  return fmt::format(
      R"({{"what":"quantize bf16 to e4m3","factors":"{}","both":{},"rows":{},"columns":{},"ms":{:.4f},"gb_per_s":{:.0f},"of_copy":{:.2f}}})",
      name(shape), both, rows, columns, seconds * 1e3, bytes / seconds / 1e9,
      bytes / seconds / copy_bytes_per_s);
}

std::string product(Bench& bench, int64_t m, int64_t n, int64_t k, ScaleShape left, ScaleShape right,
                    bool gradient) {
  const Tensor x = bench.normal({m, k}), w = bench.normal({n, k});
  const Quantized a = make(bench, m, k, left), b = make(bench, n, k, right);
  const Tensor out =
      make_tensor(*bench.device.memory(), gradient ? DType::f32 : DType::bf16, {m, n}, "bench");
  const Write write = gradient ? Write::accumulate : Write::overwrite;
  if (gradient) fill(bench.stream, out, 0);
  quantize(bench.stream, {.x = w, .rows = b});
  const double with = bench.seconds([&] {
    quantize(bench.stream, {.x = x, .rows = a});
    quantized_matmul(bench.stream, {.a = a, .b = b, .out = out, .write = write});
  });
  const double alone =
      bench.seconds([&] { quantized_matmul(bench.stream, {.a = a, .b = b, .out = out, .write = write}); });
  const double bf16 =
      bench.seconds([&] { matmul(bench.stream, {.a = x, .b = w.t(), .out = out, .write = write}); });
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  return fmt::format(
      R"({{"what":"matmul e4m3","factors":"{} {}","accumulates":{},"m":{},"n":{},"k":{},"ms":{:.4f},"tflops":{:.1f},"with_quantizing_ms":{:.4f},"bf16_ms":{:.4f},"speedup":{:.2f}}})",
      name(left), name(right), gradient, m, n, k, alone * 1e3, flops / alone / 1e12, with * 1e3, bf16 * 1e3,
      bf16 / with);
}

}  // namespace

std::vector<std::string> fp8_rates(Bench& bench, bool tiny, double copy_bytes_per_s) {
  using enum ScaleShape;
  std::vector<std::string> rows;
  const int64_t unit = tiny ? 16 : 1024;
  for (const ScaleShape shape : {tensor, row, tile, block})
    for (const bool both : {false, true})
      rows.push_back(quantizer(bench, 8 * unit, 8 * unit, shape, both, copy_bytes_per_s));
  for (const auto& [m, n, k] :
       {std::tuple<int64_t, int64_t, int64_t>{8, 8, 8}, {4, 7, 16}, {4, 4, 7}, {8, 2, 2}}) {
    rows.push_back(product(bench, m * unit, n * unit, k * unit, tensor, tensor, false));
    rows.push_back(product(bench, m * unit, n * unit, k * unit, row, row, false));
    rows.push_back(product(bench, m * unit, n * unit, k * unit, tile, block, false));
    rows.push_back(product(bench, m * unit, n * unit, k * unit, tile, tile, true));
  }
  return rows;
}

}  // namespace strata
