// SPDX-License-Identifier: Apache-2.0
// "Did you mean": the name of a list that is nearest to a misspelt one.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace strata {

// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal string
// alignment).
size_t edit_distance(std::string_view a, std::string_view b);

// The nearest of the candidates, or empty when none is near enough to be what was meant (more than a third of
// the letters differ). Ties go to the first.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace strata
