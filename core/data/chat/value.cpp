// SPDX-License-Identifier: Apache-2.0
#include "core/data/chat/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/data/code_point.h"

namespace strata::chat {
namespace {

// repr() of a float: the shortest digits that read back as the number.
std::string float_text(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d > 0 ? "inf" : "-inf";
  if (d == std::floor(d) && std::fabs(d) < 1e16) return fmt::format("{:.1f}", d);
  return fmt::format("{}", d);
}

std::string quoted_repr(const std::string& s) {
  const char quote = s.find('\'') != s.npos && s.find('"') == s.npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : s) {
    if (c == quote || c == '\\')
      out += '\\', out += c;
    else if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
      out += fmt::format("\\x{:02x}", c);
    else
      out += c;
  }
  return out + quote;
}

std::string quoted_json(const std::string& s) {
  std::string out = "\"";
  for (const char c : s) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20)
          out += fmt::format("\\u{:04x}", c);
        else
          out += c;
    }
  }
  return out + '"';
}

}  // namespace

Value Arguments::get(size_t place, std::string_view name) const {
  if (place < positional.size()) return positional[place];
  const Value* value = find(named, name);
  return value ? *value : Value();
}

const Value* find(const Dict& dict, std::string_view key) {
  for (const auto& [name, value] : dict)
    if (name == key) return &value;
  return nullptr;
}

void assign(Dict& dict, const std::string& key, Value value) {
  for (auto& [name, old] : dict)
    if (name == key) {
      old = std::move(value);
      return;
    }
  dict.emplace_back(key, std::move(value));
}

std::vector<std::string> characters(std::string_view text) {
  std::vector<std::string> result;
  while (!text.empty()) {
    const size_t bytes = std::min(first_code_point(text).bytes, text.size());
    result.emplace_back(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return result;
}

Value::Value(const nlohmann::ordered_json& json) {
  if (json.is_null()) {
    data_ = nullptr;
  } else if (json.is_boolean()) {
    data_ = json.get<bool>();
  } else if (json.is_number_integer()) {
    data_ = json.get<int64_t>();
  } else if (json.is_number()) {
    data_ = json.get<double>();
  } else if (json.is_string()) {
    data_ = json.get<std::string>();
  } else if (json.is_array()) {
    List list;
    for (const auto& item : json) list.emplace_back(item);
    *this = Value(std::move(list));
  } else {
    Dict dict;
    for (const auto& [key, item] : json.items()) dict.emplace_back(key, Value(item));
    *this = Value(std::move(dict));
  }
}

double Value::number() const {
  if (const auto* i = get_if<int64_t>()) return static_cast<double>(*i);
  if (const auto* b = get_if<bool>()) return *b ? 1 : 0;
  return *get_if<double>();
}

bool Value::truth() const {
  if (is_undefined() || is_none()) return false;
  if (is_number()) return number() != 0;
  if (string()) return !string()->empty();
  if (list()) return !list()->empty();
  if (dict()) return !dict()->empty();
  return true;
}

std::string Value::text() const {
  if (string()) return *string();
  if (is_undefined()) return "";
  return repr();
}

std::string Value::repr() const {
  if (string()) return quoted_repr(*string());
  if (is_undefined()) return "Undefined";
  if (is_none()) return "None";
  if (const auto* b = get_if<bool>()) return *b ? "True" : "False";
  if (const auto* i = get_if<int64_t>()) return std::to_string(*i);
  if (const auto* d = get_if<double>()) return float_text(*d);
  std::string out;
  if (list()) {
    for (const Value& item : *list()) out += (out.empty() ? "" : ", ") + item.repr();
    return "[" + out + "]";
  }
  if (dict()) {
    for (const auto& [key, item] : *dict())
      out += (out.empty() ? "" : ", ") + quoted_repr(key) + ": " + item.repr();
    return "{" + out + "}";
  }
  return type();
}

const char* Value::type() const {
  if (string()) return "text";
  if (list()) return "a list";
  if (dict()) return "a dict";
  if (function()) return "a function";
  if (fields()) return "a namespace";
  if (is_none()) return "none";
  return is_undefined() ? "undefined" : "a number";
}

bool operator==(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return a.number() == b.number();
  if (a.string() && b.string()) return *a.string() == *b.string();
  if (a.list() && b.list()) return *a.list() == *b.list();
  if (a.dict() && b.dict()) {
    if (a.dict()->size() != b.dict()->size()) return false;
    return std::all_of(a.dict()->begin(), a.dict()->end(), [&](const auto& entry) {
      const Value* other = find(*b.dict(), entry.first);
      return other && *other == entry.second;
    });
  }
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

std::string to_json(const Value& value, int64_t indent, int64_t depth) {
  if (value.string()) return quoted_json(*value.string());
  if (value.is_none()) return "null";
  if (const auto* b = value.get_if<bool>()) return *b ? "true" : "false";
  if (value.is_number()) return value.repr();
  if (!value.list() && !value.dict())
    throw std::invalid_argument(fmt::format("{} has no JSON form", value.type()));
  const auto line = [&](int64_t d) { return std::string("\n").append(static_cast<size_t>(indent * d), ' '); };
  std::string out;
  const auto item = [&](const std::string& text) {
    if (!out.empty()) out += indent < 0 ? ", " : ",";
    if (indent >= 0) out += line(depth + 1);
    out += text;
  };
  if (value.list())
    for (const Value& v : *value.list()) item(to_json(v, indent, depth + 1));
  else
    for (const auto& [key, v] : *value.dict()) item(quoted_json(key) + ": " + to_json(v, indent, depth + 1));
  if (indent >= 0 && !out.empty()) out += line(depth);
  return value.list() ? "[" + out + "]" : "{" + out + "}";
}

}  // namespace strata::chat
