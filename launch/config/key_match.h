// SPDX-License-Identifier: Apache-2.0
// Which key a written name means, or, when it means none, what its writer probably wanted.
#pragma once

#include <string>
#include <string_view>

#include "core/base/error.h"
#include "launch/config/key.h"

namespace strata {

struct KeyMatch {
  const Key* key = nullptr;  // null: `fault` says why
  std::string note;          // when the name was another trainer's
  Report fault;              // without `where`
};

// A name written in a section, or outside of any (section "").
KeyMatch match_key(std::string_view section, std::string_view name);

// The fault of a section that does not exist, without `where`.
Report unknown_section(std::string_view name);

}  // namespace strata
