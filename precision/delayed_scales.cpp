// SPDX-License-Identifier: Apache-2.0
#include "precision/delayed_scales.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/format/fp8.h"
#include "core/tensor/transfer.h"

namespace strata {
namespace {

constexpr int64_t kRow = 16;  // f32 of a tensor: a cache line

}  // namespace

DelayedScales::DelayedScales(const DelayedOptions& options, std::vector<Fp8Format> gradients,
                             Allocator& memory, Stream& stream)
    : options_(options) {
  for (const Fp8Format format : gradients) {
    largest_.push_back(largest_finite(Fp8Format::e4m3));
    largest_.push_back(largest_finite(format));
  }
  const int64_t bytes = width() * kRow * size_of(DType::f32);
  buffer_ = memory.allocate(2 * bytes, "delayed scales");
  factors_ = Tensor(buffer_, 0, DType::f32, {width(), kRow});
  amax_ = Tensor(buffer_, bytes, DType::f32, {width(), kRow});
  begin_step(stream);
}

Tensor DelayedScales::factor(int site, LinearSide side) const {
  if (history_.empty()) return {};
  return factors_.slice(0, static_cast<int64_t>(at(site, side)), 1).slice(1, 0, 1).view({1});
}

Tensor DelayedScales::amax(int site, LinearSide side) const {
  return amax_.slice(0, static_cast<int64_t>(at(site, side)), 1).slice(1, 0, 1).view({1});
}

void DelayedScales::begin_step(Stream& stream) {
  std::vector<float> zeros(static_cast<size_t>(width() * kRow));
  transfer(stream, Tensor::borrow(zeros.data(), DType::f32, amax_.shape()), amax_);
  stream.synchronize();
}

void DelayedScales::end_step(Stream& stream, const std::function<void(std::span<float>)>& reduce) {
  std::vector<float> table(static_cast<size_t>(width() * kRow));
  transfer(stream, amax_, Tensor::borrow(table.data(), DType::f32, amax_.shape()));
  stream.synchronize();
  std::vector<float> latest(static_cast<size_t>(width()));
  for (size_t i = 0; i < latest.size(); ++i) latest[i] = table[i * kRow];
  reduce(latest);
  history_.insert(history_.begin(), latest.begin(), latest.end());
  history_.resize(std::min(history_.size(), static_cast<size_t>(options_.history * width())));
  make_factors(stream);
}

void DelayedScales::make_factors(Stream& stream) {
  const auto count = static_cast<size_t>(width());
  std::vector<float> table(count * kRow, 1.0F);
  for (size_t i = 0; i < count; ++i) {
    float amax = 0;
    for (size_t at = i; at < history_.size(); at += count) amax = std::max(amax, history_[at]);
    table[i * kRow] = scale_of(largest_[i], std::ldexp(amax, options_.margin), ScaleKind::f32).factor;
  }
  transfer(stream, Tensor::borrow(table.data(), DType::f32, factors_.shape()), factors_);
  stream.synchronize();
}

void DelayedScales::restore(Stream& stream, std::span<const float> history) {
  if (history.size() % static_cast<size_t>(width()) != 0)
    throw Error(Fault::model,
                {.what = "the history of delayed scales is of another model or recipe",
                 .where = "precision.recipe",
                 .found = fmt::format("{} values", history.size()),
                 .expected = fmt::format("a multiple of {}: two for each linear layer", width()),
                 .fix = "keep model and recipe, or begin with the weights alone: model.from in a new run"});
  const size_t kept = std::min(history.size(), static_cast<size_t>(options_.history * width()));
  history_.assign(history.begin(), history.begin() + static_cast<std::ptrdiff_t>(kept));
  if (!history_.empty()) make_factors(stream);
}

}  // namespace strata
