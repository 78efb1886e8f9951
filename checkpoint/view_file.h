// SPDX-License-Identifier: Apache-2.0
// view.h5: every logical tensor whole, as a virtual dataset "/<state>/<name>" over the shards, for h5py and
// other tools. Strata never reads it: a virtual dataset whose shard is damaged or gone reads as zeros without
// an error.
#pragma once

#include "checkpoint/manifest.h"
#include "core/io/file_system.h"

namespace strata {

// Writes folder/view.h5, durably, for the tensors and shards of `manifest`; its row for the manifest.
ManifestFile write_view(FileSystem& files, const std::string& folder, const Manifest& manifest);

}  // namespace strata
