// SPDX-License-Identifier: Apache-2.0
// Whether two configurations describe the same training run, so that a checkpoint is resumed by its own run
// only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launch/config/config.h"

namespace strata {

// Of every key whose KeyEffect is `result`, by name and value: new keys at their defaults change it, order
// does not. The configurations are resolved ones.
uint64_t fingerprint(const Config& config);

// The keys of KeyEffect::result that differ, each as "optimizer.lr: 0.001 there, 0.0003 here".
std::vector<std::string> differences(const Config& there, const Config& here);

}  // namespace strata
