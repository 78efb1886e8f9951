// SPDX-License-Identifier: Apache-2.0
// A chat template's source as tokens: text, and what stands between {{ }} and {% %}. White space around the
// tags is treated as transformers sets Jinja up (trim_blocks and lstrip_blocks).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace strata::chat {

struct Token {
  enum class Kind {
    text,
    print_begin,
    print_end,
    block_begin,
    block_end,
    name,
    string,
    integer,
    number,
    sign,
    end
  };
  Kind kind = Kind::end;
  std::string text;  // of strings what they mean
  int line = 0;
};

// What cannot be read, or is not known; the caller puts the template's name in front.
struct TemplateError {
  int line = 0;
  std::string what;
  bool raised = false;  // by the template itself, with raise_exception
};

std::vector<Token> tokenize_template(std::string_view source);  // throws TemplateError

}  // namespace strata::chat
