// SPDX-License-Identifier: Apache-2.0
#include "core/nn/layers.h"

#include <algorithm>
#include <cmath>

#include "core/base/hash.h"
#include "core/ops/elementwise.h"
#include "core/ops/norm.h"
#include "core/ops/reduce.h"

namespace strata {
namespace {

const Tensor& weight_of(Weights weights, int index) { return weights[static_cast<size_t>(index)].weight; }
const Tensor& gradient_of(const Gradients& gradients, int index) {
  return gradients.tensors[static_cast<size_t>(index)];
}

// `to` is absent when the parameter is frozen.
void write_vector(Stream& stream, const Tensor& from, const Tensor& to, Write write) {
  if (!to) return;
  if (write == Write::overwrite)
    copy(stream, from, to);
  else
    add(stream, from, to, to);
}

}  // namespace

Quantized LinearLayer::take_columns(Context& ctx, Region& region, LinearSide side, int64_t rows) const {
  const Parameter& parameter = (*list)[static_cast<size_t>(weight)];
  if (lora || !parameter.trainable) return {};
  const int64_t features = parameter.shape[side == LinearSide::input ? 1 : 0];
  return ctx.linear.take_columns(region, parameter.recipe, side, rows, features);
}

LinearOperand LinearLayer::keep(Context& ctx, Region& region, LinearSide side, DType dtype, int64_t rows,
                                bool needs_values) const {
  if (!needs_values)
    if (Quantized columns = take_columns(ctx, region, side, rows)) return {{}, std::move(columns)};
  return region.take(dtype, {rows, (*list)[static_cast<size_t>(weight)].shape[side == LinearSide::input]});
}

Tensor LinearLayer::take_amax(Context& ctx, LinearSide side) const {
  if (!ctx.linear.wants_amax(recipe(), side)) return {};
  Tensor amax = ctx.scratch(DType::f32, {1});
  fill(ctx.stream, amax, 0);
  return amax;
}

LinearOperand with_values(Context& ctx, const LinearOperand& kept, DType dtype, Shape shape) {
  return {kept.values ? kept.values : ctx.scratch(dtype, shape), kept.columns};
}

void LinearLayer::forward(Context& ctx, Weights weights, const LinearOperand& x, const Tensor& add,
                          const Tensor& y, const Tensor& low) const {
  const Tensor no_bias;
  ctx.linear.forward(ctx.stream, x, weights[static_cast<size_t>(weight)],
                     has_bias() ? weight_of(weights, bias) : no_bias, add, y);
  lora.forward(ctx, weights, x.values, low, y);
}

void LinearLayer::forward_residual(Context& ctx, Weights weights, Point point, const LinearOperand& x,
                                   const Tensor& residual, const Tensor& y, const Tensor& low) const {
  const Boundary& boundary = ctx.boundaries[point];
  if (boundary.identity()) {
    forward(ctx, weights, x, residual, y, low);
    return;
  }
  const Scratch::Scope scope(ctx.stream.scratch());
  const Tensor no_bias, partial = ctx.scratch(x.values.dtype(), {x.values.dim(0), y.dim(1)});
  ctx.linear.forward(ctx.stream, x, weights[static_cast<size_t>(weight)], no_bias, {}, partial);
  lora.forward(ctx, weights, x.values, low, partial);
  add(ctx.stream, boundary.forward(ctx.stream, partial), residual, y);
  if (has_bias()) add(ctx.stream, y, weight_of(weights, bias), y);
}

void LinearLayer::backward_input(Context& ctx, Weights weights, const LinearOperand& dy, const Tensor& dx,
                                 const Tensor& dlow) const {
  ctx.linear.backward_input(ctx.stream, dy, weights[static_cast<size_t>(weight)], dx);
  lora.backward_input(ctx, weights, dy.values, dlow, dx);
}

void LinearLayer::backward_weight(Context& ctx, const Gradients& gradients, const LinearOperand& dy,
                                  const LinearOperand& x, const Tensor& low, const Tensor& dlow) const {
  if (const Tensor& dweight = gradient_of(gradients, weight))
    ctx.linear.backward_weight(ctx.stream, dy, x, dweight, gradients.write, recipe());
  lora.backward_weight(ctx, gradients, dy.values, x.values, low, dlow);
}

void LinearLayer::backward_weight(Context& ctx, const Gradients& gradients, const LinearOperand& dy,
                                  const LinearOperand& x, Point point, const Tensor& low,
                                  const Tensor& dlow) const {
  // Frozen: nobody need meet.
  if (!gradient_of(gradients, weight) && !lora.wants_gradient(gradients)) return;
  const Scratch::Scope scope(ctx.stream.scratch());
  const LinearOperand behind = x.values ? ctx.boundaries[point].forward(ctx.stream, x.values) : x;
  backward_weight(ctx, gradients, dy, behind, low, dlow);
}

void LinearLayer::backward_bias(Context& ctx, const Gradients& gradients, const Tensor& dy) const {
  if (has_bias() && gradient_of(gradients, bias))
    column_sum(ctx.stream, {.x = dy, .out = gradient_of(gradients, bias), .write = gradients.write});
}

NormStats NormLayer::take_stats(Region& region, int64_t groups) const {
  NormStats stats;
  if (kind == NormKind::layer) stats.mean = region.take(DType::f32, {groups});
  stats.rstd = region.take(DType::f32, {groups});
  return stats;
}

NormGradient NormLayer::take_gradient(Region& region, int64_t width) const {
  NormGradient gradient;
  gradient.weight = region.take(DType::f32, {width});
  if (kind == NormKind::layer) gradient.bias = region.take(DType::f32, {width});
  return gradient;
}

void NormLayer::forward(Context& ctx, Weights weights, const Tensor& x, const Tensor& y,
                        const NormStats& stats, const Tensor& amax) const {
  const Tensor& gain = weight_of(weights, weight);
  if (kind == NormKind::rms)
    rms_norm_forward(ctx.stream,
                     {.x = x, .weight = gain, .y = y, .rstd = stats.rstd, .eps = eps, .amax = amax});
  else
    layer_norm_forward(ctx.stream, {.x = x,
                                    .weight = gain,
                                    .bias = weight_of(weights, bias),
                                    .y = y,
                                    .mean = stats.mean,
                                    .rstd = stats.rstd,
                                    .eps = eps,
                                    .amax = amax});
}

void NormLayer::backward(Context& ctx, Weights weights, const Tensor& x, const NormStats& stats,
                         const Tensor& dy, const Tensor& add, const Tensor& dx,
                         const NormGradient& gradient) const {
  const Tensor& gain = weight_of(weights, weight);
  if (kind == NormKind::rms)
    rms_norm_backward(ctx.stream, {.x = x,
                                   .weight = gain,
                                   .rstd = stats.rstd,
                                   .dy = dy,
                                   .dx = dx,
                                   .add = add,
                                   .dweight = gradient.weight,
                                   .write = Write::overwrite});
  else
    layer_norm_backward(ctx.stream, {.x = x,
                                     .weight = gain,
                                     .mean = stats.mean,
                                     .rstd = stats.rstd,
                                     .dy = dy,
                                     .dx = dx,
                                     .add = add,
                                     .dweight = gradient.weight,
                                     .dbias = gradient.bias,
                                     .write = Write::overwrite});
}

void NormLayer::accumulate(Context& ctx, const Gradients& gradients, const NormGradient& gradient) const {
  write_vector(ctx.stream, gradient.weight, gradient_of(gradients, weight), gradients.write);
  if (kind == NormKind::layer)
    write_vector(ctx.stream, gradient.bias, gradient_of(gradients, bias), gradients.write);
}

int ParameterList::add(Parameter parameter) {
  parameter.name = prefix_ + parameter.name;
  for (LogicalTensor& piece : parameter.pieces) piece.name = prefix_ + piece.name;
  parameters_.push_back(std::move(parameter));
  return static_cast<int>(parameters_.size()) - 1;
}

LinearLayer ParameterList::linear(const std::string& name, const std::vector<Piece>& pieces, int64_t in,
                                  bool bias, float std, Cut cut) {
  const int8_t dim = cut == Cut::inputs ? 1 : 0;
  const AxisPlacement placement = cut == Cut::whole ? AxisPlacement{} : split_.sharded(dim);
  Parameter weight{.name = name + ".weight",
                   .role = Role::linear,
                   .multiplied = true,
                   .value = placement,
                   .gradient = placement};
  // The bias goes with the outputs. Where they are whole, what is added to them works on rows between layers.
  const bool cut_bias = cut == Cut::outputs;
  Parameter offsets{.name = name + ".bias",
                    .role = Role::bias,
                    .value = cut_bias ? placement : AxisPlacement{},
                    .gradient = cut_bias ? placement : split_.per_row()};
  auto held = [&](const Shape& shape, bool is_cut) {
    const Rect whole = Rect::whole(shape);
    return is_cut ? shard(whole, shape.rank() == 1 ? 0 : dim, split_.parts, split_.part) : whole;
  };
  int64_t rows = 0;
  for (const Piece& piece : pieces) {
    const Shape shape{piece.rows, in}, bias_shape{piece.rows};
    const Rect rect = held(shape, cut != Cut::whole);
    weight.pieces.push_back({piece.name + ".weight", shape, {Init::Kind::normal, std}, rows, rect});
    offsets.pieces.push_back(
        {piece.name + ".bias", bias_shape, {Init::Kind::zeros}, rows, held(bias_shape, cut_bias)});
    rows += rect.extent[0];
  }
  weight.shape = {rows, cut == Cut::inputs ? split_.share(in) : in};
  offsets.shape = {rows};
  LinearLayer layer;
  layer.list = &parameters_;
  layer.weight = add(std::move(weight));
  if (bias) layer.bias = add(std::move(offsets));
  layer.lora = adapters(name, pieces, in, cut);
  return layer;
}

LoraLayer ParameterList::adapters(const std::string& name, const std::vector<Piece>& pieces, int64_t in,
                                  Cut cut) {
  const bool cut_in = cut == Cut::inputs, cut_out = cut == Cut::outputs;
  LoraLayer layer{.rank = lora_.rank,
                  .scale = lora_.scale,
                  .dropout = lora_.dropout,
                  .key = {.seed = lora_.seed, .stream = hash_name(prefix_ + name + ".dropout")},
                  .features = in,
                  .first_feature = cut_in ? split_.part * split_.share(in) : 0};
  // What every part holds whole sees only this part's addend of what it multiplies.
  Parameter down{.name = name + std::string(kLoraA),
                 .role = Role::adapter,
                 .value = cut_in ? split_.sharded(1) : AxisPlacement{},
                 .gradient = cut_in    ? split_.sharded(1)
                             : cut_out ? split_.partial()
                                       : AxisPlacement{}};
  Parameter up{.name = name + std::string(kLoraB),
               .role = Role::adapter,
               .value = cut_out ? split_.sharded(0) : AxisPlacement{},
               .gradient = cut_out  ? split_.sharded(0)
                           : cut_in ? split_.partial()
                                    : AxisPlacement{}};
  // Uniform within 1 / sqrt(in), Kaiming's (He et al. 2015) with a = sqrt(5): what peft begins with.
  const Init uniform{Init::Kind::uniform, 1 / std::sqrt(3 * static_cast<float>(in))};
  int64_t row = 0, rows = 0, low_rows = 0;
  for (const Piece& piece : pieces) {
    const int64_t held_rows = cut_out ? split_.share(piece.rows) : piece.rows;
    if (lora_.targets_layer(prefix_ + piece.name)) {
      const Shape a{lora_.rank, in}, b{piece.rows, lora_.rank};
      const auto held = [&](const Shape& shape, bool is_cut, int dim) {
        return is_cut ? shard(Rect::whole(shape), dim, split_.parts, split_.part) : Rect::whole(shape);
      };
      down.pieces.push_back({piece.name + std::string(kLoraA), a, uniform, low_rows, held(a, cut_in, 1)});
      up.pieces.push_back({piece.name + std::string(kLoraB), b, {}, rows, held(b, cut_out, 0)});
      layer.pieces.push_back({row, held_rows});
      low_rows += lora_.rank;
      rows += held_rows;
    }
    row += held_rows;
  }
  if (!layer) return {};
  down.shape = {low_rows, cut_in ? split_.share(in) : in};
  up.shape = {rows, lora_.rank};
  layer.a = add(std::move(down));
  layer.b = add(std::move(up));
  return layer;
}

NormLayer ParameterList::norm(NormKind kind, const std::string& name, int64_t width, float eps,
                              AxisPlacement gradient) {
  auto vector = [&](const std::string& full_name, Role role, Init::Kind init) {
    return add({.name = full_name,
                .shape = {width},
                .role = role,
                .pieces = {{full_name, {width}, {init}, 0, Rect::whole({width})}},
                .gradient = gradient});
  };
  NormLayer layer{.kind = kind, .eps = eps};
  layer.weight = vector(name + ".weight", Role::norm, Init::Kind::ones);
  if (kind == NormKind::layer) layer.bias = vector(name + ".bias", Role::bias, Init::Kind::zeros);
  return layer;
}

int ParameterList::vocabulary(const std::string& name, Role role, int64_t vocab, int64_t padded,
                              int64_t width, float std, bool multiplied) {
  // Of its share of the padded rows, a part holds those that are real.
  const int64_t rows = split_.share(padded), begin = std::min(vocab, split_.part * rows);
  const int64_t real = std::clamp<int64_t>(vocab - begin, 0, rows);
  return add({.name = name + ".weight",
              .shape = {rows, width},
              .role = role,
              .pieces = {{name + ".weight",
                          {vocab, width},
                          {Init::Kind::normal, std},
                          0,
                          {.begin = {begin, 0}, .extent = {real, width}}}},
              .multiplied = multiplied,
              .value = split_.sharded(0),
              .gradient = split_.sharded(0)});
}

int ParameterList::table(const std::string& name, int64_t rows, int64_t width, float std) {
  const Shape shape{rows, width};
  return add({.name = name + ".weight",
              .shape = shape,
              .role = Role::embedding,
              .pieces = {{name + ".weight", shape, {Init::Kind::normal, std}, 0, Rect::whole(shape)}},
              .gradient = split_.per_row()});
}

}  // namespace strata
