// SPDX-License-Identifier: Apache-2.0
// One object of a tokenizer.json, read strictly: every field must have its type, and every field must be
// read, for what is ignored is what makes ids differ. Errors name the path of the field in the file.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace strata {

class JsonPart {
 public:
  // `value` must outlive the part; `place` is its path, as errors say it.
  JsonPart(const nlohmann::json& value, std::string place);

  const std::string& place() const { return place_; }
  const nlohmann::json& value() const { return value_; }

  // Error(data) when the field is missing or of another type; with a default, only of another type.
  std::string text(const char* key);
  std::string text(const char* key, std::string_view otherwise);
  std::optional<std::string> optional_text(const char* key);  // nothing for null and for no field
  bool flag(const char* key, std::optional<bool> otherwise = std::nullopt);
  int64_t number(const char* key);
  JsonPart part(const char* key);                          // an object
  std::optional<JsonPart> optional_part(const char* key);  // nothing for null and for no field
  std::vector<JsonPart> parts(const char* key);            // an array of objects
  const nlohmann::json& any(const char* key);
  void ignore(const char* key) { read_.insert(key); }

  // Error(data) when a field was not read: it means something that is not known here.
  void done() const;
  [[noreturn]] void refuse(std::string what, std::string found, std::string expected) const;

 private:
  const nlohmann::json* find(const char* key);
  const nlohmann::json& need(const char* key);

  const nlohmann::json& value_;
  std::string place_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace strata
