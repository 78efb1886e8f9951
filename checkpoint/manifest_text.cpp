// SPDX-License-Identifier: Apache-2.0
// manifest.json as text, both ways.
#include <charconv>

#include "checkpoint/hex.h"
#include "checkpoint/manifest.h"
#include "checkpoint/sha256.h"
#include "checkpoint/shape_json.h"
#include "checkpoint/strict_json.h"
#include "core/base/error.h"

namespace strata {
namespace {

using nlohmann::json;

// The text begins and ends with these words, so that version and hash are found before anything is parsed.
constexpr std::string_view kHead = R"({"strata_checkpoint":[)";
constexpr std::string_view kHash = R"("sha256":")";
constexpr std::string_view kTail = "\"}\n";
constexpr size_t kHashDigits = 64;

constexpr std::string_view kKinds[] = {"shard", "view", "asset"};

json row_of(const ManifestFile& file) {
  json row{{"kind", kKinds[static_cast<size_t>(file.kind)]}, {"name", file.name}, {"bytes", file.bytes}};
  if (file.kind == ManifestFile::Kind::asset)
    row["sha256"] = file.sha256;
  else
    row["crc32c"] = hex32(file.crc);
  return row;
}

json row_of(const ManifestTensor& tensor) {
  json fragments = json::array();
  for (const ManifestFragment& fragment : tensor.fragments) {
    std::string crcs;
    for (const uint32_t crc : fragment.crcs) crcs += hex32(crc);
    fragments.push_back({fragment.file, fragment.offset, shape_list(fragment.rect.begin),
                         shape_list(fragment.rect.extent), crcs});
  }
  json row{{"name", tensor.logical.name},        {"state", tensor.logical.state},
           {"dtype", name(tensor.logical.type)}, {"shape", shape_list(tensor.logical.shape)},
           {"digest", to_string(tensor.digest)}, {"fragments", std::move(fragments)}};
  if (!tensor.logical.role.empty()) row["role"] = tensor.logical.role;
  return row;
}

class TextReader {
 public:
  TextReader(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  Manifest run() {
    Manifest manifest;
    manifest.version = version();
    check_hash();
    const json root = parse_strict_json(text_, where_, {.depth = 40, .values = 4096 + std::ssize(text_) / 2});
    const bool newer = manifest.version.minor > kManifestVersion.minor;
    only(root, newer,
         {"strata_checkpoint", "writer", "id", "step", "block_bytes", "meta", "files", "tensors", "sha256"});
    manifest.writer = text_of(root, "writer");
    manifest.id = text_of(root, "id");
    if (manifest.id.size() != 32) damaged("an id that is none");
    manifest.step = count_of(root, "step");
    manifest.block_bytes = count_of(root, "block_bytes");
    if (manifest.block_bytes == 0) damaged("blocks of no bytes");
    manifest.meta = member(root, "meta");
    for (const json& row : rows(root, "files")) manifest.files.push_back(file(row, newer));
    for (const json& row : rows(root, "tensors")) manifest.tensors.push_back(tensor(row, newer));
    return manifest;
  }

 private:
  [[noreturn]] void damaged(const std::string& found) const {
    throw Error(Fault::model, {.what = "the checkpoint's manifest is damaged",
                               .where = where_,
                               .found = found,
                               .fix = "use another checkpoint of the run"});
  }

  ManifestVersion version() const {
    ManifestVersion version{-1, -1};
    const char* const end = text_.data() + text_.size();
    if (!text_.starts_with(kHead)) damaged("other first words than a manifest has");
    const auto major = std::from_chars(text_.data() + kHead.size(), end, version.major);
    if (major.ec != std::errc() || major.ptr == end || *major.ptr != ',') damaged("no version");
    const auto minor = std::from_chars(major.ptr + 1, end, version.minor);
    if (minor.ec != std::errc() || minor.ptr == end || *minor.ptr != ']' || version.major < 0 ||
        version.minor < 0)
      damaged("no version");
    if (version.major != kManifestVersion.major)
      throw Error(Fault::model,
                  {.what = "the checkpoint has another format than this program reads",
                   .where = where_,
                   .found = fmt::format("format {}.{}", version.major, version.minor),
                   .expected = fmt::format("format {}", kManifestVersion.major),
                   .fix = version.major > kManifestVersion.major ? "use a newer version of Strata" : ""});
    return version;
  }

  void check_hash() const {
    const size_t tail = kHash.size() + kHashDigits + kTail.size();
    if (text_.size() < tail || !text_.ends_with(kTail) ||
        text_.substr(text_.size() - tail, kHash.size()) != kHash)
      damaged("no hash at its end: it may be cut short");
    const size_t hashed = text_.size() - kHashDigits - kTail.size();
    const std::string hash = sha256_hex(text_.substr(0, hashed));
    if (hash != text_.substr(hashed, kHashDigits)) damaged("another hash than was written");
  }

  const json& member(const json& object, const char* key) const {
    if (!object.is_object() || !object.contains(key)) damaged(fmt::format("no '{}'", key));
    return object.at(key);
  }
  const json& rows(const json& object, const char* key) const {
    const json& list = member(object, key);
    if (!list.is_array()) damaged(fmt::format("'{}' that is no list", key));
    return list;
  }
  void only(const json& object, bool newer, std::initializer_list<std::string_view> keys) const {
    if (!object.is_object()) damaged("no object where one belongs");
    for (const auto& [key, value] : object.items())
      if (!newer && std::find(keys.begin(), keys.end(), key) == keys.end())
        damaged(fmt::format("an unknown key '{}'", key.substr(0, 80)));
  }
  std::string text_of(const json& object, const char* key) const {
    const json& value = member(object, key);
    if (!value.is_string()) damaged(fmt::format("'{}' that is no text", key));
    return value.get<std::string>();
  }
  int64_t count(const json& value, const char* key) const {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
      damaged(fmt::format("'{}' that is no count", key));
    return static_cast<int64_t>(value.get<uint64_t>());
  }
  int64_t count_of(const json& object, const char* key) const { return count(member(object, key), key); }
  Shape shape(const json& value, const char* key) const {
    if (!value.is_array() || value.size() > Shape::kMaxRank)
      damaged(fmt::format("'{}' that is no shape", key));
    Shape shape;
    for (const json& extent : value) shape.append(count(extent, key));
    return shape;
  }
  uint32_t crc(std::string_view digits) const {
    const auto value = hex_value(digits);
    if (digits.size() != 8 || !value) damaged("a checksum that is none");
    return static_cast<uint32_t>(*value);
  }

  ManifestFile file(const json& row, bool newer) const {
    only(row, newer, {"kind", "name", "bytes", "crc32c", "sha256"});
    ManifestFile file{.name = text_of(row, "name"), .bytes = count_of(row, "bytes")};
    const std::string kind = text_of(row, "kind");
    const auto known = std::find(std::begin(kKinds), std::end(kKinds), kind);
    if (known == std::end(kKinds)) damaged(fmt::format("a file of unknown kind '{}'", kind.substr(0, 80)));
    file.kind = static_cast<ManifestFile::Kind>(known - std::begin(kKinds));
    if (file.kind == ManifestFile::Kind::asset) {
      file.sha256 = text_of(row, "sha256");
      if (file.sha256.size() != kHashDigits) damaged("a hash that is none");
    } else {
      file.crc = crc(text_of(row, "crc32c"));
    }
    return file;
  }

  ManifestTensor tensor(const json& row, bool newer) const {
    only(row, newer, {"name", "state", "dtype", "shape", "digest", "fragments", "role"});
    ManifestTensor tensor;
    tensor.logical.name = text_of(row, "name");
    tensor.logical.state = text_of(row, "state");
    if (row.contains("role")) tensor.logical.role = text_of(row, "role");
    const auto type = element_type_named(text_of(row, "dtype"));
    if (!type)
      damaged(fmt::format("tensor '{}' of unknown type '{}'", tensor.logical.name.substr(0, 80),
                          text_of(row, "dtype").substr(0, 80)));
    tensor.logical.type = *type;
    tensor.logical.shape = shape(member(row, "shape"), "shape");
    const auto digest = digest_from(text_of(row, "digest"));
    if (!digest) damaged("a digest that is none");
    tensor.digest = *digest;
    for (const json& fields : rows(row, "fragments")) {
      if (!fields.is_array() || fields.size() != 5 || !fields[4].is_string())
        damaged("a fragment that is none");
      ManifestFragment& fragment = tensor.fragments.emplace_back();
      fragment.file = static_cast<size_t>(count(fields[0], "fragments"));
      fragment.offset = count(fields[1], "fragments");
      fragment.rect = {shape(fields[2], "fragments"), shape(fields[3], "fragments")};
      const std::string_view crcs = fields[4].get_ref<const std::string&>();
      if (crcs.size() % 8 != 0) damaged("checksums that are none");
      for (size_t i = 0; i < crcs.size(); i += 8) fragment.crcs.push_back(crc(crcs.substr(i, 8)));
    }
    return tensor;
  }

  std::string_view text_;
  const std::string& where_;
};

}  // namespace

std::string to_text(const Manifest& manifest) {
  std::string text =
      fmt::format("{}{},{}],\n\"writer\":{},\n\"id\":{},\n\"step\":{},\n\"block_bytes\":{},\n\"meta\":{},\n",
                  kHead, manifest.version.major, manifest.version.minor, json(manifest.writer).dump(),
                  json(manifest.id).dump(), manifest.step, manifest.block_bytes, manifest.meta.dump());
  const auto append = [&](const char* key, const auto& rows) {
    text += fmt::format("\"{}\":[", key);
    for (size_t i = 0; i < rows.size(); ++i) text += (i ? ",\n" : "\n") + row_of(rows[i]).dump();
    text += "],\n";
  };
  append("files", manifest.files);
  append("tensors", manifest.tensors);
  text += kHash;
  text += sha256_hex(text);
  return text.append(kTail);
}

Manifest parse_manifest(std::string_view text, const std::string& where) {
  Manifest manifest = TextReader(text, where).run();
  check_manifest(manifest, where);
  return manifest;
}

}  // namespace strata
