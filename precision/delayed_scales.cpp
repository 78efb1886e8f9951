// SPDX-License-Identifier: Apache-2.0
#include "precision/delayed_scales.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/format/fp8.h"
#include "core/tensor/transfer.h"

namespace strata {
namespace {

constexpr int64_t kHistoryRow = 16;  // f32 of a tensor: a cache line

}  // namespace

DelayedScales::DelayedScales(const DelayedOptions& options, std::vector<Fp8Format> gradients,
                             Allocator& memory, Stream& stream)
    : options_(options) {
  for (const Fp8Format format : gradients) {
    largest_.push_back(largest_finite(Fp8Format::e4m3));
    largest_.push_back(largest_finite(format));
  }
  known_.resize(largest_.size());
  const int64_t bytes = width() * kHistoryRow * size_of(DType::f32);
  buffer_ = memory.allocate(2 * bytes, "delayed scales");
  factors_ = Tensor(buffer_, 0, DType::f32, {width(), kHistoryRow});
  amax_ = Tensor(buffer_, bytes, DType::f32, {width(), kHistoryRow});
  begin_step(stream);
}

Tensor DelayedScales::factor(int site, LinearSide side) const {
  if (!known_[at(site, side)]) return {};
  return factors_.slice(0, static_cast<int64_t>(at(site, side)), 1).slice(1, 0, 1).view({1});
}

Tensor DelayedScales::amax(int site, LinearSide side) const {
  return amax_.slice(0, static_cast<int64_t>(at(site, side)), 1).slice(1, 0, 1).view({1});
}

void DelayedScales::begin_step(Stream& stream) {
  std::vector<float> zeros(static_cast<size_t>(width() * kHistoryRow));
  transfer(stream, Tensor::borrow(zeros.data(), DType::f32, amax_.shape()), amax_);
  stream.synchronize();
}

void DelayedScales::end_step(Stream& stream, const std::function<void(std::span<float>)>& reduce) {
  std::vector<float> table(static_cast<size_t>(width() * kHistoryRow));
  transfer(stream, amax_, Tensor::borrow(table.data(), DType::f32, amax_.shape()));
  stream.synchronize();
  std::vector<float> latest(static_cast<size_t>(width()));
  for (size_t i = 0; i < latest.size(); ++i) latest[i] = table[i * kHistoryRow];
  reduce(latest);
  history_.insert(history_.begin(), latest.begin(), latest.end());
  history_.resize(std::min(history_.size(), static_cast<size_t>(options_.history * width())));
  make_factors(stream);
}

void DelayedScales::make_factors(Stream& stream) {
  const auto count = static_cast<size_t>(width());
  std::vector<float> table(count * kHistoryRow, 1.0F);
  for (size_t i = 0; i < count; ++i) {
    float amax = 0;
    for (size_t at = i; at < history_.size(); at += count) amax = std::max(amax, history_[at]);
    known_[i] = amax > 0;
    table[i * kHistoryRow] = scale_of(largest_[i], std::ldexp(amax, options_.margin), ScaleKind::f32).factor;
  }
  transfer(stream, Tensor::borrow(table.data(), DType::f32, factors_.shape()), factors_);
  stream.synchronize();
}

std::vector<float> DelayedScales::history(int site) const {
  std::vector<float> magnitudes;
  for (const LinearSide side : {LinearSide::input, LinearSide::gradient})
    for (size_t i = at(site, side); i < history_.size(); i += largest_.size())
      magnitudes.push_back(history_[i]);
  return magnitudes;
}

void DelayedScales::restore(Stream& stream, std::span<const std::vector<float>> histories) {
  check(std::ssize(histories) == num_sites(), "[delayed] histories of {} sites, not of {}", histories.size(),
        num_sites());
  size_t steps = 0;
  for (const auto& history : histories) steps = std::max(steps, history.size() / 2);
  steps = std::min(steps, static_cast<size_t>(options_.history));
  history_.assign(steps * largest_.size(), 0.0F);
  for (int site = 0; site < num_sites(); ++site) {
    const std::vector<float>& history = histories[static_cast<size_t>(site)];
    const size_t own = history.size() / 2, kept = std::min(own, steps);
    for (const LinearSide side : {LinearSide::input, LinearSide::gradient})
      for (size_t step = 0; step < kept; ++step)
        history_[step * largest_.size() + at(site, side)] =
            history[(side == LinearSide::gradient ? own : 0) + step];
  }
  make_factors(stream);
}

}  // namespace strata
