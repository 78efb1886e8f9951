// SPDX-License-Identifier: Apache-2.0
#include "launch/doctor/finding.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace strata::doctor {

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass:
      return "pass";
    case Verdict::warn:
      return "warn";
    case Verdict::fail:
      return "fail";
  }
  return "";
}

bool healthy(std::span<const Finding> findings) {
  return std::ranges::none_of(findings, [](const Finding& f) { return f.verdict == Verdict::fail; });
}

std::string to_string(std::span<const Finding> findings) {
  std::string text, area;
  int warnings = 0, failures = 0;
  for (const Finding& finding : findings) {
    if (finding.area != area) text += fmt::format("{}{}\n", area.empty() ? "" : "\n", finding.area);
    area = finding.area;
    text += fmt::format("  {:<4}  {:<20} {}\n", name(finding.verdict), finding.name, finding.found);
    if (finding.verdict == Verdict::pass) continue;
    ++(finding.verdict == Verdict::warn ? warnings : failures);
    if (!finding.cost.empty()) text += fmt::format("        {:<20} {}\n", "", finding.cost);
    if (!finding.fix.empty()) text += fmt::format("        {:<20} fix: {}\n", "", finding.fix);
  }
  return text + fmt::format("\n{} checks: {} pass, {} warn, {} fail\n", findings.size(),
                            static_cast<int>(findings.size()) - warnings - failures, warnings, failures);
}

std::string to_json(std::span<const Finding> findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& f : findings)
    list.push_back({{"area", f.area},
                    {"name", f.name},
                    {"verdict", name(f.verdict)},
                    {"found", f.found},
                    {"cost", f.cost},
                    {"fix", f.fix}});
  const nlohmann::ordered_json whole = {{"healthy", healthy(findings)}, {"findings", std::move(list)}};
  return whole.dump(2) + "\n";
}

}  // namespace strata::doctor
