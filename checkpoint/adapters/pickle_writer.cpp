// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/pickle_writer.h"

#include <bit>

namespace strata {

PickleWriter::PickleWriter() : bytes_("\x80\x02") {}

void PickleWriter::number(uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) op(static_cast<char>(value >> (8 * i) & 0xff));
}

PickleWriter& PickleWriter::integer(int64_t value) {
  if (value >= 0 && value < 256) {
    op('K').number(static_cast<uint64_t>(value), 1);
  } else if (value >= 0 && value < 65536) {
    op('M').number(static_cast<uint64_t>(value), 2);
  } else if (value >= INT32_MIN && value <= INT32_MAX) {
    op('J').number(static_cast<uint64_t>(value), 4);
  } else {
    op('\x8a').number(8, 1);
    number(static_cast<uint64_t>(value), 8);
  }
  return *this;
}

PickleWriter& PickleWriter::real(double value) {
  const auto bits = std::bit_cast<uint64_t>(value);
  op('G');
  for (int i = 7; i >= 0; --i) number(bits >> (8 * i), 1);
  return *this;
}

PickleWriter& PickleWriter::text(std::string_view value) {
  std::string key = "text ";
  key += value;
  if (recall(key)) return *this;
  op('X').number(value.size(), 4);
  bytes_ += value;
  return remember(key);
}

PickleWriter& PickleWriter::global(std::string_view module, std::string_view name) {
  std::string line(module);
  ((line += '\n') += name) += '\n';
  const std::string key = "global " + line;
  if (recall(key)) return *this;
  op('c');
  bytes_ += line;
  return remember(key);
}

bool PickleWriter::recall(const std::string& key) {
  const auto known = memo_.find(key);
  if (known == memo_.end()) return false;
  if (known->second < 256)
    op('h').number(known->second, 1);
  else
    op('j').number(known->second, 4);
  return true;
}

PickleWriter& PickleWriter::remember(const std::string& key) {
  const auto slot = static_cast<uint32_t>(memo_.size());
  memo_.emplace(key, slot);
  if (slot < 256)
    op('q').number(slot, 1);
  else
    op('r').number(slot, 4);
  return *this;
}

std::string PickleWriter::finish() {
  op('.');
  memo_.clear();
  return std::move(bytes_);
}

}  // namespace strata
