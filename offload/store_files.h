// SPDX-License-Identifier: Apache-2.0
// The files of a tile store found, judged and made: a restart finds its own and goes on from their last
// commit, what an interrupted start left is made anew, another run's files are refused. Also whether a folder
// may hold such files at all.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/io/async_io.h"
#include "offload/slot_map.h"
#include "offload/store_plan.h"

namespace strata {

enum class ExistingFiles : uint8_t {
  resume,   // files of this run are gone on with; of another plan of it, they are an Error
  discard,  // files of this run, of whatever plan, are emptied: their content comes from elsewhere (a
            // checkpoint)
};

// Types of file systems that state must not lie on: memory, container layers, networks. Unknown types pass.
enum class Volumes : uint8_t { local_drives, any };

struct StoreFilesRequest {
  std::vector<std::string> folders;  // one per path
  std::string run;                   // identity: letters, digits, '-' and '_'
  int rank = 0;
  ExistingFiles existing = ExistingFiles::resume;
  Volumes volumes = Volumes::local_drives;
  AsyncIoOptions io = {};                                       // for filling files
  std::function<void(int64_t done, int64_t of)> progress = {};  // while files are filled
};

struct StoreFiles {
  StorePlan plan;  // with the weights that the files were made with
  std::vector<std::unique_ptr<File>> tiles;
  std::unique_ptr<SlotMapFile> map;
  std::vector<std::string> notes;  // what makes it slower than it could be
};

// Error(environment): folder missing, no permission, file system refused, no room. Error(data): files of
// another run or plan, damaged files. Nothing of another run is ever touched.
StoreFiles open_store_files(FileSystem& files, const StoreFilesRequest& request, const StorePlan& plan);

// The first part of it, before anything is written: throws what is wrong with a folder.
void require_store_folder(FileSystem& files, const std::string& folder, Volumes volumes);

// What is wrong with a type of file system (Volume::type) for tiles; empty when nothing is.
std::string why_refused(const std::string& volume_type);

// Removes the files of one rank of a run, and what an interrupted start left; those of other runs stay. The
// count.
int remove_store_files(FileSystem& files, std::span<const std::string> folders, const std::string& run,
                       int rank);

}  // namespace strata
