// SPDX-License-Identifier: Apache-2.0
#include "launch/config/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace strata {
namespace {

struct Unit {
  std::string_view name;
  int64_t amount;
};

// Largest first.
constexpr std::array<Unit, 4> kDurations = {{{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}}};
constexpr std::array<Unit, 5> kBinarySizes = {
    {{"TiB", int64_t{1} << 40}, {"GiB", int64_t{1} << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}};
constexpr std::array<Unit, 4> kDecimalSizes = {
    {{"TB", 1'000'000'000'000}, {"GB", 1'000'000'000}, {"MB", 1'000'000}, {"kB", 1'000}}};

// The digits and the unit at the front of `text`, which is shortened by them.
struct Quantity {
  double number;
  std::string_view unit;
};
std::optional<Quantity> take_quantity(std::string_view& text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  double number = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + digits, number);
  if (digits == 0 || fault != std::errc() || end != text.data() + digits) return std::nullopt;
  text.remove_prefix(digits);
  while (text.starts_with(' ')) text.remove_prefix(1);
  const size_t letters = std::min(text.find_first_of("0123456789. "), text.size());
  const std::string_view unit = text.substr(0, letters);
  text.remove_prefix(letters);
  return Quantity{number, unit};
}

template <size_t N>
const Unit* find_unit(const std::array<Unit, N>& units, std::string_view name) {
  for (const Unit& unit : units)
    if (unit.name == name) return &unit;
  return nullptr;
}

// The whole number that `value` is but for the rounding of a decimal fraction ("1.1h"); below 2^53, where
// doubles still hold every integer.
std::optional<int64_t> whole(double value) {
  const double nearest = std::round(value);
  if (!(value < 9007199254740992.0) || std::abs(value - nearest) > 1e-9 * std::max(1.0, value))
    return std::nullopt;
  return static_cast<int64_t>(nearest);
}

}  // namespace

std::optional<int64_t> parse_duration(std::string_view text) {
  if (text.empty()) return std::nullopt;
  double seconds = 0;
  int64_t previous = INT64_MAX;
  while (!text.empty()) {
    const auto quantity = take_quantity(text);
    if (!quantity) return std::nullopt;
    const Unit* unit = find_unit(kDurations, quantity->unit);
    if (!unit || unit->amount >= previous) return std::nullopt;  // each unit once, largest first
    seconds += quantity->number * static_cast<double>(unit->amount);
    previous = unit->amount;
  }
  return whole(seconds);
}

std::string format_duration(int64_t seconds) {
  if (seconds == 0) return "0s";
  std::string text;
  for (const Unit& unit : kDurations) {
    if (seconds >= unit.amount) text += fmt::format("{}{}", seconds / unit.amount, unit.name);
    seconds %= unit.amount;
  }
  return text;
}

std::optional<int64_t> parse_size(std::string_view text) {
  const auto quantity = take_quantity(text);
  if (!quantity || !text.empty()) return std::nullopt;
  if (quantity->unit.empty()) return whole(quantity->number);
  const Unit* unit = find_unit(kBinarySizes, quantity->unit);
  if (!unit) unit = find_unit(kDecimalSizes, quantity->unit);
  if (!unit) return std::nullopt;
  return whole(quantity->number * static_cast<double>(unit->amount));
}

std::string format_size(int64_t bytes) {
  for (const Unit& unit : kBinarySizes)
    if (bytes != 0 && bytes % unit.amount == 0) return fmt::format("{}{}", bytes / unit.amount, unit.name);
  return fmt::format("{}B", bytes);
}

}  // namespace strata
