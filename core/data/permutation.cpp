// SPDX-License-Identifier: Apache-2.0
#include "core/data/permutation.h"

#include <algorithm>
#include <bit>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/philox.h"

namespace strata {

Permutation::Permutation(int64_t n, uint64_t seed, uint64_t epoch) : n_(n) {
  check(n > 0, "[permutation] of {} elements", n);
  const int bits = static_cast<int>(std::bit_width(static_cast<uint64_t>(n - 1)));
  half_bits_ = std::max(1, (bits + 1) / 2);
  mask_ = (uint64_t{1} << half_bits_) - 1;
  const RandomKey key{.seed = seed, .stream = hash_name("data.permutation")};
  constexpr uint64_t kBlocks = kRounds / 2;
  for (uint64_t b = 0; b < kBlocks; ++b) {
    const PhiloxBlock r = random_block(key, epoch * kBlocks + b);
    keys_[2 * b] = uint64_t{r[0]} << 32 | r[1];
    keys_[2 * b + 1] = uint64_t{r[2]} << 32 | r[3];
  }
}

uint64_t Permutation::encrypt(uint64_t x) const {
  uint64_t left = x >> half_bits_, right = x & mask_;
  for (const uint64_t key : keys_) {
    const uint64_t next = left ^ (mix64(key ^ right) & mask_);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

uint64_t Permutation::decrypt(uint64_t x) const {
  uint64_t left = x >> half_bits_, right = x & mask_;
  for (auto key = keys_.rbegin(); key != keys_.rend(); ++key) {
    const uint64_t previous = right ^ (mix64(*key ^ left) & mask_);
    right = left;
    left = previous;
  }
  return left << half_bits_ | right;
}

int64_t Permutation::operator()(int64_t index) const {
  check(index >= 0 && index < n_, "[permutation] {} of {}", index, n_);
  auto x = static_cast<uint64_t>(index);
  do x = encrypt(x);
  while (x >= static_cast<uint64_t>(n_));
  return static_cast<int64_t>(x);
}

int64_t Permutation::inverse(int64_t value) const {
  check(value >= 0 && value < n_, "[permutation] {} of {}", value, n_);
  auto x = static_cast<uint64_t>(value);
  do x = decrypt(x);
  while (x >= static_cast<uint64_t>(n_));
  return static_cast<int64_t>(x);
}

}  // namespace strata
