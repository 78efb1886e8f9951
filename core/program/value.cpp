// SPDX-License-Identifier: Apache-2.0
#include "core/program/value.h"

#include <fmt/format.h>

#include <array>

namespace strata {

bool per_micro_batch(ValueClass cls) { return cls <= ValueClass::deferred; }

bool persistent(ValueClass cls) {
  return cls == ValueClass::weight || cls == ValueClass::packed || cls == ValueClass::master ||
         cls == ValueClass::moments || cls == ValueClass::scalars || cls == ValueClass::map;
}

std::string_view name(ValueClass cls) {
  constexpr std::array<std::string_view, kNumValueClasses> names{
      "x",      "dx",   "saved_input", "saved_weight", "deferred", "weight",
      "packed", "grad", "master",      "moments",      "scalars",  "map"};
  return names[static_cast<size_t>(cls)];
}

std::string_view name(Tier tier) {
  constexpr std::array<std::string_view, kNumTiers> names{"device", "host", "nvme"};
  return names[static_cast<size_t>(tier)];
}

std::string to_string(const Value& value) {
  std::string text(name(value.cls));
  if (value.block >= 0) text += fmt::format(" {}", value.block);
  if (value.micro_batch >= 0) text += fmt::format(" mb={}", value.micro_batch);
  if (value.tier != Tier::device) text += fmt::format(" tier={}", name(value.tier));
  if (value.level != 0) text += fmt::format(" level={}", value.level);
  return text;
}

}  // namespace strata
