// SPDX-License-Identifier: Apache-2.0
// A shuffle of [0, n) that is computed, not stored: any element, in either direction, in constant time and
// memory. Not for cryptography.
#pragma once

#include <array>
#include <cstdint>

namespace strata {

// A Feistel network over the smallest 2h-bit domain that holds n, walked along its cycle until the value is
// below n (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002): four steps on average at
// most. Round keys are Philox numbers of (seed, epoch). The same on every machine; a stable part of what a
// run's seed means.
class Permutation {
 public:
  Permutation(int64_t n, uint64_t seed, uint64_t epoch);

  int64_t size() const { return n_; }
  int64_t operator()(int64_t index) const;  // index in [0, n)
  int64_t inverse(int64_t value) const;     // inverse((*this)(i)) == i

 private:
  static constexpr int kRounds = 8;
  uint64_t encrypt(uint64_t x) const;
  uint64_t decrypt(uint64_t x) const;

  int64_t n_;
  int half_bits_;  // h
  uint64_t mask_;  // h ones
  std::array<uint64_t, kRounds> keys_;
};

}  // namespace strata
