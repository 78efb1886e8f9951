// SPDX-License-Identifier: Apache-2.0
#include "launch/train/snapshot_reader.h"

#include <algorithm>
#include <cstring>

#include "checkpoint/logical.h"
#include "core/base/check.h"
#include "offload/tile_snapshot.h"

namespace strata {

SnapshotReader::SnapshotReader(TileStore& store, const UpdateRule& rule)
    : rule_(rule), tile_bytes_(store.tile_bytes()), snapshot_(store.pin()), alone_(1), stream_(alone_) {}

SnapshotReader::~SnapshotReader() = default;

int64_t SnapshotReader::step() const { return snapshot_->step(); }

void SnapshotReader::read(const StepRunner::StoredRange& range, std::span<std::byte> into) {
  const int64_t begin = range.offset / tile_bytes_ * tile_bytes_;
  const int64_t end =
      std::min(round_up(range.offset + range.bytes, tile_bytes_), snapshot_->bytes(range.value));
  if (end - begin > window_bytes_) {
    window_ = page_memory(end - begin);
    window_bytes_ = end - begin;
  }
  snapshot_->read(range.value, begin, {window_.get(), static_cast<size_t>(end - begin)});
  std::memcpy(into.data(), window_.get() + (range.offset - begin), static_cast<size_t>(range.bytes));
  if (--reads_left_.at(key(range.value)) == 0) snapshot_->release(range.value);
}

void SnapshotReader::read(const Source& source, std::span<std::byte> into) {
  if (source.stored) return read(*source.stored, into);
  std::memcpy(into.data(), source.here.raw(), into.size());
}

Tensor SnapshotReader::bring(const Source& source, int64_t elements, PageMemory& memory) {
  if (source.here) return source.here.view({elements});
  if (!source.stored) return Tensor::borrow(nullptr, source.dtype, {div_up(elements, source.per)});
  const int64_t bytes = elements * size_of(source.dtype);
  memory = page_memory(bytes);
  read(*source.stored, {memory.get(), static_cast<size_t>(bytes)});
  return Tensor::borrow(memory.get(), source.dtype, {elements});
}

void SnapshotReader::export_values(const Source& weight, std::span<const Source> slots,
                                   std::span<std::byte> into) {
  const auto elements = static_cast<int64_t>(into.size() / sizeof(float));
  std::vector<PageMemory> memory(slots.size() + 1);
  std::vector<Tensor> state;
  for (size_t i = 0; i < slots.size(); ++i) state.push_back(bring(slots[i], elements, memory[i]));
  rule_.export_values(stream_, bring(weight, elements, memory.back()), state,
                      Tensor::borrow(into.data(), DType::f32, {elements}));
  stream_.synchronize();
}

std::vector<LogicalState> in_pieces(std::vector<LogicalState> states, const StepRunner& runner,
                                    int64_t bytes) {
  std::vector<LogicalState> pieces;
  const auto slots = runner.plan().layout().slots();
  for (LogicalState& state : states) {
    if (!runner.plan().offloads() || state.format != WeightFormat::none || state.held.extent.rank() == 0) {
      pieces.push_back(std::move(state));
      continue;
    }
    const int64_t rows = state.held.extent[0], of_row = state.held.numel() / std::max<int64_t>(rows, 1);
    const int64_t most = std::max<int64_t>(1, bytes / std::max<int64_t>(1, of_row * size_of(DType::f32)));
    for (int64_t first = 0; first < rows; first += most) {
      const int64_t count = std::min(most, rows - first);
      LogicalState piece = state;
      piece.held.begin.set(0, state.held.begin[0] + first);
      piece.held.extent.set(0, count);
      piece.weight = state.weight.slice(0, first, count);
      if (state.gradient) piece.gradient = state.gradient.slice(0, first, count);
      piece.offset = state.offset + first * of_row;
      for (size_t slot = 0; slot < piece.state.size(); ++slot)
        if (slots[slot].element_wise()) piece.state[slot] = piece.state[slot].slice(0, first, count);
      pieces.push_back(std::move(piece));
    }
  }
  return pieces;
}

}  // namespace strata
