// SPDX-License-Identifier: Apache-2.0
// TOML nodes as configuration values: strict about types, free of surprises (1 is a number, 8192.0 is no
// count).
#pragma once

#include <toml++/toml.h>

#include <optional>
#include <string>

#include "launch/config/key.h"

namespace strata {

// The node as a value of the key's kind; empty when its type is another. The range is not looked at.
std::optional<KeyValue> to_value(const toml::node& node, KeyKind kind);

// The node for a message: `text "fast"`, `number 3.5`, `list of 2`.
std::string describe(const toml::node& node);

// What to write instead of a node of the wrong type or range: "lr = 0.0003".
std::string repair(const toml::node& node, const Key& key);

}  // namespace strata
