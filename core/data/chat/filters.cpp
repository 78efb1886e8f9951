// SPDX-License-Identifier: Apache-2.0
#include "core/data/chat/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

#include "core/data/chat/text.h"

namespace strata::chat {
namespace {

using Misfit = std::invalid_argument;

const std::string& need_text(std::string_view filter, const Value& value) {
  if (!value.string()) throw Misfit(fmt::format("the filter {} wants text and got {}", filter, value.type()));
  return *value.string();
}

// "a.b.0" of an item: map(attribute=...), join(attribute=...), selectattr(...).
Value attribute_path(Value item, const Value& path) {
  if (path.is_integer()) return attribute_of(item, path);
  for (const Value& key : split(path.text(), ".", -1, false)) {
    const std::string& name = *key.string();
    const bool index =
        !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
    item = attribute_of(item, index ? Value(int64_t{std::stoll(name)}) : key);
  }
  return item;
}

Arguments rest_of(const Arguments& arguments, size_t from) {
  Arguments rest{.named = arguments.named};
  if (arguments.positional.size() > from)
    rest.positional.assign(arguments.positional.begin() + static_cast<ptrdiff_t>(from),
                           arguments.positional.end());
  return rest;
}

// select, reject, selectattr, rejectattr.
Value chosen(std::string_view name, const Value& value, const Arguments& arguments) {
  const bool by_attribute = name.ends_with("attr"), keep = name.starts_with("select");
  const size_t first = by_attribute ? 1 : 0;
  List result;
  for (const Value& item : items_of(value)) {
    const Value subject = by_attribute ? attribute_path(item, arguments.get(0, "")) : item;
    const Value test = arguments.get(first, "");
    const bool holds = test.is_undefined() ? subject.truth()
                                           : apply_test(test.text(), subject, rest_of(arguments, first + 1));
    if (holds == keep) result.push_back(item);
  }
  return result;
}

Value mapped(const Value& value, const Arguments& arguments) {
  List result;
  const Value attribute = arguments.get(99, "attribute"), otherwise = arguments.get(99, "default");
  for (const Value& item : items_of(value)) {
    if (attribute.is_undefined()) {
      result.push_back(apply_filter(arguments.get(0, "").text(), item, rest_of(arguments, 1)));
      continue;
    }
    const Value found = attribute_path(item, attribute);
    result.push_back(found.is_undefined() && !otherwise.is_undefined() ? otherwise : found);
  }
  return result;
}

std::string lower_if_text(const Value& value) {
  return value.string() ? lower(*value.string()) : std::string();
}

Value sorted(const Value& value, const Arguments& arguments) {
  List items = items_of(value);
  const Value attribute = arguments.get(2, "attribute");
  const bool exact = arguments.get(1, "case_sensitive").truth();
  const auto key = [&](const Value& item) {
    const Value k = attribute.is_undefined() ? item : attribute_path(item, attribute);
    return k.string() && !exact ? Value(lower_if_text(k)) : k;
  };
  std::stable_sort(items.begin(), items.end(),
                   [&](const Value& a, const Value& b) { return is_less(key(a), key(b)); });
  if (arguments.get(0, "reverse").truth()) std::reverse(items.begin(), items.end());
  return items;
}

Value dict_sorted(const Value& value) {
  if (!value.dict()) throw Misfit(fmt::format("dictsort wants a dict and got {}", value.type()));
  Dict entries = *value.dict();
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return lower(a.first) < lower(b.first); });
  List result;
  for (const auto& [key, item] : entries) result.emplace_back(List{key, item});
  return result;
}

Value unique(const Value& value) {
  List result;
  std::vector<Value> seen;
  for (const Value& item : items_of(value)) {
    const Value key = item.string() ? Value(lower(*item.string())) : item;
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) continue;
    seen.push_back(key);
    result.push_back(item);
  }
  return result;
}

Value joined(const Value& value, const Arguments& arguments) {
  const std::string separator = arguments.get(0, "d").text();
  const Value attribute = arguments.get(1, "attribute");
  std::string text;
  bool first = true;
  for (const Value& item : items_of(value)) {
    if (!std::exchange(first, false)) text += separator;
    text += (attribute.is_undefined() ? item : attribute_path(item, attribute)).text();
  }
  return text;
}

Value indented(const std::string& text, const Arguments& arguments) {
  const Value width = arguments.get(0, "width");
  const std::string blanks =
      width.string()
          ? *width.string()
          : std::string(static_cast<size_t>(width.is_integer() ? *width.get_if<int64_t>() : 4), ' ');
  const bool first = arguments.get(1, "first").truth(), blank = arguments.get(2, "blank").truth();
  std::string result;
  const List lines = split(text, "\n", -1, false);
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = *lines[i].string();
    if (i) result += '\n';
    if (i == 0 ? first : blank || !line.empty()) result += blanks;
    result += line;
  }
  return result;
}

Value whole(const Value& value, const Arguments& arguments) {
  const Value otherwise = arguments.get(0, "default");
  if (value.is_number()) return static_cast<int64_t>(value.number());
  int64_t number = 0;
  const std::string s = value.string() ? strip(*value.string(), "", true, true) : "";
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), number);
  if (error == std::errc() && end == s.data() + s.size()) return number;
  return otherwise.is_undefined() ? Value(int64_t{0}) : otherwise;
}

Value json_of(const Value& value, const Arguments& arguments) {
  for (const auto& [name, v] : arguments.named)
    if (name != "indent" && name != "ensure_ascii")
      throw Misfit(fmt::format("tojson({}=...) is not known", name));
  const Value indent = arguments.get(1, "indent"), ascii = arguments.get(0, "ensure_ascii");
  if (ascii.truth()) throw Misfit("tojson(ensure_ascii=true) is not known");
  return to_json(value, indent.is_integer() ? *indent.get_if<int64_t>() : -1);
}

Value edge(const Value& value, bool first) {
  const List items = items_of(value);
  if (items.empty()) return Undefined{first ? "the first of nothing" : "the last of nothing"};
  return first ? items.front() : items.back();
}

}  // namespace

Value apply_filter(std::string_view name, const Value& value, const Arguments& arguments) {
  if (name == "trim") {
    const Value chars = arguments.get(0, "chars");
    return strip(value.text(), chars.string() ? *chars.string() : "", true, true);
  }
  if (name == "length" || name == "count") return length_of(value);
  if (name == "join") return joined(value, arguments);
  if (name == "tojson") return json_of(value, arguments);
  if (name == "upper") return upper(value.text());
  if (name == "lower") return lower(value.text());
  if (name == "title") return title(value.text());
  if (name == "capitalize") return capitalize(value.text());
  if (name == "default" || name == "d") {
    const bool empty_too = arguments.get(1, "boolean").truth();
    const Value otherwise = arguments.get(0, "default_value");
    return value.is_undefined() || (empty_too && !value.truth())
               ? (otherwise.is_undefined() ? Value("") : otherwise)
               : value;
  }
  if (name == "selectattr" || name == "rejectattr" || name == "select" || name == "reject")
    return chosen(name, value, arguments);
  if (name == "map") return mapped(value, arguments);
  if (name == "list") return items_of(value);
  if (name == "first") return edge(value, true);
  if (name == "last") return edge(value, false);
  if (name == "string") return value.text();
  if (name == "safe") return value.text();
  if (name == "int") return whole(value, arguments);
  if (name == "float")
    return value.is_number() ? value.number() : std::strtod(need_text(name, value).c_str(), nullptr);
  if (name == "abs" && value.is_integer()) return std::abs(*value.get_if<int64_t>());
  if (name == "abs" && value.is_number()) return std::fabs(value.number());
  if (name == "replace") {
    const Value most = arguments.get(2, "count");
    return replace(value.text(), arguments.get(0, "old").text(), arguments.get(1, "new").text(),
                   most.is_integer() ? *most.get_if<int64_t>() : -1);
  }
  if (name == "items") {
    if (value.is_undefined()) return List{};
    if (!value.dict()) throw Misfit(fmt::format("the filter items wants a dict and got {}", value.type()));
    return call_method("items", value, {});
  }
  if (name == "dictsort" && arguments.positional.empty() && arguments.named.empty())
    return dict_sorted(value);
  if (name == "sort") return sorted(value, arguments);
  if (name == "unique" && arguments.positional.empty() && arguments.named.empty()) return unique(value);
  if (name == "reverse") {
    List items = items_of(value);
    std::reverse(items.begin(), items.end());
    if (!value.string()) return items;
    return joined(items, {});
  }
  if (name == "indent") return indented(value.text(), arguments);
  throw Misfit(fmt::format("the filter \"{}\" is not known", name));
}

bool apply_test(std::string_view name, const Value& value, const Arguments& arguments) {
  const Value other = arguments.get(0, "");
  const auto whole = [&](const Value& v) {
    if (!v.is_integer())
      throw Misfit(fmt::format("the test {} wants whole numbers and got {}", name, v.type()));
    return *v.get_if<int64_t>();
  };
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.is_none();
  if (name == "string") return value.string() != nullptr;
  if (name == "number") return value.is_number();
  if (name == "integer") return value.is_integer();
  if (name == "float") return value.get_if<double>() != nullptr;
  if (name == "boolean") return value.get_if<bool>() != nullptr;
  if (name == "true") return value.get_if<bool>() && value.truth();
  if (name == "false") return value.get_if<bool>() && !value.truth();
  if (name == "mapping") return value.dict() != nullptr;
  if (name == "iterable" || name == "sequence")
    return value.string() || value.list() || value.dict() || (value.is_undefined());
  if (name == "callable") return value.function() != nullptr;
  if (name == "even") return whole(value) % 2 == 0;
  if (name == "odd") return whole(value) % 2 != 0;
  if (name == "divisibleby") return whole(other) != 0 && whole(value) % whole(other) == 0;
  if (name == "equalto" || name == "eq" || name == "==") return value == other;
  if (name == "ne" || name == "!=") return !(value == other);
  if (name == "lt" || name == "lessthan") return is_less(value, other);
  if (name == "gt" || name == "greaterthan") return is_less(other, value);
  if (name == "le") return !is_less(other, value);
  if (name == "ge") return !is_less(value, other);
  if (name == "in") return contains(other, value);
  if (name == "lower") return lower(value.text()) == value.text();
  if (name == "upper") return upper(value.text()) == value.text();
  throw Misfit(fmt::format("the test \"{}\" is not known", name));
}

}  // namespace strata::chat
