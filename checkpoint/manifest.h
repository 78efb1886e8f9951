// SPDX-License-Identifier: Apache-2.0
// manifest.json: the truth about a checkpoint. What it does not list is not there, and nothing is read that
// does not agree with it. format.md describes the text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/logical.h"
#include "core/io/file_system.h"

namespace strata {

struct ManifestVersion {
  int major = 1;  // another one is refused
  int minor = 0;  // a newer one is read: what it adds can be ignored
  friend bool operator==(const ManifestVersion&, const ManifestVersion&) = default;
};
inline constexpr ManifestVersion kManifestVersion{1, 0};

struct ManifestFile {
  enum class Kind : uint8_t { shard, view, asset };
  Kind kind = Kind::shard;
  std::string name;   // relative to the folder: "shard-00000.h5", "view.h5", "assets/config.json"
  int64_t bytes = 0;  // exactly
  uint32_t crc = 0;   // view: CRC-32C of the file; shard: of all bytes that belong to no fragment, in order
  std::string sha256{};  // asset: of the file
};

// A rectangle, contiguous and row-major in a shard.
struct ManifestFragment {
  size_t file = 0;  // index into files
  int64_t offset = 0;
  Rect rect;
  std::vector<uint32_t> crcs;  // CRC-32C of each block_bytes of it, the last one shorter
};

struct ManifestTensor {
  TensorSpec logical;
  Digest digest;
  std::vector<ManifestFragment> fragments;  // every element once; none for a tensor without elements
};

struct Manifest {
  ManifestVersion version = kManifestVersion;
  std::string writer;  // program and version, for people
  std::string id;      // of this save, 32 hexadecimal digits
  int64_t step = 0;
  int64_t block_bytes = int64_t{4} << 20;
  nlohmann::json meta = nlohmann::json::object();  // whatever the writer wants to find again
  std::vector<ManifestFile> files;
  std::vector<ManifestTensor> tensors;
};

inline constexpr std::string_view kManifestName = "manifest.json";

std::string to_text(const Manifest& manifest);

// Reads text and checks everything that can be checked without the other files: its own hash, version, names,
// bounds, that fragments do not overlap in a file and cover each tensor exactly once. Throws Error(model);
// `where` is the file.
Manifest parse_manifest(std::string_view text, const std::string& where);

// The manifest of the checkpoint in `folder`, with the presence, kind and size of every listed file checked
// as well. Throws Error(model), also when there is none.
Manifest read_manifest(FileSystem& files, const std::string& folder);

// Throws Error(model) unless `manifest` holds together (the checks of parse_manifest): before it is written,
// too.
void check_manifest(const Manifest& manifest, const std::string& where);

// [A-Za-z0-9._-]+, not beginning with a dot, at most 200 bytes.
bool is_plain_name(std::string_view name);

}  // namespace strata
