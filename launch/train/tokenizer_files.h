// SPDX-License-Identifier: Apache-2.0
// A tokenizer travels with the checkpoints of a run: without it their tokens are numbers.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/logical.h"
#include "core/io/file_system.h"

namespace strata {

// The files that `tokenizer` (data.tokenizer) is made of, under the names they have in a model's folder;
// nothing for one that is built in.
std::vector<Asset> tokenizer_files(FileSystem& files, const std::string& tokenizer);

// What make_tokenizer() takes for the tokenizer of a checkpoint that was trained with `tokenizer`: its own
// files, when it has some.
std::string tokenizer_of_checkpoint(FileSystem& files, const std::string& checkpoint,
                                    const std::string& tokenizer);

}  // namespace strata
