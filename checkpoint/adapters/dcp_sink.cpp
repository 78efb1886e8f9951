// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/dcp_sink.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "checkpoint/adapters/crc32.h"
#include "checkpoint/adapters/dcp_metadata_writer.h"
#include "checkpoint/adapters/torch_state.h"
#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {

std::vector<std::string> dcp_path(const TensorSpec& tensor) {
  if (tensor.state == "param") return {"model", tensor.name};
  return {"optim", "state", tensor.name, torch_state(tensor.state)};
}

DcpSink::DcpSink(FileSystem& files, std::string path, const Options& options)
    : FolderSink(files, std::move(path),
                 {options.piece_bytes, options.sync_bytes, options.keep_partial, options.identity}),
      options_(options) {}

void DcpSink::plan_values(const nlohmann::json& metadata) {
  for (const auto& [key, archive] : options_.objects) values_.push_back({{key}, false, archive, {}});
  const auto step = metadata.find("step");
  if (options_.plain_keys || step == metadata.end() || !step->is_number_integer()) return;
  PickleWriter number;
  values_.push_back({{"step"}, false, make_torch_archive(number.integer(step->get<int64_t>()).finish()), {}});
  // torch.optim keeps it for every parameter, as a float.
  const std::string scalar = make_torch_number(step->get<float>());
  std::set<std::string> with_moments;
  for (const TensorSpec& tensor : declared())
    if (tensor.state != "param") with_moments.insert(tensor.name);
  for (const std::string& name : with_moments)
    values_.push_back({{"optim", "state", name, "step"}, true, scalar, {}});
}

void DcpSink::declare(std::vector<TensorSpec> tensors, const nlohmann::json& metadata,
                      std::vector<Asset> assets) {
  take(std::move(tensors), std::move(assets));
  int64_t end = 0;
  std::vector<int64_t> ends{0};
  const auto place = [&](int64_t bytes) {
    if (end > 0 && end + bytes > options_.file_bytes) {
      ends.push_back(0);
      end = 0;
    }
    const Place there{.file = ends.size() - 1, .offset = end};
    end += bytes + (64 - bytes % 64) % 64;  // contents are aligned in the file, too
    ends.back() = there.offset + bytes;
    return there;
  };
  for (size_t t = 0; t < declared().size(); ++t) {
    places_.emplace_back();
    for (const Rect& piece : pieces(t))
      places_.back().push_back(place(TorchArchiveLayout(declared()[t].type, piece.extent).bytes()));
  }
  plan_values(metadata);
  for (Value& value : values_) value.place = place(std::ssize(value.archive));

  const bool resumed = open(fmt::format("dcp {} {}", values_.size(), options_.file_bytes));
  for (size_t f = 0; f < ends.size(); ++f) {
    names_.push_back(fmt::format("__0_{}.distcp", f));
    const std::string name = folder_.path() + "/" + names_.back();
    auto file = resumed ? files_.open_if_exists(name, OpenMode::update) : nullptr;
    if (!file) file = files_.open(name, OpenMode::create);
    file->preallocate(ends[f]);
    opened_.push_back(std::move(file));
  }
}

void DcpSink::store(size_t tensor, size_t number, const Rect& piece, std::span<const std::byte> bytes) {
  const TorchArchiveLayout layout(declared()[tensor].type, piece.extent);
  const uint32_t crc = crc32(bytes);
  const std::string head = layout.head(crc), tail = layout.tail(crc);
  const Place& place = places_[tensor][number];
  File& file = *opened_[place.file];
  file.write(place.offset, std::as_bytes(std::span(head)));
  file.write(place.offset + layout.data_offset(), bytes);
  file.write(place.offset + layout.data_offset() + std::ssize(bytes), std::as_bytes(std::span(tail)));
}

void DcpSink::sync() {
  for (const auto& file : opened_) file->sync();
}

void DcpSink::complete() {
  for (const Value& value : values_)
    opened_[value.place.file]->write(value.place.offset, std::as_bytes(std::span(value.archive)));
  sync();
  opened_.clear();
  folder_.write(std::string(kDcpMetadataName), make_metadata());
}

std::string DcpSink::make_metadata() const {
  std::vector<DcpEntry> entries;
  for (size_t t = 0; t < declared().size(); ++t) {
    const TensorSpec& tensor = declared()[t];
    DcpEntry entry{.path = options_.plain_keys ? std::vector{tensor.name} : dcp_path(tensor),
                   .type = tensor.type,
                   .shape = tensor.shape,
                   .chunks = {}};
    const std::vector<Rect> all = pieces(t);
    for (size_t p = 0; p < all.size(); ++p)
      entry.chunks.push_back({all[p],
                              {.file = places_[t][p].file,
                               .offset = places_[t][p].offset,
                               .bytes = TorchArchiveLayout(tensor.type, all[p].extent).bytes()}});
    entries.push_back(std::move(entry));
  }
  for (const Value& value : values_)
    entries.push_back({.path = value.path,
                       .tensor = value.tensor,
                       .type = ElementType::f32,
                       .shape = {},
                       .chunks = {{Rect::whole({}),
                                   {.file = value.place.file,
                                    .offset = value.place.offset,
                                    .bytes = std::ssize(value.archive)}}}});
  return make_dcp_metadata(entries, names_);
}

}  // namespace strata
