// SPDX-License-Identifier: Apache-2.0
// The tokenizer that needs nothing: a token is a byte; id 256 ends a document (and a generated text).
#pragma once

#include <memory>

#include "core/data/tokenizer.h"

namespace strata {

std::unique_ptr<Tokenizer> make_byte_tokenizer();

}  // namespace strata
