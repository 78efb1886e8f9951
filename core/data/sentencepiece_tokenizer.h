// SPDX-License-Identifier: Apache-2.0
// A SentencePiece model (tokenizer.model, Kudo and Richardson 2018, arXiv:1808.06226) run by its own library.
// sentencepiece_tokenizer.cpp; without the library no_sentencepiece.cpp, which refuses.
#pragma once

#include <filesystem>
#include <memory>

#include "core/data/tokenizer.h"

namespace strata {

// Encodes without <s> and </s>, which documents get around them. Bytes that are not UTF-8 count as U+FFFD.
// Text is never cut: the library puts a space before what it is given. Error(data) for a file that is no such
// model, Error(environment) in a build without the library.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const std::filesystem::path& model);

}  // namespace strata
