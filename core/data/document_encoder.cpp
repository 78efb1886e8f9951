// SPDX-License-Identifier: Apache-2.0
#include "core/data/document_encoder.h"

#include <algorithm>

namespace strata {
namespace {

constexpr size_t kUnitBytes = 256 << 10;        // long documents are cut at about this size
constexpr size_t kTaskBytes = 32 << 10;         // short ones share a task up to this size
constexpr size_t kBatchBytesAThread = 1 << 20;  // enough tasks that threads end at about the same time

}  // namespace

DocumentEncoder::DocumentEncoder(const Tokenizer& tokenizer, TokenFileWriter& writer, int threads)
    : tokenizer_(tokenizer), writer_(writer), pool_(threads), next_cut_(kUnitBytes) {}

void DocumentEncoder::piece(std::string_view text) {
  while (!text.empty()) {
    const std::string_view part = text.substr(0, kUnitBytes);
    text.remove_prefix(part.size());
    has_text_ = true;
    pending_ += part;
    if (pending_.size() < next_cut_) continue;
    const size_t bytes = tokenizer_.safe_prefix(pending_);
    if (bytes > 0) add_unit(bytes, false);
    // No safe place: looked for again when there is twice the text, so that the time stays linear.
    next_cut_ = std::max(kUnitBytes, 2 * pending_.size());
  }
}

void DocumentEncoder::end() {
  if (has_text_) add_unit(pending_.size(), true);
  has_text_ = has_units_ = false;
  next_cut_ = kUnitBytes;
}

void DocumentEncoder::finish() { encode_batch(); }

void DocumentEncoder::add_unit(size_t bytes, bool ends) {
  Unit& unit = batch_.emplace_back();
  if (bytes == pending_.size()) {
    unit.text = std::move(pending_);
    pending_.clear();
  } else {
    unit.text = pending_.substr(0, bytes);
    pending_.erase(0, bytes);
  }
  unit.begins = !has_units_;
  unit.ends = ends;
  has_units_ = true;
  batch_bytes_ += bytes;
  if (batch_bytes_ >= kBatchBytesAThread * static_cast<size_t>(pool_.threads())) encode_batch();
}

void DocumentEncoder::encode_batch() {
  std::vector<size_t> tasks{0};  // the unit that each begins with, and the end
  size_t bytes = 0;
  for (size_t i = 0; i < batch_.size(); ++i) {
    bytes += batch_[i].text.size();
    if (bytes < kTaskBytes && i + 1 < batch_.size()) continue;
    tasks.push_back(i + 1);
    bytes = 0;
  }
  pool_.for_each(static_cast<int64_t>(tasks.size()) - 1, [&](int64_t task, int) {
    const auto index = static_cast<size_t>(task);
    for (size_t i = tasks[index]; i < tasks[index + 1]; ++i) {
      Unit& unit = batch_[i];
      if (const auto begin = tokenizer_.begin_of_document(); begin && unit.begins) unit.ids.push_back(*begin);
      tokenizer_.encode(unit.text, unit.ids);
      if (const auto end = tokenizer_.end_of_document(); end && unit.ends) unit.ids.push_back(*end);
    }
  });
  for (const Unit& unit : batch_) {
    writer_.append(unit.ids);
    if (unit.ends) writer_.end_document();
  }
  batch_.clear();
  batch_bytes_ = 0;
}

}  // namespace strata
