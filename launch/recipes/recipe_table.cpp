// SPDX-License-Identifier: Apache-2.0
#include "launch/recipes/recipe.h"

namespace strata {

extern const Recipe kTinyRecipe;

std::span<const Recipe> recipes() {
  static const Recipe kRecipes[] = {kTinyRecipe};
  return kRecipes;
}

}  // namespace strata
