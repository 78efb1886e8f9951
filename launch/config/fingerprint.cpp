// SPDX-License-Identifier: Apache-2.0
#include "launch/config/fingerprint.h"

#include <fmt/format.h>

#include "core/base/hash.h"
#include "launch/config/key_table.h"

namespace strata {

uint64_t fingerprint(const Config& config) {
  uint64_t sum = 0;  // a sum, so that the order of the table does not matter
  for (const Key& key : key_table().keys())
    if (key.traits.effect == KeyEffect::result)
      sum += hash_combine(hash_name(key.path), hash_name(to_toml(key.get(config))));
  return mix64(sum);
}

std::vector<std::string> differences(const Config& there, const Config& here) {
  std::vector<std::string> result;
  for (const Key& key : key_table().keys()) {
    const std::string a = to_toml(key.get(there)), b = to_toml(key.get(here));
    if (key.traits.effect == KeyEffect::result && a != b)
      result.push_back(fmt::format("{}: {} there, {} here", key.path, a, b));
  }
  return result;
}

}  // namespace strata
