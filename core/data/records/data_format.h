// SPDX-License-Identifier: Apache-2.0
// What a data file is said to hold (data.format).
#pragma once

#include <string_view>

namespace strata {

// What a file that holds no tokens yet holds.
enum class DataFormat {
  automatic,  // .jsonl: records, of the format of the file's first; anything else: plain text
  plain,      // text, whatever the file is called
  text,       // records of one format, whatever the file is called
  completion,
  chat,
  preference,
};

// As written in a configuration: "auto", "plain", ...; Error(usage) listing them.
DataFormat parse_data_format(std::string_view name);

}  // namespace strata
