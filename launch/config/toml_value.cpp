// SPDX-License-Identifier: Apache-2.0
#include "launch/config/toml_value.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "core/base/suggest.h"

namespace strata {
namespace {

std::optional<double> to_number(const toml::node& node) {
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* integer = node.as_integer()) return static_cast<double>(integer->get());
  return std::nullopt;
}

std::optional<KeyValue> to_texts(const toml::node& node) {
  std::vector<std::string> texts;
  if (const auto* text = node.as_string()) return std::vector<std::string>{text->get()};
  if (!node.is_array()) return std::nullopt;
  for (const toml::node& item : *node.as_array()) {
    if (!item.is_string()) return std::nullopt;
    texts.push_back(item.as_string()->get());
  }
  return texts;
}

std::optional<KeyValue> to_numbers(const toml::node& node) {
  if (!node.is_array()) return std::nullopt;
  std::vector<double> numbers;
  for (const toml::node& item : *node.as_array()) {
    const auto number = to_number(item);
    if (!number) return std::nullopt;
    numbers.push_back(*number);
  }
  return numbers;
}

std::optional<KeyValue> to_period(const toml::node& node) {
  if (const auto* steps = node.as_integer()) return Period{.steps = steps->get()};
  if (const auto* text = node.as_string())
    if (const auto seconds = parse_duration(text->get())) return Period{.seconds = *seconds};
  return std::nullopt;
}

std::string assignment(const Key& key, const KeyValue& value) {
  return fmt::format("{} = {}", key.path, to_toml(value));
}

// A number written as text, without its quotes.
std::optional<KeyValue> unquoted(const std::string& text, KeyKind kind) {
  const char* end = text.data() + text.size();
  if (kind == KeyKind::integer) {
    int64_t number = 0;
    if (const auto r = std::from_chars(text.data(), end, number); r.ec == std::errc() && r.ptr == end)
      return number;
  } else if (kind == KeyKind::number || kind == KeyKind::number_or_off) {
    double number = 0;
    if (const auto r = std::from_chars(text.data(), end, number); r.ec == std::errc() && r.ptr == end)
      return number;
  } else if (kind == KeyKind::boolean && (text == "true" || text == "false")) {
    return text == "true";
  }
  return std::nullopt;
}

}  // namespace

std::optional<KeyValue> to_value(const toml::node& node, KeyKind kind) {
  switch (kind) {
    case KeyKind::boolean:
      return node.is_boolean() ? std::optional<KeyValue>(node.as_boolean()->get()) : std::nullopt;
    case KeyKind::integer:
      return node.is_integer() ? std::optional<KeyValue>(node.as_integer()->get()) : std::nullopt;
    case KeyKind::number:
      return to_number(node);
    case KeyKind::text:
    case KeyKind::choice:
      return node.is_string() ? std::optional<KeyValue>(node.as_string()->get()) : std::nullopt;
    case KeyKind::texts:
      return to_texts(node);
    case KeyKind::numbers:
      return to_numbers(node);
    case KeyKind::period:
      return to_period(node);
    case KeyKind::number_or_off:
      if (node.is_string() && node.as_string()->get() == "off") return Off{};
      return to_number(node);
  }
  return std::nullopt;
}

std::string describe(const toml::node& node) {
  if (const auto* text = node.as_string()) return "text " + quote(text->get());
  if (const auto* integer = node.as_integer()) return fmt::format("whole number {}", integer->get());
  if (const auto* number = node.as_floating_point()) return "number " + to_toml(number->get());
  if (const auto* truth = node.as_boolean()) return truth->get() ? "true" : "false";
  if (const auto* list = node.as_array()) return fmt::format("list of {}", list->size());
  if (node.is_table()) return "a table";
  return "a date or time";
}

std::string repair(const toml::node& node, const Key& key) {
  const auto fits = [&](const std::optional<KeyValue>& value) {
    return value && refusal(key, *value).empty();
  };
  if (const auto* text = node.as_string()) {
    if (const auto bare = unquoted(text->get(), key.kind); fits(bare)) return assignment(key, *bare);
    if (key.kind == KeyKind::choice) {
      const std::vector<std::string> choices(key.traits.choices.begin(), key.traits.choices.end());
      if (const std::string near = nearest(text->get(), choices); !near.empty()) return assignment(key, near);
    }
    if (key.kind == KeyKind::integer && key.traits.unit == "steps" && parse_duration(text->get()))
      return "give a number of steps: the learning rate may not depend on how fast the machine is";
  }
  if (const auto* number = node.as_floating_point(); number && key.kind == KeyKind::integer) {
    const double whole = std::round(number->get());
    if (std::abs(whole) < 9e15 && fits(KeyValue(static_cast<int64_t>(whole))))
      return assignment(key, static_cast<int64_t>(whole));
  }
  if (const auto* integer = node.as_integer(); integer && key.kind == KeyKind::boolean)
    return assignment(key, integer->get() != 0);
  if (const KeyValue usual = key.get(Config{}); fits(usual)) return assignment(key, usual) + ", the default";
  if (key.kind == KeyKind::integer)
    return assignment(key, static_cast<int64_t>(key.traits.range.low)) + " or more";
  return fmt::format("{} = [\"text.txt\"]", key.path);
}

}  // namespace strata
