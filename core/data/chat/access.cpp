// SPDX-License-Identifier: Apache-2.0
// Items, slices, order and membership of values.
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "core/data/chat/filters.h"

namespace strata::chat {

using Misfit = std::invalid_argument;

bool is_less(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return a.number() < b.number();
  if (a.string() && b.string()) return *a.string() < *b.string();  // UTF-8 sorts as code points do
  throw Misfit(fmt::format("{} and {} have no order", a.type(), b.type()));
}

bool contains(const Value& container, const Value& item) {
  if (container.string()) {
    if (!item.string()) throw Misfit(fmt::format("{} cannot be looked for in text", item.type()));
    return container.string()->find(*item.string()) != std::string::npos;
  }
  if (container.list())
    return std::find(container.list()->begin(), container.list()->end(), item) != container.list()->end();
  if (container.dict()) return item.string() && find(*container.dict(), *item.string());
  if (container.is_undefined()) return false;
  throw Misfit(fmt::format("nothing can be looked for in {}", container.type()));
}

List items_of(const Value& value) {
  if (value.list()) return *value.list();
  if (value.is_undefined()) return {};
  List items;
  if (value.string()) {
    for (std::string& c : characters(*value.string())) items.emplace_back(std::move(c));
  } else if (value.dict()) {
    for (const auto& [key, unused] : *value.dict()) items.emplace_back(key);
  } else {
    throw Misfit(fmt::format("{} is nothing to go over", value.type()));
  }
  return items;
}

int64_t length_of(const Value& value) {
  if (value.string()) return static_cast<int64_t>(characters(*value.string()).size());
  if (value.list()) return static_cast<int64_t>(value.list()->size());
  if (value.dict()) return static_cast<int64_t>(value.dict()->size());
  if (value.is_undefined()) return 0;
  throw Misfit(fmt::format("{} has no length", value.type()));
}

Value attribute_of(const Value& value, const Value& key) {
  if (value.is_undefined())
    throw Misfit(
        fmt::format("{} is undefined and has no \"{}\"", value.get_if<Undefined>()->name, key.text()));
  const Undefined missing{key.text()};
  if (const auto* index = key.get_if<int64_t>()) {
    if (!value.list() && !value.string()) return missing;
    const int64_t length = length_of(value), at = *index < 0 ? *index + length : *index;
    if (at < 0 || at >= length) return missing;
    if (value.list()) return (*value.list())[static_cast<size_t>(at)];
    return characters(*value.string())[static_cast<size_t>(at)];
  }
  if (!key.string()) return missing;
  const Dict* fields = value.dict() ? value.dict() : value.fields() ? &value.fields()->fields : nullptr;
  const Value* field = fields ? find(*fields, *key.string()) : nullptr;
  return field ? *field : Value(missing);
}

Value slice_of(const Value& value, const Value& from, const Value& to, const Value& step) {
  if (!value.list() && !value.string()) throw Misfit(fmt::format("{} cannot be sliced", value.type()));
  const List items = items_of(value);
  const auto length = static_cast<int64_t>(items.size());
  const auto number = [](const Value& v, int64_t otherwise) {
    if (v.is_undefined() || v.is_none()) return otherwise;
    if (!v.is_integer()) throw Misfit(fmt::format("{} in a slice", v.type()));
    return *v.get_if<int64_t>();
  };
  const int64_t stride = number(step, 1);
  if (stride == 0) throw Misfit("a slice with step 0");
  const auto bound = [&](const Value& v, int64_t otherwise) {
    int64_t at = number(v, otherwise);
    if (v.is_integer() && at < 0) at += length;
    return stride > 0 ? std::clamp<int64_t>(at, 0, length) : std::clamp<int64_t>(at, -1, length - 1);
  };
  const int64_t begin = bound(from, stride > 0 ? 0 : length - 1), end = bound(to, stride > 0 ? length : -1);
  List result;
  for (int64_t i = begin; stride > 0 ? i < end : i > end; i += stride)
    result.push_back(items[static_cast<size_t>(i)]);
  if (value.list()) return result;
  std::string text;
  for (const Value& c : result) text += *c.string();
  return text;
}

}  // namespace strata::chat
