// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/nn/model.h"

namespace strata {

Model make_llama(const ModelSpec& spec, const Split& split);

}  // namespace strata
