// SPDX-License-Identifier: Apache-2.0
// What `strata doctor` says about one property of the machine.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace strata::doctor {

enum class Verdict {
  pass,
  warn,  // works, at a cost
  fail,  // something that people use Strata for will not work
};

struct Finding {
  std::string area;  // "cpu", "memory", "storage", "jobs", "gpu"
  std::string name;  // "locked memory"
  Verdict verdict = Verdict::pass;
  std::string found;      // what is there, with units
  std::string cost = {};  // what warn or fail means for a run
  std::string fix = {};   // the command or setting that mends it
};

using Findings = std::vector<Finding>;

std::string_view name(Verdict verdict);           // "pass", "warn", "fail"
bool healthy(std::span<const Finding> findings);  // nothing fails

// A line per finding, under a heading per area; of warnings and failures also the cost and the fix.
std::string to_string(std::span<const Finding> findings);
// {"healthy": bool, "findings": [{"area", "name", "verdict", "found", "cost", "fix"}]}, indented.
std::string to_json(std::span<const Finding> findings);

}  // namespace strata::doctor
