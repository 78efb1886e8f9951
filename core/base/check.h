// SPDX-License-Identifier: Apache-2.0
// Contracts inside the program. A message names the operation, the expectation and what came:
//   check(a.dim(1) == b.dim(0), "[matmul] inner dims differ: a is {}, b is {}", a.shape(), b.shape());
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <type_traits>

namespace strata {

// A broken contract: a bug in Strata or in code that calls it, never the user's input (see Error).
class ContractError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] inline void fail_contract(std::string text) { throw ContractError(std::move(text)); }

template <typename... Args>
inline void check(bool holds, fmt::format_string<Args...> text, Args&&... args) {
  if (!holds) [[unlikely]] fail_contract(fmt::format(text, std::forward<Args>(args)...));
}

// value as To; throws ContractError when it does not fit.
template <typename To, typename From>
constexpr To narrow(From value) {
  static_assert(std::is_integral_v<To> && std::is_integral_v<From>);
  const To result = static_cast<To>(value);
  if (static_cast<From>(result) != value || (result < To{}) != (value < From{}))
    fail_contract(fmt::format("[narrow] {} does not fit in {} bits", value, 8 * sizeof(To)));
  return result;
}

// a / b where b must divide a.
constexpr int64_t div_exact(int64_t a, int64_t b) {
  if (b == 0 || a % b != 0) fail_contract(fmt::format("[div_exact] {} is not a multiple of {}", a, b));
  return a / b;
}

constexpr int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return div_up(a, b) * b; }

}  // namespace strata
