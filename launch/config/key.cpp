// SPDX-License-Identifier: Apache-2.0
#include "launch/config/key.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace strata {
namespace {

bool limited(double bound) { return std::abs(bound) < std::numeric_limits<double>::max(); }

std::string_view kind_name(KeyKind kind) {
  switch (kind) {
    case KeyKind::boolean:
      return "true or false";
    case KeyKind::integer:
      return "whole number";
    case KeyKind::number:
      return "number";
    case KeyKind::text:
      return "text";
    case KeyKind::choice:
      return "one of";
    case KeyKind::texts:
      return "list of texts";
    case KeyKind::numbers:
      return "list of numbers";
    case KeyKind::period:
      return "number of steps, or a duration such as \"30min\"";
    case KeyKind::number_or_off:
      return "number, or \"off\"";
  }
  return "";
}

std::string outside(const Key& key, double value) {
  if (key.traits.range.contains(value)) return "";
  return fmt::format("{} is out of range", to_toml(KeyValue(value)));
}

}  // namespace

std::string to_string(const KeyRange& range) {
  std::string text;
  if (limited(range.low)) text = fmt::format("{} {}", range.low_open ? "above" : "at least", range.low);
  if (limited(range.high))
    text +=
        fmt::format("{}{} {}", text.empty() ? "" : ", ", range.high_open ? "below" : "at most", range.high);
  return text;
}

std::string accepted(const Key& key) {
  if (key.kind == KeyKind::choice) return fmt::format("one of: {}", fmt::join(key.traits.choices, ", "));
  std::string text(kind_name(key.kind));
  if (key.list_length > 0) text = fmt::format("list of {} numbers", key.list_length);
  const std::string range = to_string(key.traits.range);
  if (!range.empty()) text += ", " + range;
  return text;
}

std::string refusal(const Key& key, const KeyValue& value) {
  switch (key.kind) {
    case KeyKind::integer: {
      const int64_t number = std::get<int64_t>(value);
      return key.traits.range.contains(static_cast<double>(number))
                 ? ""
                 : fmt::format("{} is out of range", number);
    }
    case KeyKind::number:
      return outside(key, std::get<double>(value));
    case KeyKind::number_or_off: {
      const double* number = std::get_if<double>(&value);
      return number ? outside(key, *number) : "";
    }
    case KeyKind::numbers: {
      const auto& numbers = std::get<std::vector<double>>(value);
      if (key.list_length > 0 && numbers.size() != key.list_length)
        return fmt::format("the list has {} numbers", numbers.size());
      for (const double number : numbers)
        if (const std::string why = outside(key, number); !why.empty()) return why;
      return "";
    }
    case KeyKind::period: {
      const Period period = std::get<Period>(value);
      const int64_t count = period.steps != 0 ? period.steps : period.seconds;
      return key.traits.range.contains(static_cast<double>(count)) ? ""
                                                                   : fmt::format("{} is out of range", count);
    }
    case KeyKind::choice: {
      const auto& text = std::get<std::string>(value);
      return std::ranges::count(key.traits.choices, text) != 0
                 ? ""
                 : fmt::format("{} is not a choice", quote(text));
    }
    case KeyKind::text:
      return std::get<std::string>(value).find('\0') == std::string::npos ? "" : "the text holds a NUL";
    case KeyKind::texts:
      if (key.traits.required && std::get<std::vector<std::string>>(value).empty())
        return "the list is empty";
      for (const std::string& text : std::get<std::vector<std::string>>(value))
        if (text.empty()) return "a text of the list is empty";
      return "";
    case KeyKind::boolean:
      return "";
  }
  return "";
}

}  // namespace strata
