// SPDX-License-Identifier: Apache-2.0
// An archive as torch.save writes it: a pickle, and the elements of at most one tensor. Everything around the
// elements is made here, so that they can be written in pieces, and in any order. Format: PKWARE
// APPNOTE 6.3.10 (entries stored, 64-bit extension where needed) and torch/serialization.py.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/adapters/pickle_writer.h"
#include "checkpoint/element_type.h"
#include "core/tensor/shape.h"

namespace strata {

// The pickled tensor whose elements are the archive's.
PickleWriter& write_torch_tensor(PickleWriter& pickle, ElementType type, const Shape& shape);
// torch.Size, which equal ones share.
PickleWriter& write_torch_size(PickleWriter& pickle, const Shape& shape);

// Where things lie, offsets counted from the archive's first byte.
class TorchArchiveLayout {
 public:
  TorchArchiveLayout(const std::string& pickle, int64_t data_bytes);
  // A tensor and nothing else.
  TorchArchiveLayout(ElementType type, const Shape& shape);

  int64_t data_offset() const { return data_offset_; }  // a multiple of 64
  int64_t bytes() const { return data_offset_ + data_bytes_ + tail_bytes_; }
  // What goes before and behind the elements, whose CRC-32 is `data_crc`. Sizes do not depend on it.
  std::string head(uint32_t data_crc) const;
  std::string tail(uint32_t data_crc) const;

 private:
  struct Entry {
    std::string name;
    int64_t offset = 0, bytes = 0;
    uint32_t crc = 0;
  };
  std::string central(uint32_t data_crc) const;

  std::vector<Entry> entries_;  // the last is the elements'
  std::string before_;          // all entries but the last
  int64_t data_bytes_ = 0, data_offset_ = 0, tail_bytes_ = 0;
};

// A small archive, whole.
std::string make_torch_archive(const std::string& pickle, std::span<const std::byte> data = {});
// Of an f32 tensor without dims.
std::string make_torch_number(float value);

}  // namespace strata
