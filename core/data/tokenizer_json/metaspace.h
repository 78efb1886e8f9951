// SPDX-License-Identifier: Apache-2.0
// SentencePiece's way with spaces: a space becomes a visible mark (U+2581), words begin with it, and the text
// may get one in front. The same part of a tokenizer.json splits and, as a decoder, undoes it.
#pragma once

#include <string>
#include <string_view>

#include "core/data/tokenizer_json/json_part.h"
#include "core/data/tokenizer_json/pre_tokenizer.h"

namespace strata {

class Metaspace {
 public:
  enum class Prepend { always, first, never };  // first: where the whole text begins, and nowhere else

  explicit Metaspace(JsonPart& part);

  const std::string& mark() const { return mark_; }
  Prepend prepend() const { return prepend_; }
  void split(std::string_view text, bool at_start, const PieceSink& sink) const;
  // The text of a token; `first`: it is the first of what is decoded.
  std::string decode(std::string_view token, bool first) const;

 private:
  std::string mark_;
  Prepend prepend_ = Prepend::always;
  bool split_ = true;
};

}  // namespace strata
