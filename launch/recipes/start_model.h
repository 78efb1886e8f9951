// SPDX-License-Identifier: Apache-2.0
// A model to go on with: what it is, and where its tokenizer is.
#pragma once

#include <string>

#include "checkpoint/adapters/hugging_face.h"
#include "core/io/file_system.h"

namespace strata {

struct StartModel {
  HfModel model;
  std::string tokenizer;  // a path, or "byte" where the model has none
};

// `path`: a folder of Hugging Face, a GGUF file, a run or a checkpoint of Strata. The tokenizer inside a
// GGUF file is written to `tokenizer_parent`/STEM-tokenizer, unless that folder is there. Throws Error(model)
// when nothing readable is there or its sizes are not known, Error(environment) when the tokenizer cannot be
// written.
StartModel open_start_model(FileSystem& files, const std::string& path, const std::string& tokenizer_parent);

}  // namespace strata
