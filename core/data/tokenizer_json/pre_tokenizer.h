// SPDX-License-Identifier: Apache-2.0
// Cuts text into the pieces ("words") that the model never merges across.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "core/data/tokenizer_json/json_part.h"

namespace strata {

// Gets each piece, never empty; a view into memory that lives only during the call. `at_start`: the piece
// begins where the text that was given to the tokenizer begins.
using PieceSink = std::function<void(std::string_view piece, bool at_start)>;

// What happens between "x\n" and an ASCII letter, x not being white space: a piece always ends there,
// whatever stands around it, so that the text may be cut and the parts split apart; the place is passed over
// as if it were any other; or that is not known.
enum class LineStart { ends_a_piece, passed_over, unknown };

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void split(std::string_view text, bool at_start, const PieceSink& sink) const = 0;
  // The pieces are bytes, to be looked up as GPT-2 spells bytes (byte_level.h). Such a part is the last.
  virtual bool is_byte_level() const { return false; }
  virtual LineStart line_start() const = 0;
};

// By the declared type. Error(data) for one that is not known here.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(JsonPart part);

}  // namespace strata
