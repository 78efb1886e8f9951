// SPDX-License-Identifier: Apache-2.0
#include "core/base/error.h"

#include <utility>

namespace strata {

std::string to_string(const Report& report) {
  std::string text = report.what;
  auto line = [&](const char* label, const std::string& part) {
    if (!part.empty()) text += std::string("\n  ") + label + part;
  };
  line("where:    ", report.where);
  line("found:    ", report.found);
  line("expected: ", report.expected);
  line("fix:      ", report.fix);
  return text;
}

Error::Error(Fault fault, Report report)
    : std::runtime_error(to_string(report)), fault_(fault), report_(std::move(report)) {}

}  // namespace strata
