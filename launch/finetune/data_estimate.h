// SPDX-License-Identifier: Apache-2.0
// What a file of training data holds and how many tokens it is, from its beginning alone where it is long.
#pragma once

#include <cstdint>
#include <string>

#include "core/data/records/data_format.h"

namespace strata {

struct DataEstimate {
  std::string kind;  // "text", "records of chat", ..., "token file"
  bool records = false;
  bool exact = true;          // all of it was read; else counts are scaled by bytes
  std::string chat_template;  // for data.chat_template; empty: of the model, or none is needed
  int64_t bytes = 0, documents = 0, tokens = 0, learned = 0;
  int64_t long_document = 0;  // tokens that 99 of 100 documents do not exceed
};

// `tokenizer`, `chat_template`, `format` as the keys of [data]. A conversation without any template gets
// ChatML. Throws Error(data) as training would for what it reads.
struct DataQuestion {
  std::string path, tokenizer, chat_template;
  DataFormat format = DataFormat::automatic;
};
DataEstimate estimate_data(const DataQuestion& question);

std::string to_string(const DataEstimate& estimate);  // one line

}  // namespace strata
