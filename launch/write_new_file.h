// SPDX-License-Identifier: Apache-2.0
// Small text files that commands write for people. Nothing that is there is ever written over.
#pragma once

#include <string>
#include <string_view>

namespace strata {

// `what` begins the message: "the configuration". Throws Error(usage) when the file is there,
// Error(environment) when it cannot be written; nothing is left then.
void write_new_file(const std::string& path, std::string_view text, const std::string& what);

}  // namespace strata
