// SPDX-License-Identifier: Apache-2.0
#include "launch/write_new_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/base/error.h"

namespace strata {

void write_new_file(const std::string& path, std::string_view text, const std::string& what) {
  const auto failed = [&](Fault fault, std::string found, std::string fix) {
    throw Error(fault, {.what = what + " was not written",
                        .where = path,
                        .found = std::move(found),
                        .expected = "a new file",
                        .fix = std::move(fix)});
  };
  std::FILE* file = std::fopen(path.c_str(), "wx");
  if (!file && errno == EEXIST)
    failed(Fault::usage, "a file of that name", "choose another name with -o, or remove the file");
  if (!file) failed(Fault::environment, std::strerror(errno), "choose another place with -o");
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (std::fclose(file) != 0 || !written) {
    const std::string why = std::strerror(errno);
    std::remove(path.c_str());
    failed(Fault::environment, why, "free space, or choose another place with -o");
  }
}

}  // namespace strata
