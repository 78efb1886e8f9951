// SPDX-License-Identifier: Apache-2.0
// THE table of meanings: which values an action reads, creates, updates, accumulates into or frees.
// Everything else - frees, waits, memory, proof - is derived from it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/check.h"
#include "core/program/action.h"
#include "core/program/block_info.h"
#include "core/program/value.h"

namespace strata {

enum class Access : uint8_t {
  read,
  create,      // makes the value; what its memory held before is not looked at
  update,      // reads it and leaves it changed
  accumulate,  // adds to it
  free,        // ends it
};
std::string_view name(Access access);
constexpr bool writes(Access access) { return access != Access::read; }

struct Effect {
  Value value;
  Access access = Access::read;
};

// A short list without allocation.
class EffectList {
 public:
  void add(const Value& value, Access access) {
    check(size_ < items_.size(), "[effects] an action has more than {} effects", items_.size());
    items_[size_++] = {value, access};
  }
  const Effect* begin() const { return items_.data(); }
  const Effect* end() const { return items_.data() + size_; }
  size_t size() const { return size_; }

 private:
  std::array<Effect, 16> items_;
  size_t size_ = 0;
};

// The effects of `action` in a model of these blocks: 0 is the embedding, the last one the head with the
// loss. No value occurs twice.
EffectList effects(const Action& action, std::span<const BlockInfo> blocks);

}  // namespace strata
