// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer_json/json_part.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace strata {

JsonPart::JsonPart(const nlohmann::json& value, std::string place) : value_(value), place_(std::move(place)) {
  if (!value_.is_object())
    refuse("a part of a tokenizer.json is not an object", value_.type_name(), "an object");
}

void JsonPart::refuse(std::string what, std::string found, std::string expected) const {
  throw Error(Fault::data,
              {.what = std::move(what),
               .where = place_,
               .found = std::move(found),
               .expected = std::move(expected),
               .fix = "use a tokenizer of a supported kind, or tokenize with its own program and "
                      "give the token files to data.train"});
}

const nlohmann::json* JsonPart::find(const char* key) {
  read_.insert(key);
  const auto field = value_.find(key);
  return field == value_.end() ? nullptr : &*field;
}

const nlohmann::json& JsonPart::need(const char* key) {
  if (const auto* field = find(key)) return *field;
  refuse(fmt::format("the field \"{}\" is missing", key), "an object without it", fmt::format("\"{}\"", key));
}

std::string JsonPart::text(const char* key) {
  const auto& field = need(key);
  if (!field.is_string()) refuse(fmt::format("the field \"{}\" is not text", key), field.dump(), "text");
  return field.get<std::string>();
}

std::string JsonPart::text(const char* key, std::string_view otherwise) {
  return find(key) ? text(key) : std::string(otherwise);
}

std::optional<std::string> JsonPart::optional_text(const char* key) {
  const auto* field = find(key);
  if (!field || field->is_null()) return std::nullopt;
  return text(key);
}

bool JsonPart::flag(const char* key, std::optional<bool> otherwise) {
  const auto* field = find(key);
  if (!field && otherwise) return *otherwise;
  if (!field) need(key);
  if (!field->is_boolean())
    refuse(fmt::format("the field \"{}\" is not true or false", key), field->dump(), "true or false");
  return field->get<bool>();
}

int64_t JsonPart::number(const char* key) {
  const auto& field = need(key);
  if (!field.is_number_integer())
    refuse(fmt::format("the field \"{}\" is not a whole number", key), field.dump(), "a whole number");
  return field.get<int64_t>();
}

JsonPart JsonPart::part(const char* key) {
  return {need(key), place_ + (place_.ends_with(": ") ? "" : ".") + key};
}

std::optional<JsonPart> JsonPart::optional_part(const char* key) {
  const auto* field = find(key);
  if (!field || field->is_null()) return std::nullopt;
  return part(key);
}

std::vector<JsonPart> JsonPart::parts(const char* key) {
  const auto& field = need(key);
  if (!field.is_array())
    refuse(fmt::format("the field \"{}\" is not a list", key), field.type_name(), "a list");
  std::vector<JsonPart> parts;
  const std::string path = place_ + (place_.ends_with(": ") ? "" : ".") + key;
  for (size_t i = 0; i < field.size(); ++i) parts.emplace_back(field[i], fmt::format("{}[{}]", path, i));
  return parts;
}

const nlohmann::json& JsonPart::any(const char* key) { return need(key); }

void JsonPart::done() const {
  for (const auto& [key, unused] : value_.items())
    if (!read_.contains(key))
      refuse("a field of a tokenizer.json is not known", fmt::format("\"{}\"", key),
             "the fields that Hugging Face tokenizers gives this part");
}

}  // namespace strata
