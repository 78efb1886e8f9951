// SPDX-License-Identifier: Apache-2.0
// From facts to verdicts: pure functions, a list of findings each. What fails, costs or passes is decided
// here alone.
#pragma once

#include "launch/doctor/facts.h"
#include "launch/doctor/finding.h"

namespace strata::doctor {

Findings judge(const CpuFacts& facts);
Findings judge(const MemoryFacts& facts);
Findings judge(const StorageFacts& facts);
Findings judge(const JobFacts& facts);
Findings judge(const GpuFacts& facts);

}  // namespace strata::doctor
