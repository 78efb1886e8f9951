// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/fp8_gemm.h"

#include <algorithm>
#include <array>
#include <functional>

#include "core/base/isa.h"
#include "core/data/tokenizer.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/ops/quantize.h"
#include "launch/bench/bench_operands.h"
#include "launch/bench/foreign_load.h"
#include "launch/bench/median.h"
#include "launch/train/build.h"
#include "launch/train/place.h"
#include "launch/train/precision.h"
#include "parallel/comm/plan_world.h"
#include "precision/recipe.h"

namespace strata {
namespace {

// A product left . right^T, in both ways.
class Pair {
 public:
  Pair(WorkerPool& pool, const QuantizationRecipe& recipe, GemmProduct product, const GemmShape& shape,
       int64_t tokens)
      : pool_(pool), recipe_(recipe), weight_gradient_(product == GemmProduct::weight_gradient) {
    const bool forward = product == GemmProduct::forward;
    const auto [m, n, k] = weight_gradient_ ? std::array{shape.out, shape.in, tokens}
                           : forward        ? std::array{tokens, shape.out, shape.in}
                                            : std::array{tokens, shape.in, shape.out};
    flops_ = 2.0 * static_cast<double>(m * n * k);
    const Fp8Format left_format = forward ? Fp8Format::e4m3 : recipe.gradient;
    if (weight_gradient_) {  // operands of features x tokens, from values of tokens x features
      left_values_ = matrix(k, m), right_values_ = matrix(k, n);
      left_ = codes(left_format, recipe.columns, m, k), right_ = codes(Fp8Format::e4m3, recipe.columns, n, k);
      out_ = make_tensor(*allocator_, DType::f32, {m, n}, "bench");
    } else {
      left_values_ = matrix(m, k), right_values_ = matrix(n, k);
      left_ = codes(left_format, recipe.rows, m, k), right_ = codes(Fp8Format::e4m3, recipe.weight, n, k);
      out_ = make_tensor(*allocator_, DType::bf16, {m, n}, "bench");
      values_panels_ = panels(k, n), codes_panels_ = panels(k, n);
      pack(stream_, right_values_.t(), values_panels_);
      quantize(stream_, {.x = right_values_, .rows = right_, .kind = recipe.kind});
      pack_codes(stream_, right_, codes_panels_);
      right_.codes = {};
    }
    quantize_operands();
  }

  void in_bf16() {
    if (weight_gradient_)
      matmul(stream_, {.a = left_values_.t(), .b = right_values_, .out = out_, .write = Write::accumulate});
    else
      matmul(stream_, {.a = left_values_, .packed_b = values_panels_, .out = out_});
  }
  void on_codes() {
    quantized_matmul(stream_, {.a = left_,
                               .b = right_,
                               .packed_b = codes_panels_,
                               .out = out_,
                               .write = weight_gradient_ ? Write::accumulate : Write::overwrite});
  }
  void quantize_operands() {
    if (!weight_gradient_) return quantize(stream_, {.x = left_values_, .rows = left_, .kind = recipe_.kind});
    quantize(stream_, {.x = left_values_, .columns = left_, .kind = recipe_.kind});
    quantize(stream_, {.x = right_values_, .columns = right_, .kind = recipe_.kind});
  }
  double flops() const { return flops_; }

 private:
  Tensor matrix(int64_t rows, int64_t columns) {
    return bench_matrix(pool_, *allocator_, DType::bf16, rows, columns);
  }
  Quantized codes(Fp8Format format, ScaleShape shape, int64_t rows, int64_t k) {
    return {make_tensor(*allocator_, dtype_of(format), {rows, k}, "bench codes"),
            make_tensor(*allocator_, DType::f32, scales_shape(shape, rows, k), "bench factors"), shape};
  }
  PackedMatrix panels(int64_t k, int64_t n) {
    return {make_tensor(*allocator_, DType::u8, {packed_bytes(stream_, DType::bf16, k, n)}, "bench packed"),
            DType::bf16, k, n};
  }

  WorkerPool& pool_;
  const QuantizationRecipe& recipe_;
  bool weight_gradient_;
  CpuStream stream_{pool_};
  std::shared_ptr<Allocator> allocator_ = make_cpu_allocator();
  Tensor left_values_, right_values_, out_;
  Quantized left_, right_;
  PackedMatrix values_panels_, codes_panels_;
  double flops_ = 0;
};

Fp8GemmRow measure(Pair& pair, int rounds) {
  const std::array<std::function<void()>, 3> variants{[&] { pair.in_bf16(); }, [&] { pair.on_codes(); },
                                                      [&] {
                                                        pair.quantize_operands();
                                                        pair.on_codes();
                                                      }};
  for (const auto& variant : variants) variant();  // first touch, scratch
  std::array<std::vector<double>, 3> speeds, ratios;
  for (int round = 0; round < rounds; ++round)
    for (size_t i = 0; i < variants.size(); ++i) {
      speeds[i].push_back(gflops_of(pair.flops(), variants[i]));
      ratios[i].push_back(speeds[i].back() / speeds[0].back());
    }
  return {.shape = {},
          .recipe = {},
          .bf16_gflops = median(speeds[0]),
          .codes_gflops = median(speeds[1]),
          .with_quantizing_gflops = median(speeds[2]),
          .codes_of_bf16 = median(ratios[1]),
          .with_quantizing_of_bf16 = median(ratios[2])};
}

}  // namespace

Fp8GemmOptions fp8_gemm_options(const Config& given) {
  Config config = given;
  config.precision.compute = ComputeType::bf16;  // no recipe is needed, and no table followed
  const int64_t vocab = make_tokenizer(config.data.tokenizer)->vocab_size();
  const int ranks = least_ranks(config.parallel);
  const auto world = make_plan_world(0, ranks);
  const RankPlace place(*world, place_options(config, ranks, config.model.vocab ? config.model.vocab : vocab),
                        config.model.tied);
  const Model model = build_model(config, vocab, place.split());
  Fp8GemmOptions options{
      .shapes = {}, .tokens = {product_tokens(config)}, .recipes = {given.precision.recipe}};
  for (size_t block = 1; block < model.blocks.size(); ++block)
    for (const Parameter& parameter : model.blocks[block]->parameters()) {
      if (parameter.role != Role::linear || !parameter.multiplied) continue;
      const int64_t out = parameter.shape[0], in = parameter.shape[1];
      if (std::any_of(options.shapes.begin(), options.shapes.end(),
                      [&](const GemmShape& known) { return known.in == in && known.out == out; }))
        continue;
      const std::string layer = parameter.name.substr(0, parameter.name.rfind('.'));
      options.shapes.push_back({layer.substr(layer.rfind('.') + 1), in, out});
    }
  return options;
}

Fp8GemmBench bench_fp8_gemm(WorkerPool& pool, const Fp8GemmOptions& options) {
  Fp8GemmBench bench{.isa = std::string(name(active_isa())), .threads = pool.threads(), .rows = {}};
  const ForeignLoad foreign;
  for (const std::string& recipe_name : options.recipes)
    for (const int64_t tokens : options.tokens)
      for (const GemmShape& shape : options.shapes)
        for (const auto product :
             {GemmProduct::forward, GemmProduct::data_gradient, GemmProduct::weight_gradient}) {
          Pair pair(pool, quantization_recipe(recipe_name), product, shape, tokens);
          Fp8GemmRow row = measure(pair, options.rounds);
          row.shape = shape, row.recipe = recipe_name, row.product = product, row.tokens = tokens;
          bench.rows.push_back(std::move(row));
        }
  bench.foreign_cores = foreign.cores();
  return bench;
}

}  // namespace strata
