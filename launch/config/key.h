// SPDX-License-Identifier: Apache-2.0
// One key of the configuration: its name, kind, limits, documentation, and the struct member it sets. The
// table of all keys is key_table.h; a row there is everything a new key needs.
#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launch/config/config.h"
#include "launch/config/value.h"

namespace strata {

// The numbers a key accepts. Infinities and NaN are outside every range.
struct KeyRange {
  double low = -std::numeric_limits<double>::max();
  double high = std::numeric_limits<double>::max();
  bool low_open = false;
  bool high_open = false;

  bool contains(double value) const {
    return (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high);
  }
};
std::string to_string(const KeyRange& range);  // "at least 1", "above 0, at most 1"

// What resuming with another value of a key means.
enum class KeyEffect {
  result,     // it is another training run: part of the fingerprint
  execution,  // the same run, done, watched or kept in another way
};

// A key that means something only while a sibling key has one of some values ("schedule.decay": type is
// "wsd"). Setting it otherwise is refused rather than ignored.
struct OnlyWhen {
  std::string_view sibling;
  std::vector<std::string_view> values;
};

// Everything about a key but its name and member; written with named initialisers in the table.
struct KeyTraits {
  std::string_view doc;        // one sentence
  std::string_view unit = {};  // of the number, empty when it has none
  std::vector<std::string_view> choices = {};
  KeyRange range = {};
  bool required = false;  // no default can be right
  KeyEffect effect = KeyEffect::result;
  OnlyWhen only_when = {};
  // Names other trainers have for it, accepted with a note at the top of the file or in the key's section.
  std::vector<std::string_view> aliases = {};
};

struct Key {
  std::string_view section;
  std::string_view name;
  std::string path;  // section.name
  KeyKind kind;
  size_t list_length;  // of KeyKind::numbers; 0: any
  KeyTraits traits;
  std::function<KeyValue(const Config&)> get;
  std::function<void(Config&, const KeyValue&)>
      set;  // the value has been found to have the key's kind and range
};

// What the key accepts, in words: "number, above 0, at most 1" or "one of: cosine, linear".
std::string accepted(const Key& key);

// Why the key does not take the value, in words, or empty when it does.
std::string refusal(const Key& key, const KeyValue& value);

}  // namespace strata
