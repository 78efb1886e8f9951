// SPDX-License-Identifier: Apache-2.0
// The one table of configuration keys. Parsing, checking, --help, the printed configuration, the fingerprint
// and the reference page all walk it; no key is spelled anywhere else but in sentences of messages.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "launch/config/key.h"

namespace strata {

struct KeySection {
  std::string_view name;
  std::string_view doc;
};

class KeyTable {
 public:
  KeyTable(std::vector<KeySection> sections, std::vector<Key> keys);

  std::span<const KeySection> sections() const { return sections_; }
  std::span<const Key> keys() const { return keys_; }  // grouped by section, in the order they are printed

  // Null when there is none of that name.
  const KeySection* section(std::string_view name) const;
  const Key* find(std::string_view path) const;
  const Key* by_alias(std::string_view name) const;  // '-' counts as '_'
  // The key of that name in any section: where a misplaced key belongs.
  const Key* by_name(std::string_view name) const;

 private:
  std::vector<KeySection> sections_;
  std::vector<Key> keys_;
};

// Every key of this version. Built once, never changed.
const KeyTable& key_table();

}  // namespace strata
