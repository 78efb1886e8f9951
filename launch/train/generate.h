// SPDX-License-Identifier: Apache-2.0
// Lets a model go on with texts, all of them at the same time: every pass through the model draws one token
// of each. What a text becomes does not depend on the others.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/data/tokenizer.h"
#include "launch/train/sampling.h"
#include "launch/train/trained_model.h"

namespace strata {

struct GenerateOptions {
  SamplingOptions sampling;    // text i draws with seed + i
  int64_t tokens = 400;        // most tokens to draw for a text
  std::vector<int32_t> stops;  // ids that end a text; they are not part of it
};

struct Generated {
  std::string text;      // what the model added
  int64_t tokens = 0;    // drawn, a stop not counted
  bool stopped = false;  // by one of the stops
};

// `prompts`: ids, at least one each. Error(usage) for sampling options out of range. When a text reaches the
// model's positions, its second half becomes the new beginning. `piece` is told what is added to which text,
// as it comes; may be empty.
std::vector<Generated> generate(TrainedModel& trained, const std::vector<std::vector<int32_t>>& prompts,
                                const GenerateOptions& options,
                                const std::function<void(size_t, std::string_view)>& piece = {});

}  // namespace strata
