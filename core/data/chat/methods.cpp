// SPDX-License-Identifier: Apache-2.0
// Python's methods of text and dicts.
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "core/data/chat/filters.h"
#include "core/data/chat/text.h"

namespace strata::chat {
namespace {

using Misfit = std::invalid_argument;

std::string text_argument(const Arguments& arguments, size_t place, std::string_view method) {
  const Value value = arguments.get(place, "");
  if (!value.string()) throw Misfit(fmt::format("{}() wants text and got {}", method, value.type()));
  return *value.string();
}

// startswith and endswith take one text or a list of them.
template <typename Matches>
bool any_of_texts(const Arguments& arguments, std::string_view method, Matches matches) {
  const Value value = arguments.get(0, "");
  if (!value.list()) return matches(text_argument(arguments, 0, method));
  return std::any_of(value.list()->begin(), value.list()->end(),
                     [&](const Value& v) { return v.string() && matches(*v.string()); });
}

Value text_method(std::string_view name, const std::string& s, const Arguments& arguments) {
  const auto argument = [&](size_t place) { return text_argument(arguments, place, name); };
  const auto optional = [&](size_t place) { return arguments.get(place, place == 0 ? "sep" : "maxsplit"); };
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const Value chars = arguments.get(0, "");
    return strip(s, chars.string() ? *chars.string() : "", name != "rstrip", name != "lstrip");
  }
  if (name == "split" || name == "rsplit") {
    const Value separator = optional(0), most = optional(1);
    const int64_t limit = most.is_integer() ? *most.get_if<int64_t>() : -1;
    if (separator.is_undefined() || separator.is_none()) {
      if (limit >= 0)
        throw Misfit(fmt::format("{}() with a number of splits and no separator is not known", name));
      return split_at_spaces(s);
    }
    if (!separator.string() || separator.string()->empty())
      throw Misfit(fmt::format("{}() wants a separator", name));
    return split(s, *separator.string(), limit, name == "rsplit");
  }
  if (name == "splitlines") {
    List lines = split(s, "\n", -1, false);
    if (s.empty() || s.back() == '\n') lines.pop_back();
    return lines;
  }
  if (name == "startswith")
    return any_of_texts(arguments, name, [&](const std::string& t) { return s.starts_with(t); });
  if (name == "endswith")
    return any_of_texts(arguments, name, [&](const std::string& t) { return s.ends_with(t); });
  if (name == "upper") return upper(s);
  if (name == "lower") return lower(s);
  if (name == "title") return title(s);
  if (name == "capitalize") return capitalize(s);
  if (name == "replace") {
    const Value most = arguments.get(2, "count");
    return replace(s, argument(0), argument(1), most.is_integer() ? *most.get_if<int64_t>() : -1);
  }
  if (name == "removeprefix") return s.starts_with(argument(0)) ? s.substr(argument(0).size()) : s;
  if (name == "removesuffix")
    return s.ends_with(argument(0)) ? s.substr(0, s.size() - argument(0).size()) : s;
  if (name == "find" || name == "rfind") {
    const size_t at = name == "find" ? s.find(argument(0)) : s.rfind(argument(0));
    return at == s.npos ? int64_t{-1} : static_cast<int64_t>(characters(s.substr(0, at)).size());
  }
  if (name == "count") return static_cast<int64_t>(split(s, argument(0), -1, false).size()) - 1;
  if (name == "join") {
    std::string joined;
    const List items = items_of(arguments.get(0, ""));
    for (size_t i = 0; i < items.size(); ++i) {
      if (!items[i].string()) throw Misfit(fmt::format("join() wants texts and got {}", items[i].type()));
      joined += (i ? s : "") + *items[i].string();
    }
    return joined;
  }
  if (name == "isdigit")
    return !s.empty() && std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
  throw Misfit(fmt::format("the method {}() of text is not known", name));
}

Value dict_method(std::string_view name, const Dict& dict, const Arguments& arguments) {
  List list;
  if (name == "get") {
    const Value key = arguments.get(0, "key"), otherwise = arguments.get(1, "default");
    const Value* found = key.string() ? find(dict, *key.string()) : nullptr;
    return found ? *found : otherwise.is_undefined() ? Value(nullptr) : otherwise;
  }
  for (const auto& [key, value] : dict)
    if (name == "items")
      list.emplace_back(List{key, value});
    else if (name == "keys")
      list.emplace_back(key);
    else if (name == "values")
      list.push_back(value);
  if (name == "items" || name == "keys" || name == "values") return list;
  throw Misfit(fmt::format("the method {}() of a dict is not known", name));
}

}  // namespace

Value call_method(std::string_view name, const Value& value, const Arguments& arguments) {
  if (value.string()) return text_method(name, *value.string(), arguments);
  if (value.dict()) return dict_method(name, *value.dict(), arguments);
  if (value.list() && name == "count")
    return static_cast<int64_t>(std::count(value.list()->begin(), value.list()->end(), arguments.get(0, "")));
  if (value.list() && name == "index") {
    const auto at = std::find(value.list()->begin(), value.list()->end(), arguments.get(0, ""));
    if (at == value.list()->end()) throw Misfit("index(): the list does not hold it");
    return static_cast<int64_t>(at - value.list()->begin());
  }
  throw Misfit(fmt::format("the method {}() of {} is not known{}", name, value.type(),
                           value.list() ? " (templates may not change lists; write list + [item])" : ""));
}

}  // namespace strata::chat
