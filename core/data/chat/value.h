// SPDX-License-Identifier: Apache-2.0
// What the variables of a chat template hold: Python's values, as far as templates use them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace strata::chat {

class Value;
using List = std::vector<Value>;
using Dict = std::vector<std::pair<std::string, Value>>;  // in the order of insertion

struct Arguments {
  List positional;
  Dict named;
  // The argument at `place` or of that name; undefined when it was not given.
  Value get(size_t place, std::string_view name) const;
};
using Function = std::function<Value(const Arguments&)>;

struct Undefined {
  std::string name;  // of what is not there, for errors
};
struct Namespace {  // namespace(...): the one thing that {% set ns.x %} changes
  Dict fields;
};

// Lists and dicts are shared, not copied, and never changed once made.
class Value {
 public:
  Value() : data_(Undefined{}) {}
  Value(std::nullptr_t) : data_(nullptr) {}
  Value(bool b) : data_(b) {}
  Value(int64_t i) : data_(i) {}
  Value(double d) : data_(d) {}
  Value(std::string s) : data_(std::move(s)) {}
  Value(const char* s) : data_(std::string(s)) {}
  Value(Undefined u) : data_(std::move(u)) {}
  Value(List list) : data_(std::make_shared<const List>(std::move(list))) {}
  Value(Dict dict) : data_(std::make_shared<const Dict>(std::move(dict))) {}
  Value(Function function) : data_(std::make_shared<const Function>(std::move(function))) {}
  Value(std::shared_ptr<Namespace> fields) : data_(std::move(fields)) {}
  explicit Value(const nlohmann::ordered_json& json);

  template <typename T>
  const T* get_if() const {
    return std::get_if<T>(&data_);
  }
  const std::string* string() const { return get_if<std::string>(); }
  const List* list() const { return pointee<List>(); }
  const Dict* dict() const { return pointee<Dict>(); }
  const Function* function() const { return pointee<Function>(); }
  Namespace* fields() const {
    const auto* p = get_if<std::shared_ptr<Namespace>>();
    return p ? p->get() : nullptr;
  }
  bool is_undefined() const { return get_if<Undefined>() != nullptr; }
  bool is_none() const { return get_if<std::nullptr_t>() != nullptr; }
  bool is_integer() const { return get_if<int64_t>() != nullptr; }
  bool is_number() const { return is_integer() || get_if<double>() || get_if<bool>(); }
  double number() const;     // of what is_number()
  bool truth() const;        // bool(x)
  std::string text() const;  // str(x)
  std::string repr() const;  // repr(x)
  const char* type() const;  // for errors

  friend bool operator==(const Value& a, const Value& b);

 private:
  template <typename T>
  const T* pointee() const {
    const auto* p = std::get_if<std::shared_ptr<const T>>(&data_);
    return p ? p->get() : nullptr;
  }
  std::variant<Undefined, std::nullptr_t, bool, int64_t, double, std::string, std::shared_ptr<const List>,
               std::shared_ptr<const Dict>, std::shared_ptr<const Function>, std::shared_ptr<Namespace>>
      data_;
};

const Value* find(const Dict& dict, std::string_view key);  // null: not there
void assign(Dict& dict, const std::string& key, Value value);
std::vector<std::string> characters(std::string_view text);  // UTF-8
// json.dumps(value, ensure_ascii=False, indent=indent); indent < 0: on one line.
std::string to_json(const Value& value, int64_t indent = -1, int64_t depth = 0);

}  // namespace strata::chat
