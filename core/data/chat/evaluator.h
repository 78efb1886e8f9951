// SPDX-License-Identifier: Apache-2.0
// Runs a parsed template.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/data/chat/syntax.h"

namespace strata::chat {

struct Span {
  size_t begin = 0, end = 0;  // bytes of the rendered text
  friend bool operator==(const Span&, const Span&) = default;
};

struct Output {
  std::string text;
  std::vector<Span> generation;  // what {% generation %} blocks wrote
};

// Throws TemplateError; `raised` when the template itself refused with raise_exception.
Output evaluate(const Body& body, Dict variables);

}  // namespace strata::chat
