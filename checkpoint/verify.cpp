// SPDX-License-Identifier: Apache-2.0
// Every byte of a checkpoint against what its manifest says.
#include <functional>

#include "checkpoint/runs.h"
#include "checkpoint/sha256.h"
#include "checkpoint/shard_writer.h"
#include "checkpoint/strata_source.h"
#include "core/base/error.h"
#include "core/io/page_memory.h"

namespace strata {
namespace {

constexpr int64_t kPiece = int64_t{16} << 20;  // read at a time

}  // namespace

std::vector<std::string> StrataSource::verify(const std::function<void(int64_t bytes)>& progress) const {
  std::vector<std::string> faults;
  const auto attempt = [&](const auto& body) {
    try {
      body();
    } catch (const Error& error) {
      const Report& report = error.report();
      faults.push_back(fmt::format("{}: {}{}{}", report.where, report.what, report.found.empty() ? "" : ": ",
                                   report.found));
    }
  };
  std::vector<std::vector<std::pair<int64_t, int64_t>>> ranges(manifest_.files.size());
  for (size_t t = 0; t < tensors_.size(); ++t) {
    const TensorSpec& logical = tensors_[t];
    const int64_t size = size_of(logical.type);
    const size_t before = faults.size();
    Digest digest;
    for (const ManifestFragment& fragment : manifest_.tensors[t].fragments)
      ranges[fragment.file].emplace_back(fragment.offset, fragment.rect.numel() * size);
    for (const Rect& piece : pieces(t, kPiece))
      attempt([&] {
        const PageMemory memory = page_memory(piece.numel() * size);
        read(t, piece, row_major(memory.get(), piece.extent, size));
        digest += digest_of(logical.shape, piece, size, memory.get());
        if (progress) progress(piece.numel() * size);
      });
    if (faults.size() == before && digest != manifest_.tensors[t].digest)
      faults.push_back(fmt::format("{}: tensor '{}' ({}) has another digest than was written: {}", folder_,
                                   logical.name, logical.state, to_string(digest)));
  }
  for (size_t f = 0; f < manifest_.files.size(); ++f) {
    const ManifestFile& file = manifest_.files[f];
    if (file.kind == ManifestFile::Kind::asset) continue;
    attempt([&] {
      const auto opened = files_.open(folder_ + "/" + file.name, OpenMode::read_plain);
      const uint32_t crc = crc_of_gaps(*opened, file.bytes, ranges[f]);
      if (crc == file.crc) return;
      throw Error(Fault::model, {.what = file.kind == ManifestFile::Kind::view
                                             ? "the view is damaged; no tensor is"
                                             : "HDF5's own part of the shard is damaged; no tensor is",
                                 .where = opened->path(),
                                 .found = fmt::format("checksum {:08x} instead of {:08x}", crc, file.crc)});
    });
  }
  attempt([&] { assets(); });
  return faults;
}

}  // namespace strata
