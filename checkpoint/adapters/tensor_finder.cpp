// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/tensor_finder.h"

#include <fmt/format.h>

#include "checkpoint/adapters/model_tensors.h"

namespace strata {

TensorFinder::TensorFinder(std::span<const TensorSpec> stored, std::string where,
                           const std::vector<std::string>& allow_missing)
    : stored_(stored),
      where_(std::move(where)),
      used_(stored.size()),
      allow_missing_("allow-missing", allow_missing) {
  for (size_t t = 0; t < stored.size(); ++t) known_.emplace(std::pair(stored[t].name, stored[t].state), t);
}

std::optional<size_t> TensorFinder::find(const std::string& stored, const std::string& state) const {
  const auto found = known_.find({stored, state});
  return found == known_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<size_t> TensorFinder::take_at(size_t index, const Shape& shape) {
  used_[index] = 1;
  if (stored_[index].shape == shape) return index;
  faults_.push_back(fmt::format("different  {}, which should be {}", to_string(stored_[index]), shape));
  return std::nullopt;
}

std::optional<size_t> TensorFinder::take(const std::string& ours, const std::string& stored,
                                         const Shape& shape) {
  if (const auto found = find(stored)) return take_at(*found, shape);
  if (allow_missing_.apply(ours))
    missing_.push_back(fmt::format("{} {}", ours, shape));
  else
    faults_.push_back(fmt::format("missing    {} {}", stored, shape));
  return std::nullopt;
}

std::optional<size_t> TensorFinder::take_state(const std::string& stored, const std::string& state,
                                               const Shape& shape) {
  const auto found = find(stored, state);
  return found ? take_at(*found, shape) : std::nullopt;
}

void TensorFinder::finish() {
  for (size_t t = 0; t < stored_.size(); ++t)
    if (!used_[t]) faults_.push_back("extra      " + to_string(stored_[t]));
  allow_missing_.list_unused(faults_);
  if (!faults_.empty()) refuse_tensors(faults_, where_);
}

}  // namespace strata
