// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/strict_json.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <vector>

#include "core/base/error.h"

namespace strata {
namespace {

using nlohmann::json;

// Builds the value while the parser reads; returning false stops it.
class Builder : public json::json_sax_t {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  json take() { return std::move(root_); }
  const std::string& fault() const { return fault_; }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override {
    return std::isfinite(value) ? add(value) : refuse("a number beyond the range of doubles");
  }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return refuse("binary data"); }
  bool start_object(size_t) override { return open(json::object()); }
  bool start_array(size_t) override { return open(json::array()); }
  bool key(string_t& name) override {
    if (!count()) return false;
    if (open_.back()->contains(name)) return refuse(fmt::format("the key '{}' twice", name.substr(0, 80)));
    key_ = std::move(name);
    return true;
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(size_t byte, const std::string&, const json::exception&) override {
    return refuse(fmt::format("no JSON at byte {}", byte));
  }

 private:
  bool refuse(std::string fault) {
    if (fault_.empty()) fault_ = std::move(fault);
    return false;
  }
  bool count() {
    return ++values_ <= limits_.values || refuse(fmt::format("more than {} values", limits_.values));
  }
  bool add(json value) { return put(std::move(value)) != nullptr; }
  json* put(json value) {
    if (!count()) return nullptr;
    if (open_.empty()) return &(root_ = std::move(value));
    json& parent = *open_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(value));
    parent.push_back(std::move(value));
    return &parent.back();
  }
  bool open(json container) {
    if (std::ssize(open_) >= limits_.depth) return refuse(fmt::format("more than {} levels", limits_.depth));
    json* const placed = put(std::move(container));
    if (placed) open_.push_back(placed);
    return placed != nullptr;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  json root_;
  std::vector<json*> open_;  // innermost last; a parent's children do not move while one of them is open
  std::string key_;
  int64_t values_ = 0;
  std::string fault_;
};

}  // namespace

json parse_strict_json(std::string_view text, const std::string& where, const JsonLimits& limits) {
  Builder builder(limits);
  if (json::sax_parse(text.begin(), text.end(), &builder) && builder.fault().empty()) return builder.take();
  throw Error(Fault::model, {.what = "a file of JSON cannot be read",
                             .where = where,
                             .found = builder.fault().empty() ? "no JSON" : builder.fault()});
}

}  // namespace strata
