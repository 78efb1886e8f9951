// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/manifest.h"

#include <algorithm>
#include <set>

#include "checkpoint/shard_layout.h"
#include "checkpoint/tiling.h"
#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {
namespace {

class Checker {
 public:
  Checker(const Manifest& manifest, const std::string& where) : manifest_(manifest), where_(where) {}

  void run() const {
    require(manifest_.block_bytes >= kPage && manifest_.block_bytes <= kLargestBlock &&
                manifest_.block_bytes % kPage == 0,
            "blocks of an impossible size", std::to_string(manifest_.block_bytes));
    require(manifest_.step >= 0, "a step below zero", std::to_string(manifest_.step));
    require(manifest_.meta.is_object(), "meta that is no object", manifest_.meta.type_name());
    check_files();
    std::set<std::pair<std::string_view, std::string_view>> names;
    for (const ManifestTensor& tensor : manifest_.tensors) {
      check_logical(tensor.logical, where_);
      require(names.emplace(tensor.logical.name, tensor.logical.state).second, "a tensor twice",
              to_string(tensor.logical));
      check_fragments(tensor);
    }
    check_overlap();
  }

 private:
  static constexpr int64_t kLargestBlock = int64_t{64} << 20;

  void require(bool holds, const char* what, std::string found, std::string expected = "") const {
    if (holds) return;
    throw Error(Fault::model, {.what = fmt::format("the checkpoint's manifest describes {}", what),
                               .where = where_,
                               .found = std::move(found),
                               .expected = std::move(expected),
                               .fix = "use another checkpoint"});
  }

  void check_files() const {
    std::set<std::string_view> names;
    for (const ManifestFile& file : manifest_.files) {
      std::string_view name = file.name;
      if (file.kind == ManifestFile::Kind::asset && name.starts_with("assets/")) name.remove_prefix(7);
      require(is_plain_name(name) && name != kManifestName, "a file name that is not allowed",
              file.name.substr(0, 80), "letters, digits, '.', '_' and '-'");
      require(names.insert(file.name).second, "a file twice", file.name);
      require(file.bytes >= 0, "a file of negative size", file.name);
    }
  }

  void check_fragments(const ManifestTensor& tensor) const {
    const Shape& shape = tensor.logical.shape;
    std::vector<Rect> rects;
    for (const ManifestFragment& fragment : tensor.fragments) {
      bool inside = fragment.rect.begin.rank() == shape.rank() &&
                    fragment.rect.extent.rank() == shape.rank() && shape.numel() > 0;
      for (int d = 0; inside && d < shape.rank(); ++d)
        inside = fragment.rect.begin[d] >= 0 && fragment.rect.extent[d] > 0 &&
                 fragment.rect.extent[d] <= shape[d] &&
                 fragment.rect.begin[d] <= shape[d] - fragment.rect.extent[d];
      require(inside, "a fragment outside of its tensor",
              fmt::format("{} + {} of '{}'", fragment.rect.begin, fragment.rect.extent, tensor.logical.name),
              to_string(shape));
      require(fragment.file < manifest_.files.size() &&
                  manifest_.files[fragment.file].kind == ManifestFile::Kind::shard,
              "a fragment in no shard", fmt::format("file {} for '{}'", fragment.file, tensor.logical.name));
      const int64_t bytes = fragment.rect.numel() * size_of(tensor.logical.type);
      const ManifestFile& file = manifest_.files[fragment.file];
      require(fragment.offset >= 0 && bytes <= file.bytes && fragment.offset <= file.bytes - bytes,
              "a fragment outside of its file",
              fmt::format("{} bytes at {} of '{}'", bytes, fragment.offset, tensor.logical.name),
              fmt::format("a place within the {} bytes of {}", file.bytes, file.name));
      require(std::ssize(fragment.crcs) == div_up(bytes, manifest_.block_bytes),
              "a fragment with the wrong number of block checksums",
              fmt::format("{} for {} bytes of '{}'", fragment.crcs.size(), bytes, tensor.logical.name));
      rects.push_back(fragment.rect);
    }
    const auto fault = find_tiling_fault(shape, rects);
    require(!fault, "fragments that do not cover a tensor exactly once",
            fault ? fmt::format("element {} of '{}' ({}) in {} fragments", fault->element,
                                tensor.logical.name, tensor.logical.state, fault->covered)
                  : "",
            "every element in one fragment");
  }

  // No byte of a file belongs to two fragments.
  void check_overlap() const {
    struct Range {
      size_t file;
      int64_t begin, end;
      const ManifestTensor* tensor;
    };
    std::vector<Range> ranges;
    for (const ManifestTensor& tensor : manifest_.tensors)
      for (const ManifestFragment& f : tensor.fragments)
        ranges.push_back(
            {f.file, f.offset, f.offset + f.rect.numel() * size_of(tensor.logical.type), &tensor});
    std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
      return std::pair(a.file, a.begin) < std::pair(b.file, b.begin);
    });
    for (size_t i = 1; i < ranges.size(); ++i)
      require(ranges[i - 1].file != ranges[i].file || ranges[i - 1].end <= ranges[i].begin,
              "fragments that overlap in a file",
              fmt::format("'{}' and '{}' in {}", ranges[i - 1].tensor->logical.name,
                          ranges[i].tensor->logical.name, manifest_.files[ranges[i].file].name));
  }

  const Manifest& manifest_;
  const std::string& where_;
};

}  // namespace

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 200 && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                  c == '_' || c == '-';
         });
}

void check_manifest(const Manifest& manifest, const std::string& where) { Checker(manifest, where).run(); }

Manifest read_manifest(FileSystem& files, const std::string& folder) {
  const std::string where = folder + "/" + std::string(kManifestName);
  const auto refuse = [&](std::string what, std::string path, std::string found, std::string expected = "") {
    throw Error(Fault::model, {.what = std::move(what),
                               .where = std::move(path),
                               .found = std::move(found),
                               .expected = std::move(expected),
                               .fix = "use another checkpoint of the run, or copy this one again"});
  };
  const auto file = files.open_if_exists(where, OpenMode::read_plain);
  if (!file) refuse("this folder holds no checkpoint", folder, "no manifest.json");
  // A manifest describes what lies beside it: it takes far less than that.
  constexpr int64_t kLongest = int64_t{1} << 30, kFree = int64_t{1} << 20;
  const int64_t bytes = file->size();
  if (bytes > kFree) {
    int64_t beside = 0;
    for (const std::string& name : files.list(folder).value_or(std::vector<std::string>{}))
      if (const auto info = files.info(folder + "/" + name); info && name != kManifestName)
        beside += info->bytes;
    if (bytes > kLongest || bytes - kFree > beside)
      refuse("the checkpoint's manifest is impossibly long", where, fmt::format("{} bytes", bytes),
             fmt::format("at most {} beside files of {} bytes", std::min(kLongest, beside + kFree), beside));
  }
  std::string text(static_cast<size_t>(bytes), '\0');
  file->read(0, std::as_writable_bytes(std::span(text)));
  Manifest manifest = parse_manifest(text, where);
  for (const ManifestFile& listed : manifest.files) {
    const std::string path = folder + "/" + listed.name;
    // The folder itself may be reached through a link, but nothing inside it.
    if (files.is_link(path) ||
        (listed.kind == ManifestFile::Kind::asset && files.is_link(parent_directory(path))))
      refuse("a file of the checkpoint is a symbolic link", path, "a link", "the file itself");
    const auto info = files.info(path);
    if (!info)
      refuse("a file of the checkpoint is missing", path, "nothing", fmt::format("{} bytes", listed.bytes));
    if (info->type != FileInfo::Type::file)
      refuse("a file of the checkpoint is none", path, "a folder or device");
    if (info->bytes != listed.bytes)
      refuse(info->bytes < listed.bytes ? "a file of the checkpoint is cut short"
                                        : "a file of the checkpoint is too long",
             path, fmt::format("{} bytes", info->bytes), fmt::format("{} bytes", listed.bytes));
  }
  return manifest;
}

}  // namespace strata
