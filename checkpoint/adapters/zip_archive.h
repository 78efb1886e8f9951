// SPDX-License-Identifier: Apache-2.0
// The directory of a ZIP archive as torch.save writes it: entries stored as they are, with or without the
// 64-bit extension. Nothing is unpacked. Format: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/io/file.h"

namespace strata {

struct ZipEntry {
  int64_t offset = 0;  // of the content in the file
  int64_t bytes = 0;
};

inline constexpr int64_t kZipDirectoryBytes = int64_t{32} << 20;
inline constexpr int64_t kZipEntries = 200'000;

// By name, offsets as the file counts. Checks before anything is allocated that the directory lies in the
// file; of every entry that it is stored, not encrypted, named once, agrees with its own header and lies in
// the file without overlapping another. Throws Error(model).
std::map<std::string, ZipEntry> read_zip_directory(File& file);
// Of an archive of `bytes` at `offset` of a file that holds other things too.
std::map<std::string, ZipEntry> read_zip_directory(File& file, int64_t offset, int64_t bytes);

}  // namespace strata
