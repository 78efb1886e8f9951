// SPDX-License-Identifier: Apache-2.0
// What a user is told when something is wrong, and the exit code the program ends with.
// Broken contracts between parts of Strata are another matter: see check.h.
#pragma once

#include <stdexcept>
#include <string>

namespace strata {

// The kind of fault decides the exit code of the process (DESIGN section 7).
enum class Fault : int {
  internal = 1,
  usage = 2,  // command line or configuration
  data = 3,
  model = 4,  // model folder or checkpoint
  environment = 5,
  memory = 6,
  numeric = 7,
  communication = 8,
};

// The five parts of a message. Only `what` is required; an empty part is left out of the text.
struct Report {
  std::string what = {};      // what is wrong, in one sentence
  std::string where = {};     // file:line, key, or rank@host
  std::string found = {};     // what was there
  std::string expected = {};  // what should have been there
  std::string fix = {};       // a value, command or action that mends it
};

class Error : public std::runtime_error {
 public:
  Error(Fault fault, Report report);

  Fault fault() const { return fault_; }
  int exit_code() const { return static_cast<int>(fault_); }
  const Report& report() const { return report_; }

 private:
  Fault fault_;
  Report report_;
};

// The text printed for a report: `what`, then one indented line per part that is present.
std::string to_string(const Report& report);

}  // namespace strata
