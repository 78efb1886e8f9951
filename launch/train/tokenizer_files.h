// SPDX-License-Identifier: Apache-2.0
// Tokenizer and chat template travel with the checkpoints of a run: without them their tokens are numbers,
// and nobody knows how to talk to the model.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/logical.h"
#include "core/io/file_system.h"

namespace strata {

// The files that data.tokenizer is made of, under the names they have in a model's folder, nothing for one
// that is built in; and data.chat_template, where it is set, as the folder's chat_template.jinja.
std::vector<Asset> tokenizer_files(FileSystem& files, const std::string& tokenizer,
                                   const std::string& chat_template);

// What make_tokenizer() takes for the tokenizer of a checkpoint that was trained with `tokenizer`: its own
// files, when it has some.
std::string tokenizer_of_checkpoint(FileSystem& files, const std::string& checkpoint,
                                    const std::string& tokenizer);
// What open_chat_format() takes for its chat template: a built-in one by its name, else its own file when it
// has one.
std::string chat_template_of_checkpoint(FileSystem& files, const std::string& checkpoint,
                                        const std::string& chat_template);

}  // namespace strata
