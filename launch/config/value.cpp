// SPDX-License-Identifier: Apache-2.0
#include "launch/config/value.h"

#include <fmt/format.h>

namespace strata {
namespace {

std::string number(double value) {
  std::string text = fmt::format("{}", value);  // shortest that round-trips
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  if (const size_t zero = text.find("e-0"); zero != std::string::npos) text.erase(zero + 2, 1);  // 1e-05
  return text;
}

template <typename T, typename Print>
std::string list(const std::vector<T>& items, Print print) {
  std::string text = "[";
  for (const T& item : items) text += (text.size() > 1 ? ", " : "") + print(item);
  return text + "]";
}

struct Printer {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(double value) const { return number(value); }
  std::string operator()(const std::string& value) const { return quote(value); }
  std::string operator()(const std::vector<std::string>& value) const { return list(value, quote); }
  std::string operator()(const std::vector<double>& value) const { return list(value, number); }
  std::string operator()(const Period& value) const {
    return value.seconds != 0 ? quote(format_duration(value.seconds)) : fmt::format("{}", value.steps);
  }
  std::string operator()(Off) const { return quote("off"); }
};

}  // namespace

std::string to_toml(const KeyValue& value) { return std::visit(Printer{}, value); }

std::string quote(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        result += "\\\"";
        break;
      case '\\':
        result += "\\\\";
        break;
      case '\n':
        result += "\\n";
        break;
      case '\t':
        result += "\\t";
        break;
      case '\r':
        result += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
          result += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
        else
          result += c;
    }
  }
  return result + "\"";
}

}  // namespace strata
