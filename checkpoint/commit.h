// SPDX-License-Identifier: Apache-2.0
// How a folder of written shards becomes a checkpoint: everything else it holds is written, then the
// manifest, then it gets its name. A crash at any instant leaves no checkpoint or the whole of it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "checkpoint/manifest.h"
#include "core/io/file_system.h"

namespace strata {

inline constexpr std::string_view kViewName = "view.h5";

// 32 hexadecimal digits that nobody else has.
std::string make_id();

// "<final>.tmp-<id>": where a save is until it is committed.
std::string temporary_folder(const std::string& final_path, std::string_view id);
// Gives a folder the name "<path>.deleted-<id>", durably, and returns it: what is removed goes there first,
// so that no half of it is ever taken for a checkpoint.
std::string retire_folder(FileSystem& files, const std::string& path);

// Writes assets (with their hashes into `manifest`), view.h5 and the manifest into `folder`, whose shards are
// durable and listed in `manifest`, and syncs the folder. The folder is then a checkpoint by itself. Throws
// Error.
void seal_folder(FileSystem& files, const std::string& folder, Manifest& manifest,
                 std::span<const Asset> assets);

// Gives a sealed folder its final name, durably. An existing folder of that name is an error (ENOTEMPTY).
void publish_folder(FileSystem& files, const std::string& folder, const std::string& final_path);

}  // namespace strata
