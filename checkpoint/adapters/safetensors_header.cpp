// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/safetensors_header.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "checkpoint/adapters/safetensors_json.h"
#include "core/base/error.h"

namespace strata {
namespace {

struct Row {
  ElementType type;
  std::string_view dtype;
};

constexpr Row kRows[] = {
    {ElementType::f64, "F64"},         {ElementType::f32, "F32"},         {ElementType::f16, "F16"},
    {ElementType::bf16, "BF16"},       {ElementType::f8_e4m3, "F8_E4M3"}, {ElementType::f8_e5m2, "F8_E5M2"},
    {ElementType::f8_e8m0, "F8_E8M0"}, {ElementType::i64, "I64"},         {ElementType::i32, "I32"},
    {ElementType::i16, "I16"},         {ElementType::i8, "I8"},           {ElementType::u64, "U64"},
    {ElementType::u32, "U32"},         {ElementType::u16, "U16"},         {ElementType::u8, "U8"},
    {ElementType::boolean, "BOOL"},
};

static_assert(std::endian::native == std::endian::little, "lengths and elements are read as they lie");

}  // namespace

std::string_view safetensors_dtype(ElementType type) {
  return std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& row) { return row.type == type; })
      ->dtype;
}

std::optional<ElementType> safetensors_type(std::string_view dtype) {
  for (const Row& row : kRows)
    if (row.dtype == dtype) return row.type;
  return std::nullopt;
}

SafetensorsHeader read_safetensors_header(File& file) {
  const auto refuse = [&](std::string found, std::string expected) {
    throw Error(Fault::model, {.what = "this is no whole safetensors file",
                               .where = file.path(),
                               .found = std::move(found),
                               .expected = std::move(expected),
                               .fix = "fetch or write the file again"});
  };
  const int64_t bytes = file.size();
  if (bytes < 8) refuse(fmt::format("{} bytes", bytes), "8 bytes of length, then a header");
  uint64_t length = 0;
  file.read(0, std::as_writable_bytes(std::span(&length, 1)));
  if (length > static_cast<uint64_t>(kSafetensorsHeaderBytes))
    refuse(fmt::format("a header of {} bytes", length), fmt::format("at most {}", kSafetensorsHeaderBytes));
  if (length > static_cast<uint64_t>(bytes - 8))
    refuse(fmt::format("a file of {} bytes", bytes),
           fmt::format("at least {}: 8 and the header", length + 8));
  SafetensorsHeader header = parse_safetensors_json(file, 8, static_cast<int64_t>(length));
  header.data_offset = 8 + static_cast<int64_t>(length);

  std::sort(header.entries.begin(), header.entries.end(),
            [](const auto& a, const auto& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  int64_t at = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    const TensorSpec logical{.name = entry.name, .type = entry.type, .shape = entry.shape};
    check_logical(logical, file.path());
    if (entry.begin != at)
      refuse(fmt::format("tensor '{}' begins at byte {}", entry.name, entry.begin),
             fmt::format("{}, where the tensor before it ends", at));
    if (entry.end < entry.begin || entry.end - entry.begin != logical.bytes())
      refuse(fmt::format("tensor '{}' lies in bytes {} to {}", entry.name, entry.begin, entry.end),
             fmt::format("{} bytes: {} {}", logical.bytes(), name(entry.type), entry.shape));
    at = entry.end;
  }
  if (at != bytes - header.data_offset)
    refuse(fmt::format("{} bytes behind the header", bytes - header.data_offset),
           fmt::format("{}, where the last tensor ends", at));

  std::vector<const std::string*> names;
  for (const SafetensorsEntry& entry : header.entries) names.push_back(&entry.name);
  std::sort(names.begin(), names.end(), [](const auto* a, const auto* b) { return *a < *b; });
  const auto twice =
      std::adjacent_find(names.begin(), names.end(), [](const auto* a, const auto* b) { return *a == *b; });
  if (twice != names.end()) refuse(fmt::format("tensor '{}' twice", **twice), "each once");
  return header;
}

std::string make_safetensors_header(std::vector<SafetensorsEntry>& entries,
                                    const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!metadata.empty()) json["__metadata__"] = metadata;
  int64_t at = 0;
  for (SafetensorsEntry& entry : entries) {
    entry.begin = at;
    entry.end = at += entry.shape.numel() * size_of(entry.type);
    json[entry.name] = {{"dtype", safetensors_dtype(entry.type)},
                        {"shape", std::vector<int64_t>(entry.shape.begin(), entry.shape.end())},
                        {"data_offsets", {entry.begin, entry.end}}};
  }
  std::string text = json.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + text;
}

}  // namespace strata
