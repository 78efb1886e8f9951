// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/likeness.h"

#include <cmath>
#include <limits>
#include <mutex>

#include "core/base/check.h"
#include "core/io/page_memory.h"

namespace strata {
namespace {

Likeness likeness_of_values(std::span<const float> a, std::span<const float> b) {
  Likeness sums;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i], apart = std::abs(x - y);
    sums.products += x * y;
    sums.squares_a += x * x;
    sums.squares_b += y * y;
    sums.squared_distance += apart * apart;
    if (apart > sums.largest || std::isnan(apart)) sums.largest = apart;
    sums.different += x != y ? 1 : 0;
  }
  return sums;
}

}  // namespace

double Likeness::cosine() const {
  if (squares_a == 0 || squares_b == 0) return squares_a == squares_b ? 1 : 0;
  return products / (std::sqrt(squares_a) * std::sqrt(squares_b));
}

double Likeness::distance() const {
  if (squared_distance == 0) return 0;
  return squares_a == 0 ? std::numeric_limits<double>::infinity() : std::sqrt(squared_distance / squares_a);
}

Likeness& Likeness::operator+=(const Likeness& other) {
  products += other.products;
  squares_a += other.squares_a;
  squares_b += other.squares_b;
  squared_distance += other.squared_distance;
  if (other.largest > largest || std::isnan(other.largest)) largest = other.largest;
  different += other.different;
  return *this;
}

Likeness likeness_of(const TensorSource& a, size_t tensor_a, const TensorSource& b, size_t tensor_b,
                     int64_t piece_bytes, WorkerPool& pool, const BytesDone& done) {
  const TensorSpec &spec_a = a.tensors()[tensor_a], &spec_b = b.tensors()[tensor_b];
  check(spec_a.shape == spec_b.shape && spec_a.type == ElementType::f32 && spec_b.type == ElementType::f32,
        "[likeness] {} and {}", to_string(spec_a), to_string(spec_b));
  constexpr int64_t kFloat = sizeof(float);
  const std::vector<Rect> pieces = a.pieces(tensor_a, piece_bytes);
  std::vector<Likeness> of_pieces(pieces.size());
  std::mutex telling;
  pool.for_each(std::ssize(pieces), [&](int64_t i, int) {
    const Rect& rect = pieces[static_cast<size_t>(i)];
    const auto count = static_cast<size_t>(rect.numel());
    const PageMemory memory = page_memory(2 * rect.numel() * kFloat);
    auto* const values = reinterpret_cast<float*>(memory.get());
    const auto read = [&](const TensorSource& source, size_t tensor, float* into) {
      source.read(tensor, rect, row_major(reinterpret_cast<std::byte*>(into), rect.extent, kFloat));
    };
    read(a, tensor_a, values);
    read(b, tensor_b, values + count);
    of_pieces[static_cast<size_t>(i)] = likeness_of_values({values, count}, {values + count, count});
    const std::lock_guard lock(telling);
    if (done) done(2 * rect.numel() * kFloat);
  });
  Likeness sums;
  for (const Likeness& piece : of_pieces) sums += piece;
  return sums;
}

}  // namespace strata
