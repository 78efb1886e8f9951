// SPDX-License-Identifier: Apache-2.0
// Finds the tensors of a model among those that are stored. Strict: what is missing, of another shape or left
// over is put down, and all of it told at once.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/logical.h"
#include "checkpoint/name_rules.h"

namespace strata {

class TensorFinder {
 public:
  // `stored` and `allow_missing` (names of ours, name_rules.h) live longer. `where` is what is read.
  TensorFinder(std::span<const TensorSpec> stored, std::string where,
               const std::vector<std::string>& allow_missing);

  // The index of the stored tensor; nothing, and a fault, when there is none or it has another shape. `ours`
  // is its name in Strata, for the rules.
  std::optional<size_t> take(const std::string& ours, const std::string& stored, const Shape& shape);
  // Of another state, which may be missing: a parameter that was frozen has no moments.
  std::optional<size_t> take_state(const std::string& stored, const std::string& state, const Shape& shape);

  std::optional<size_t> find(const std::string& stored, const std::string& state = "param") const;
  bool used(size_t tensor) const { return used_[tensor] != 0; }
  void leave(size_t tensor) { used_[tensor] = 1; }  // it may be there
  void fault(std::string what) { faults_.push_back(std::move(what)); }

  // Last. Throws Error(model) when anything was put down or a stored tensor was not used.
  void finish();
  // Ours that the rules let through.
  std::vector<std::string> take_missing() { return std::move(missing_); }

 private:
  std::optional<size_t> take_at(size_t index, const Shape& shape);

  std::span<const TensorSpec> stored_;
  std::string where_;
  std::map<std::pair<std::string, std::string>, size_t> known_;  // by name and state
  std::vector<char> used_;
  std::vector<std::string> faults_, missing_;
  NameRules allow_missing_;
};

}  // namespace strata
