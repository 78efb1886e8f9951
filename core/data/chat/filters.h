// SPDX-License-Identifier: Apache-2.0
// The filters, tests and methods that chat templates use, as Jinja 3.1 and Python define them.
#pragma once

#include <string_view>

#include "core/data/chat/value.h"

namespace strata::chat {

// Each throws std::invalid_argument saying what is not known or does not fit.
Value apply_filter(std::string_view name, const Value& value, const Arguments& arguments);
bool apply_test(std::string_view name, const Value& value, const Arguments& arguments);
Value call_method(std::string_view name, const Value& value, const Arguments& arguments);

bool is_less(const Value& a, const Value& b);
bool contains(const Value& container, const Value& item);  // item in container
List items_of(const Value& value);                         // what a loop goes over
int64_t length_of(const Value& value);
Value attribute_of(const Value& value, const Value& key);  // value[key], undefined when it is not there
Value slice_of(const Value& value, const Value& from, const Value& to, const Value& step);

}  // namespace strata::chat
