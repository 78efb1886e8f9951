// SPDX-License-Identifier: Apache-2.0
// All that is wrong with a configuration, found in one pass and reported together.
#pragma once

#include <utility>
#include <vector>

#include "core/base/error.h"

namespace strata {

// Fault::usage. what() and report() are of the first fault; a program prints every one of reports().
class ConfigFaults : public Error {
 public:
  // At least one report.
  explicit ConfigFaults(std::vector<Report> reports)
      : Error(Fault::usage, reports.at(0)), reports_(std::move(reports)) {}

  const std::vector<Report>& reports() const { return reports_; }

 private:
  std::vector<Report> reports_;
};

}  // namespace strata
