// SPDX-License-Identifier: Apache-2.0
// Text of which parts are learned, as tokens of which some are learned.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/data/chat/evaluator.h"
#include "core/data/tokenizer.h"

namespace strata {

struct MarkedTokens {
  std::vector<int32_t> ids;
  std::vector<uint8_t> learned;  // 1 or 0 for each id

  void add(int32_t id, bool is_learned);
  int64_t num_learned() const;
};

// Appends the ids of `text`, which are those that encoding it without marks gives: a model sees the text as
// it would see it anywhere. `learned`: bytes of it, ascending and apart. A token over an edge counts as what
// follows the edge, so what is learned begins with what a model says after the ids of the text before it.
void encode_marked(const Tokenizer& tokenizer, std::string_view text, std::span<const chat::Span> learned,
                   MarkedTokens& out);

}  // namespace strata
