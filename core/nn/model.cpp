// SPDX-License-Identifier: Apache-2.0
#include "core/nn/model.h"

#include <fnmatch.h>

#include <algorithm>

#include "core/base/error.h"

namespace strata {

int64_t Model::freeze(std::span<const std::string> patterns) {
  int64_t frozen = 0;
  for (const std::string& pattern : patterns) {
    bool matched = false;
    auto matches = [&](const LogicalTensor& piece) {
      return fnmatch(pattern.c_str(), piece.name.c_str(), 0) == 0;
    };
    auto freeze_in = [&](std::span<Parameter> parameters) {
      for (Parameter& parameter : parameters) {
        const auto count = std::count_if(parameter.pieces.begin(), parameter.pieces.end(), matches);
        if (count == 0) continue;
        matched = true;
        if (count != static_cast<int64_t>(parameter.pieces.size()))
          throw Error(
              Fault::usage,
              {.what = fmt::format("'{}' is one matrix and can only be frozen as a whole", parameter.name),
               .found = fmt::format("pattern \"{}\" matches {} of its {} tensors", pattern, count,
                                    parameter.pieces.size()),
               .fix = "use a pattern that matches all of them, or none"});
        if (!parameter.trainable) continue;
        parameter.trainable = false;
        for (const LogicalTensor& piece : parameter.pieces) frozen += piece.shape.numel();
      }
    };
    for (auto& block : blocks) freeze_in(block->parameters());
    freeze_in(head->parameters());
    if (!matched)
      throw Error(Fault::usage,
                  {.what = "a pattern of frozen tensors matches nothing",
                   .found = fmt::format("\"{}\"", pattern),
                   .expected = "part of a tensor name such as \"layers.0.*\" or \"embedding.weight\""});
  }
  return frozen;
}

int64_t Model::num_parameters() const {
  int64_t count = 0;
  for (int block = 0; block < num_blocks(); ++block)
    for (const Parameter& parameter : parameters(block))
      for (const LogicalTensor& piece : parameter.pieces) count += piece.shape.numel();
  if (twin_table()) count -= parameters(num_blocks() - 1).back().pieces[0].shape.numel();
  return count;
}

}  // namespace strata
