// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/tree_reduce.h"

#include <algorithm>
#include <bit>

#include "core/base/check.h"
#include "core/tensor/bf16.h"

namespace strata {
namespace {

// Elements worked on at a time: every level of the tree stays in the first-level cache.
constexpr int64_t kBlock = 256;
constexpr int kMaxLevels = 21;  // a million members

struct F32 {
  using Stored = float;
  using Value = float;
  static Value load(Stored x) { return x; }
  static Stored store(Value x) { return x; }
};
struct Bf16 {
  using Stored = bf16;
  using Value = float;
  static Value load(Stored x) { return to_float(x); }
  static Stored store(Value x) { return to_bf16(x); }
};
struct I64 {
  using Stored = int64_t;
  using Value = uint64_t;  // overflow is defined
  static Value load(Stored x) { return static_cast<Value>(x); }
  static Stored store(Value x) { return static_cast<Stored>(x); }
};

struct Sum {
  template <typename T>
  static T join(T a, T b) {
    return a + b;
  }
};
struct Max {
  template <typename T>
  static T join(T a, T b) {
    return b > a || b != b ? b : a;
  }
};

// A binary counter: levels[l] holds the join of 2^l inputs while bit l of the number of inputs seen is set.
template <typename Type, typename Join>
void reduce(std::span<const std::byte* const> inputs, std::byte* out, int64_t count) {
  using Stored = typename Type::Stored;
  using Value = typename Type::Value;
  alignas(64) Value levels[kMaxLevels][kBlock];
  alignas(64) Value carry[kBlock];
  const int members = static_cast<int>(inputs.size());
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t n = std::min(kBlock, count - begin);
    for (int k = 0; k < members; ++k) {
      const Stored* const in = reinterpret_cast<const Stored*>(inputs[static_cast<size_t>(k)]) + begin;
      const int full = std::countr_one(static_cast<unsigned>(k));  // levels that the new input completes
      if (full == 0) {
        for (int64_t i = 0; i < n; ++i) levels[0][i] = Type::load(in[i]);
        continue;
      }
      Value* to = full == 1 ? levels[1] : carry;
      for (int64_t i = 0; i < n; ++i) to[i] = Join::join(levels[0][i], Type::load(in[i]));
      for (int level = 1; level < full; ++level) {
        to = level + 1 == full ? levels[full] : carry;
        for (int64_t i = 0; i < n; ++i) to[i] = Join::join(levels[level][i], carry[i]);
      }
    }
    int level = std::countr_zero(static_cast<unsigned>(members));
    const Value* rest = levels[level];
    for (++level; members >> level; ++level) {
      if (!(members >> level & 1)) continue;
      for (int64_t i = 0; i < n; ++i) carry[i] = Join::join(levels[level][i], rest[i]);
      rest = carry;
    }
    Stored* const to = reinterpret_cast<Stored*>(out) + begin;
    for (int64_t i = 0; i < n; ++i) to[i] = Type::store(rest[i]);
  }
}

}  // namespace

void tree_reduce(DType type, Reduction reduction, std::span<const std::byte* const> inputs, std::byte* out,
                 int64_t count) {
  check(!inputs.empty() && inputs.size() < size_t{1} << (kMaxLevels - 1), "[tree_reduce] {} inputs",
        inputs.size());
  const bool sum = reduction == Reduction::sum;
  switch (type) {
    case DType::f32:
      return sum ? reduce<F32, Sum>(inputs, out, count) : reduce<F32, Max>(inputs, out, count);
    case DType::bf16:
      return sum ? reduce<Bf16, Sum>(inputs, out, count) : reduce<Bf16, Max>(inputs, out, count);
    case DType::i64:
      check(sum, "[tree_reduce] no maximum of i64");
      return reduce<I64, Sum>(inputs, out, count);
    default:
      fail_contract(fmt::format("[tree_reduce] no {} of {}", name(reduction), name(type)));
  }
}

}  // namespace strata
