// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/commit.h"

#include <random>

#include "checkpoint/hex.h"
#include "checkpoint/sha256.h"
#include "checkpoint/view_file.h"
#include "core/base/error.h"

namespace strata {

std::string make_id() {
  std::random_device device;
  const auto word = [&] { return static_cast<uint64_t>(device()) << 32 | device(); };
  const uint64_t high = word();
  return hex64(high) + hex64(word());
}

std::string temporary_folder(const std::string& final_path, std::string_view id) {
  return fmt::format("{}.tmp-{}", final_path, id);
}

std::string retire_folder(FileSystem& files, const std::string& path) {
  std::string trash = fmt::format("{}.deleted-{}", path, make_id());
  files.rename(path, trash);
  files.sync_directory(parent_directory(path));
  return trash;
}

void seal_folder(FileSystem& files, const std::string& folder, Manifest& manifest,
                 std::span<const Asset> assets) {
  const auto write_new = [&](const std::string& path, std::string_view content) {
    const auto file = files.open(path, OpenMode::create_new);
    file->write(0, std::as_bytes(std::span(content)));
    file->sync();
  };
  if (!assets.empty()) files.make_directory(folder + "/assets");
  for (const Asset& asset : assets) {
    const std::string name = "assets/" + asset.name;
    if (!is_plain_name(asset.name))
      throw Error(Fault::usage, {.what = "a file has a name that no checkpoint holds",
                                 .found = asset.name.substr(0, 80),
                                 .expected = "letters, digits, '.', '_' and '-'"});
    write_new(folder + "/" + name, asset.content);
    manifest.files.push_back({.kind = ManifestFile::Kind::asset,
                              .name = name,
                              .bytes = std::ssize(asset.content),
                              .sha256 = sha256_hex(asset.content)});
  }
  if (!assets.empty()) files.sync_directory(folder + "/assets");
  manifest.files.push_back(write_view(files, folder, manifest));
  check_manifest(manifest, folder);  // what is not whole is not written
  replace_file(files, folder + "/" + std::string(kManifestName), to_text(manifest));
}

void publish_folder(FileSystem& files, const std::string& folder, const std::string& final_path) {
  files.rename(folder, final_path);
  try {
    files.sync_directory(parent_directory(final_path));
  } catch (...) {
    try {
      files.rename(final_path, folder);  // nobody may count on a name that a crash could take back
    } catch (const Error&) {
    }
    throw;
  }
}

}  // namespace strata
