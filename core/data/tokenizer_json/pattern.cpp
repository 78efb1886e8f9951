// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer_json/pattern.h"

namespace strata {

Pattern::Pattern(JsonPart part) {
  if (part.value().contains("Regex")) {
    source_ = part.text("Regex");
    regex_.emplace(source_, part.place());
  } else {
    source_ = part.text("String");
    if (source_.empty()) part.refuse("a pattern is empty", "\"\"", "text to look for");
  }
  part.done();
}

}  // namespace strata
