// SPDX-License-Identifier: Apache-2.0
#include "core/nn/lora.h"

#include <fnmatch.h>

#include <algorithm>

#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"

namespace strata {
namespace {

// to = s from, rounded once, where the device's memory for the f32 sums is scratch.
void scaled_product(Context& ctx, const Tensor& a, const Tensor& b, float s, const Tensor& to) {
  const Scratch::Scope scope(ctx.stream.scratch());
  const Tensor sums = ctx.scratch(DType::f32, {a.dim(0), b.dim(1)});
  matmul(ctx.stream, {.a = a, .b = b, .out = sums});
  if (s != 1) scale(ctx.stream, sums, s);
  copy(ctx.stream, sums, to);
}

}  // namespace

bool lora_pattern_matches(const std::string& pattern, const std::string& layer) {
  return fnmatch(pattern.c_str(), layer.c_str(), 0) == 0 ||
         fnmatch(("*." + pattern).c_str(), layer.c_str(), 0) == 0;
}

bool LoraSpec::targets_layer(const std::string& name) const {
  return rank > 0 && std::any_of(targets.begin(), targets.end(), [&](const std::string& pattern) {
           return lora_pattern_matches(pattern, name);
         });
}

Tensor LoraLayer::take(Region& region, DType dtype, int64_t tokens) const {
  return *this ? region.take(dtype, {tokens, width()}) : Tensor();
}

void LoraLayer::drop(Context& ctx, const Tensor& x, const Tensor& add, const Tensor& out) const {
  check(!ctx.batch.runs.empty(), "[lora] dropout of tokens that have no number in the run");
  for (const TokenRun& run : ctx.batch.runs)
    strata::dropout(ctx.stream, {.x = x.slice(0, run.begin, run.count),
                                 .add = add ? add.slice(0, run.begin, run.count) : Tensor(),
                                 .out = out.slice(0, run.begin, run.count),
                                 .rate = dropout,
                                 .key = key,
                                 .first = static_cast<uint64_t>(run.first * features + first_feature),
                                 .pitch = static_cast<uint64_t>(features)});
}

void LoraLayer::forward(Context& ctx, Weights weights, const Tensor& x, const Tensor& low,
                        const Tensor& y) const {
  if (!*this) return;
  {
    const Scratch::Scope scope(ctx.stream.scratch());
    const Tensor left = drops(ctx) ? ctx.scratch(x.dtype(), x.shape()) : x;
    if (drops(ctx)) drop(ctx, x, {}, left);
    scaled_product(ctx, left, weights[static_cast<size_t>(a)].weight.t(), scale, low);
  }
  const Tensor& up = weights[static_cast<size_t>(b)].weight;
  int64_t row = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Tensor out = y.slice(1, pieces[i].first, pieces[i].rows);
    matmul(ctx.stream,
           {.a = part(low, i), .b = up.slice(0, row, pieces[i].rows).t(), .out = out, .add = out});
    row += pieces[i].rows;
  }
}

void LoraLayer::backward_input(Context& ctx, Weights weights, const Tensor& dy, const Tensor& dlow,
                               const Tensor& dx) const {
  if (!*this) return;
  const Tensor& up = weights[static_cast<size_t>(b)].weight;
  int64_t row = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    scaled_product(ctx, dy.slice(1, pieces[i].first, pieces[i].rows), up.slice(0, row, pieces[i].rows), scale,
                   part(dlow, i));
    row += pieces[i].rows;
  }
  const Tensor& down = weights[static_cast<size_t>(a)].weight;
  if (!drops(ctx)) {
    matmul(ctx.stream, {.a = dlow, .b = down, .out = dx, .add = dx});
    return;
  }
  const Scratch::Scope scope(ctx.stream.scratch());
  const Tensor dleft = ctx.scratch(dx.dtype(), dx.shape());
  matmul(ctx.stream, {.a = dlow, .b = down, .out = dleft});
  drop(ctx, dleft, dx, dx);
}

bool LoraLayer::wants_gradient(const Gradients& gradients) const {
  return *this && (gradients.tensors[static_cast<size_t>(a)] || gradients.tensors[static_cast<size_t>(b)]);
}

void LoraLayer::backward_weight(Context& ctx, const Gradients& gradients, const Tensor& dy, const Tensor& x,
                                const Tensor& low, const Tensor& dlow) const {
  if (!*this) return;
  if (const Tensor& da = gradients.tensors[static_cast<size_t>(a)]) {
    const Scratch::Scope scope(ctx.stream.scratch());
    const Tensor left = drops(ctx) ? ctx.scratch(x.dtype(), x.shape()) : x;
    if (drops(ctx)) drop(ctx, x, {}, left);
    matmul(ctx.stream, {.a = dlow.t(), .b = left, .out = da, .write = gradients.write});
  }
  const Tensor& db = gradients.tensors[static_cast<size_t>(b)];
  if (!db) return;
  int64_t row = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    matmul(ctx.stream, {.a = dy.slice(1, pieces[i].first, pieces[i].rows).t(),
                        .b = part(low, i),
                        .out = db.slice(0, row, pieces[i].rows),
                        .write = gradients.write});
    row += pieces[i].rows;
  }
}

}  // namespace strata
