// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/torch_archive_writer.h"

#include <algorithm>

#include "checkpoint/adapters/crc32.h"
#include "checkpoint/adapters/torch_types.h"

namespace strata {
namespace {

constexpr int64_t kAlignment = 64;  // of contents, as PyTorch has it since 1.6
constexpr int64_t kIn64 = 0xffffffff;
constexpr uint16_t kDate = 0x21;  // 1 January 1980: the same input gives the same file

void put(std::string& into, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) into += static_cast<char>(value >> (8 * i) & 0xff);
}

// What both headers of an entry begin with, from "version needed" on.
void put_common(std::string& into, uint32_t crc, int64_t bytes, size_t name, size_t extra) {
  const bool large = bytes >= kIn64;
  put(into, large ? 45 : 20, 2);
  put(into, 0, 2);  // no flags
  put(into, 0, 2);  // stored
  put(into, 0, 2);  // midnight
  put(into, kDate, 2);
  put(into, crc, 4);
  put(into, static_cast<uint64_t>(large ? kIn64 : bytes), 4);
  put(into, static_cast<uint64_t>(large ? kIn64 : bytes), 4);
  put(into, name, 2);
  put(into, extra, 2);
}

// The 64-bit sizes of an entry that needs them.
std::string large_sizes(int64_t bytes) {
  std::string extra;
  if (bytes < kIn64) return extra;
  put(extra, 1, 2);
  put(extra, 16, 2);
  put(extra, static_cast<uint64_t>(bytes), 8);
  put(extra, static_cast<uint64_t>(bytes), 8);
  return extra;
}

// The header of an entry at `offset`, padded so that its content is aligned.
std::string local_header(const std::string& name, int64_t offset, int64_t bytes, uint32_t crc) {
  constexpr int64_t kFixed = 30, kPadHeader = 4;
  std::string extra = large_sizes(bytes);
  const int64_t end = offset + kFixed + std::ssize(name) + std::ssize(extra) + kPadHeader;
  const int64_t padding = (kAlignment - end % kAlignment) % kAlignment;
  extra += "FB";
  put(extra, static_cast<uint64_t>(padding), 2);
  extra.append(static_cast<size_t>(padding), 'Z');
  std::string header = "PK\x03\x04";
  put_common(header, crc, bytes, name.size(), extra.size());
  return header + name + extra;
}

std::string tensor_pickle(ElementType type, const Shape& shape) {
  PickleWriter pickle;
  write_torch_tensor(pickle, type, shape);
  return pickle.finish();
}

}  // namespace

PickleWriter& write_torch_size(PickleWriter& pickle, const Shape& shape) {
  const std::string key = fmt::format("size {}", shape);
  if (pickle.recall(key)) return pickle;
  pickle.global("torch", "Size").mark();
  for (const int64_t extent : shape) pickle.integer(extent);
  return pickle.tuple().tuple1().call().remember(key);
}

PickleWriter& write_torch_tensor(PickleWriter& pickle, ElementType type, const Shape& shape) {
  const TorchType& names = torch_type(type);
  const bool plain = names.storage.empty();  // bytes: the type is an argument of its own
  const auto last_part = [](std::string_view name) { return name.substr(name.rfind('.') + 1); };
  pickle.global("torch._utils", plain ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2").mark();
  pickle.mark().text("storage");
  if (plain)
    pickle.global("torch.storage", "UntypedStorage");
  else
    pickle.global("torch", last_part(names.storage));
  pickle.text("0").text("cpu").integer(shape.numel() * (plain ? size_of(type) : 1)).tuple().persistent_id();
  pickle.integer(0).mark();
  for (const int64_t extent : shape) pickle.integer(extent);
  pickle.tuple().mark();
  for (int d = 0; d < shape.rank(); ++d) {
    int64_t stride = 1;  // torch counts an empty dim as one
    for (int inner = d + 1; inner < shape.rank(); ++inner) stride *= std::max<int64_t>(shape[inner], 1);
    pickle.integer(stride);
  }
  pickle.tuple().boolean(false).global("collections", "OrderedDict").empty_tuple().call();
  if (plain) pickle.global("torch", last_part(names.dtype));
  return pickle.tuple().call();
}

TorchArchiveLayout::TorchArchiveLayout(ElementType type, const Shape& shape)
    : TorchArchiveLayout(tensor_pickle(type, shape), shape.numel() * size_of(type)) {}

TorchArchiveLayout::TorchArchiveLayout(const std::string& pickle, int64_t data_bytes)
    : data_bytes_(data_bytes) {
  for (const auto& [name, content] : {std::pair<std::string, std::string>("archive/data.pkl", pickle),
                                      {"archive/byteorder", "little"},
                                      {"archive/version", "3\n"}}) {
    Entry entry{.name = name,
                .offset = std::ssize(before_),
                .bytes = std::ssize(content),
                .crc = crc32(std::as_bytes(std::span(content)))};
    before_ += local_header(name, entry.offset, entry.bytes, entry.crc) + content;
    entries_.push_back(std::move(entry));
  }
  entries_.push_back({.name = "archive/data/0", .offset = std::ssize(before_), .bytes = data_bytes});
  data_offset_ = std::ssize(head(0));
  tail_bytes_ = std::ssize(tail(0));
}

std::string TorchArchiveLayout::head(uint32_t data_crc) const {
  const Entry& data = entries_.back();
  return before_ + local_header(data.name, data.offset, data.bytes, data_crc);
}

std::string TorchArchiveLayout::central(uint32_t data_crc) const {
  std::string directory;
  for (const Entry& entry : entries_) {
    const bool last = &entry == &entries_.back();
    const std::string extra = large_sizes(entry.bytes);
    directory += "PK\x01\x02";
    put(directory, extra.empty() ? 20 : 45, 2);
    put_common(directory, last ? data_crc : entry.crc, entry.bytes, entry.name.size(), extra.size());
    put(directory, 0, 8);
    put(directory, 0, 2);                                    // no comment, one disk, no attributes
    put(directory, static_cast<uint64_t>(entry.offset), 4);  // what lies before the elements is small
    directory += entry.name + extra;
  }
  return directory;
}

std::string TorchArchiveLayout::tail(uint32_t data_crc) const {
  std::string tail = central(data_crc);
  const int64_t at = data_offset_ + data_bytes_, bytes = std::ssize(tail);
  const size_t count = entries_.size();
  if (at >= kIn64) {
    const int64_t end64 = at + bytes;
    tail += "PK\x06\x06";
    put(tail, 44, 8);
    put(tail, 45, 2);
    put(tail, 45, 2);
    put(tail, 0, 8);  // one disk
    put(tail, count, 8);
    put(tail, count, 8);
    put(tail, static_cast<uint64_t>(bytes), 8);
    put(tail, static_cast<uint64_t>(at), 8);
    tail += "PK\x06\x07";
    put(tail, 0, 4);
    put(tail, static_cast<uint64_t>(end64), 8);
    put(tail, 1, 4);
  }
  tail += "PK\x05\x06";
  put(tail, 0, 4);
  put(tail, count, 2);
  put(tail, count, 2);
  put(tail, static_cast<uint64_t>(bytes), 4);
  put(tail, static_cast<uint64_t>(std::min(at, kIn64)), 4);
  put(tail, 0, 2);
  return tail;
}

std::string make_torch_archive(const std::string& pickle, std::span<const std::byte> data) {
  const TorchArchiveLayout layout(pickle, std::ssize(data));
  const uint32_t crc = crc32(data);
  std::string archive = layout.head(crc);
  archive.append(reinterpret_cast<const char*>(data.data()), data.size());
  return archive += layout.tail(crc);
}

std::string make_torch_number(float value) {
  return make_torch_archive(tensor_pickle(ElementType::f32, {}), std::as_bytes(std::span(&value, 1)));
}

}  // namespace strata
