// SPDX-License-Identifier: Apache-2.0
// The break-even table that `strata bench gemm --fp8 --json` wrote, as a recipe follows it
// (precision.follow).
#pragma once

#include <string>
#include <vector>

#include "precision/recipe.h"

namespace strata {

// The layers that were measured with all three products by `recipe`, each product at the number of tokens
// nearest to `tokens` (of two the smaller). Throws Error(usage) for a file that is no such table or has none.
std::vector<MeasuredLayer> read_measured_layers(const std::string& path, const std::string& recipe,
                                                int64_t tokens);

}  // namespace strata
