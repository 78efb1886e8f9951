// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/save_report.h"

#include <map>

#include "checkpoint/shape_json.h"
#include "core/base/error.h"

namespace strata {
namespace {

using nlohmann::json;

std::string packed(const json& value) {
  std::string bytes;
  json::to_cbor(value, bytes);
  return bytes;
}

// Runs `body` on the unpacked value; bytes that are not what they should be are an Error.
template <typename Body>
auto unpacked(std::string_view bytes, Body body) {
  try {
    return body(json::from_cbor(bytes));
  } catch (const json::exception& e) {
    throw Error(Fault::communication,
                {.what = "a rank's report of a save cannot be read", .found = e.what()});
  }
}

}  // namespace

std::string pack_report(const SaveReport& report) {
  json written = json::array(), replicas = json::array();
  for (const auto& [tensor, rectangle, rect, fragment] : report.written)
    written.push_back({tensor, rectangle, shape_list(rect.begin), shape_list(rect.extent), fragment.offset,
                       fragment.crcs, fragment.digest.low, fragment.digest.high});
  for (const auto& [rectangle, digest] : report.replicas)
    replicas.push_back({rectangle, digest.low, digest.high});
  return packed({report.file_bytes, report.gaps_crc, std::move(written), std::move(replicas)});
}

SaveReport unpack_report(std::string_view bytes) {
  return unpacked(bytes, [](const json& value) {
    SaveReport report{.file_bytes = value.at(0), .gaps_crc = value.at(1)};
    for (const json& row : value.at(2))
      report.written.push_back({row.at(0),
                                row.at(1),
                                {shape_of(row.at(2)), shape_of(row.at(3))},
                                {.offset = row.at(4),
                                 .crcs = row.at(5).get<std::vector<uint32_t>>(),
                                 .digest = {.low = row.at(6), .high = row.at(7)}}});
    for (const json& row : value.at(3))
      report.replicas.push_back({row.at(0), {.low = row.at(1), .high = row.at(2)}});
    return report;
  });
}

std::string pack_shares(std::span<const SavePlan::Share> shares) {
  json all = json::array();
  for (const auto& [writes, tensors, rectangles] : shares) {
    all.push_back({std::vector<int>(writes.begin(), writes.end()), tensors, rectangles});
  }
  return packed(all);
}

SavePlan::Share unpack_share(std::string_view bytes, size_t rank) {
  return unpacked(bytes, [&](const json& all) {
    const json& own = all.at(rank);
    SavePlan::Share share{.tensors = own.at(1).get<std::vector<uint32_t>>(),
                          .rectangle = own.at(2).get<std::vector<uint32_t>>()};
    for (const json& writes : own.at(0)) share.writes.push_back(static_cast<char>(writes.get<int>()));
    return share;
  });
}

void merge_reports(std::span<const std::string> reports, std::span<const TensorSpec> tensors,
                   Manifest& manifest) {
  struct Source {
    size_t rank;
    uint32_t tensor;
    Digest digest;
  };
  std::map<uint32_t, Source> written;
  std::vector<SaveReport> all;
  for (const TensorSpec& tensor : tensors) manifest.tensors.push_back({.logical = tensor});
  for (size_t rank = 0; rank < reports.size(); ++rank) {
    SaveReport& report = all.emplace_back(unpack_report(reports[rank]));
    if (report.file_bytes == 0) continue;
    const size_t file = manifest.files.size();
    manifest.files.push_back({.kind = ManifestFile::Kind::shard,
                              .name = fmt::format("shard-{:05}.h5", rank),
                              .bytes = report.file_bytes,
                              .crc = report.gaps_crc});
    for (auto& [tensor, rectangle, rect, fragment] : report.written) {
      written[rectangle] = {rank, tensor, fragment.digest};
      manifest.tensors.at(tensor).digest += fragment.digest;
      manifest.tensors[tensor].fragments.push_back({file, fragment.offset, rect, std::move(fragment.crcs)});
    }
  }
  for (size_t rank = 0; rank < all.size(); ++rank)
    for (const auto& [rectangle, digest] : all[rank].replicas) {
      const Source& source = written.at(rectangle);
      if (digest == source.digest) continue;
      const TensorSpec& tensor = tensors[source.tensor];
      throw Error(Fault::numeric,
                  {.what = fmt::format("ranks that should hold the same bits of '{}' ({}) do not",
                                       tensor.name, tensor.state),
                   .where = fmt::format("ranks {} and {}", source.rank, rank),
                   .found = fmt::format("digests {} and {}", to_string(source.digest), to_string(digest)),
                   .expected = "equal digests of replicas",
                   .fix = "suspect the memory or processor of one of them; go on from the last checkpoint"});
    }
}

}  // namespace strata
