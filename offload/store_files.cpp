// SPDX-License-Identifier: Apache-2.0
#include "offload/store_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/base/check.h"
#include "offload/tile_file.h"

namespace strata {
namespace {

std::string tile_path(const StoreFilesRequest& request, int path) {
  return request.folders[path] + "/" + tile_file_name(request.rank, path);
}

std::string map_path(const StoreFilesRequest& request) {
  return request.folders[0] + "/" + slot_map_name(request.rank);
}

[[noreturn]] void refuse_run(const std::string& path, const TileFileHeader& found,
                             const StoreFilesRequest& request) {
  throw Error(Fault::data,
              {.what = "the folder for tiles holds the state of another run",
               .where = path,
               .found = fmt::format("run {}, rank {}", found.run, found.rank),
               .expected = fmt::format("run {}, rank {}, or nothing", request.run, request.rank),
               .fix = "give each run folders of its own in offload.paths; if that run is over, remove "
                      "its files"});
}

[[noreturn]] void refuse_plan(const std::string& path) {
  throw Error(Fault::data, {.what = "the tiles there are of this run, but of another layout of its state",
                            .where = path,
                            .expected = "the model, partition, formats and offload keys they were made with",
                            .fix = "resume from a checkpoint, which fits every layout"});
}

// What is on disk: headers that are there, all of this run.
struct Found {
  std::vector<std::optional<TileFileHeader>> headers;
  bool map = false;
};

Found look(FileSystem& files, const StoreFilesRequest& request) {
  Found found;
  for (int p = 0; p < static_cast<int>(request.folders.size()); ++p) {
    const std::string path = tile_path(request, p);
    found.headers.push_back(read_header(files, path));
    if (const auto& header = found.headers.back();
        header && (header->run != request.run || header->rank != request.rank))
      refuse_run(path, *header, request);
  }
  found.map = files.info(map_path(request)).has_value();
  return found;
}

TileFileHeader header_for(const StoreFilesRequest& request, const StorePlan& plan, int path) {
  return {request.run, request.rank, path, plan.hash(), plan.shape.weights, plan.file_bytes[path]};
}

// Without a map the files are no store: it goes first and comes last.
void make_files(FileSystem& files, const StoreFilesRequest& request, const StorePlan& plan,
                const Found& found) {
  if (found.map) {
    files.remove(map_path(request));
    files.sync_directory(request.folders[0]);
  }
  const int64_t total = plan.disk_bytes() - plan.map_bytes;
  int64_t before = 0;
  for (int p = 0; p < plan.num_paths(); ++p) {
    const TileFileHeader header = header_for(request, plan, p);
    if (found.headers[p] != header) {
      files.remove(tile_path(request, p));
      create_tile_file(files, tile_path(request, p), header, request.io, [&](int64_t done) {
        if (request.progress) request.progress(before + std::min(done, header.bytes), total);
      });
    }
    before += header.bytes;
  }
  int64_t kept = 0;
  for (const StorePlan::Tile& tile : plan.tiles)
    kept += plan.values[tile.value].lifetime != Lifetime::scratch;
  SlotMapFile::create(files, map_path(request), kept);
}

// Weights are measured and never the same twice: those of the files hold.
StorePlan plan_of_files(const StoreFilesRequest& request, const StorePlan& wanted, const Found& found) {
  StoreShape shape = wanted.shape;
  for (const auto& header : found.headers)
    if (header) shape.weights = header->weights;
  if (shape.weights.size() != wanted.shape.weights.size()) refuse_plan(tile_path(request, 0));
  StorePlan plan = plan_store(wanted.values, shape);
  for (int p = 0; p < wanted.num_paths(); ++p) {
    if (!found.headers[p])
      throw Error(Fault::data, {.what = "a tile file of this run is gone",
                                .where = tile_path(request, p),
                                .expected = "the file beside " + map_path(request),
                                .fix = "bring the drive back; or resume from a checkpoint"});
    if (found.headers[p] != header_for(request, plan, p)) refuse_plan(tile_path(request, p));
  }
  return plan;
}

}  // namespace

void require_store_folder(FileSystem& files, const std::string& folder, Volumes volumes) {
  const auto info = files.info(folder);
  if (!info || info->type != FileInfo::Type::directory)
    throw Error(Fault::environment,
                {.what = "there is no such folder for tiles of training state",
                 .where = "offload.paths",
                 .found = info ? fmt::format("'{}' is no folder", folder) : fmt::format("no '{}'", folder),
                 .expected = "a folder on a local drive",
                 .fix = fmt::format("mkdir -p '{}'", folder)});
  const std::string refusal = volumes == Volumes::any ? "" : why_refused(files.volume(folder).type);
  if (refusal.empty()) return;
  throw Error(
      Fault::environment,
      {.what = "tiles of training state do not go on this file system",
       .where = folder,
       .found = refusal,
       .expected = "ext4, xfs or another local file system on a drive",
       .fix = "name a folder on a local drive in offload.paths, or allow any with offload.any_volume=true"});
}

std::string why_refused(const std::string& type) {
  static const std::set<std::string> kRemote = {"nfs",  "cifs",   "smb2", "fuse", "lustre",
                                                "gpfs", "beegfs", "ceph", "9p"};
  if (type == "tmpfs" || type == "ramfs") return type + " is memory, not a drive";
  if (type == "overlay") return "overlay is a layer of a container: slow, and without direct I/O";
  if (type == "squashfs") return "squashfs cannot be written";
  if (kRemote.contains(type)) return type + " is not a local drive";
  return "";
}

StoreFiles open_store_files(FileSystem& files, const StoreFilesRequest& request, const StorePlan& wanted) {
  check(std::ssize(request.folders) == wanted.num_paths(), "[tile store] {} folders for {} paths",
        request.folders.size(), wanted.num_paths());
  const std::set<std::string> distinct(request.folders.begin(), request.folders.end());
  if (distinct.size() != request.folders.size())
    throw Error(
        Fault::usage,
        {.what = "a folder is named twice", .where = "offload.paths", .expected = "a folder on each drive"});
  for (const std::string& folder : request.folders) require_store_folder(files, folder, request.volumes);

  const Found found = look(files, request);
  StoreFiles result{.plan = wanted};
  if (found.map && request.existing == ExistingFiles::resume) {
    result.plan = plan_of_files(request, wanted, found);
  } else {
    make_files(files, request, result.plan, found);
  }
  int64_t kept = 0;
  for (const StorePlan::Tile& tile : result.plan.tiles)
    kept += result.plan.values[tile.value].lifetime != Lifetime::scratch;
  for (int p = 0; p < wanted.num_paths(); ++p) {
    std::string note;
    result.tiles.push_back(open_tile_file(files, tile_path(request, p), note));
    if (!note.empty()) result.notes.push_back(request.folders[p] + ": " + note);
    if (const int64_t bytes = result.tiles[p]->size(); bytes != result.plan.file_bytes[p])
      throw Error(Fault::data, {.what = "a tile file is damaged",
                                .where = tile_path(request, p),
                                .found = fmt::format("{} bytes", bytes),
                                .expected = fmt::format("{} bytes", result.plan.file_bytes[p]),
                                .fix = "remove it: the run then goes on from its last checkpoint"});
  }
  result.map = std::make_unique<SlotMapFile>(files, map_path(request), result.plan.hash(), kept);
  return result;
}

int remove_store_files(FileSystem& files, std::span<const std::string> folders, const std::string& run,
                       int rank) {
  int removed = 0;
  for (int p = static_cast<int>(folders.size()); p-- > 0;) {
    const std::string path = folders[p] + "/" + tile_file_name(rank, p);
    const auto header = read_header(files, path);
    if (header && header->run != run) continue;
    if (p == 0) removed += files.remove(folders[0] + "/" + slot_map_name(rank));
    removed += files.remove(path + ".new");
    removed += header && files.remove(path);
  }
  return removed;
}

}  // namespace strata
