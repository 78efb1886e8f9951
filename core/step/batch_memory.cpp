// SPDX-License-Identifier: Apache-2.0
#include "core/step/batch_memory.h"

#include <algorithm>
#include <cstring>

#include "core/tensor/transfer.h"

namespace strata {

BatchMemory::BatchMemory(const Geometry& geometry, Device device, Allocator& memory, Allocator& host_memory)
    : geometry_(geometry),
      visits_(static_cast<size_t>(geometry.micro_batches)),
      batches_(static_cast<size_t>(geometry.micro_batches)) {
  if (device.kind == DeviceKind::cpu) return;
  const Shape shape{geometry.micro_batches, int64_t{kParts} * geometry.tokens()};
  host_ = make_tensor(host_memory, DType::i32, shape, "batches");
  device_ = make_tensor(memory, DType::i32, shape, "batches");
}

int64_t BatchMemory::bytes(const Geometry& geometry, Device device) {
  if (device.kind == DeviceKind::cpu) return 0;
  return geometry.micro_batches * int64_t{kParts} * geometry.tokens() * size_of(DType::i32);
}

Tensor BatchMemory::part(const Tensor& all, size_t i, int part) const {
  return all.slice(0, static_cast<int64_t>(i), 1)
      .view({kParts, geometry_.tokens()})
      .slice(0, part, 1)
      .view({geometry_.tokens()});
}

void BatchMemory::set(size_t i, const Batch& batch, float loss_scale) {
  check(batch.rows == geometry_.rows && batch.seq_len == geometry_.seq_len,
        "[step] a batch of {} x {}, planned {} x {}", batch.rows, batch.seq_len, geometry_.rows,
        geometry_.seq_len);
  auto& visits = visits_[i];
  attention_visits(batch, visits);
  const auto place = [&](const std::vector<int32_t>& values, int index) {
    if (!host_) return Tensor::borrow(const_cast<int32_t*>(values.data()), DType::i32, {geometry_.tokens()});
    std::copy_n(values.data(), geometry_.tokens(), part(host_, i, index).data<int32_t>());
    return part(device_, i, index);
  };
  // Of a pair there are three numbers, then two, and three tokens at least.
  const ResponsePairs& pairs = batch.pairs;
  check(pairs.size() * kLeastPair <= geometry_.tokens(), "[step] {} pairs of responses in {} tokens",
        pairs.size(), geometry_.tokens());
  const auto place_pairs = [&](const auto& values, DType dtype, int index) {
    if (values.empty()) return Tensor();
    const Shape shape{std::ssize(values)};
    if (!host_)
      return Tensor::borrow(const_cast<std::byte*>(std::as_bytes(std::span(values)).data()), dtype, shape,
                            {});
    std::memcpy(part(host_, i, index).raw(), values.data(), std::span(values).size_bytes());
    return Tensor::borrow(part(device_, i, index).raw(), dtype, shape, device_.device());
  };
  batches_[i] = {.ids = place(batch.tokens, kTokens),
                 .targets = place(batch.targets, kTargets),
                 .positions = place(batch.positions, kPositions),
                 .segments = visits[0],
                 .visits = std::span(visits).subspan(1),
                 .loss_scale = loss_scale,
                 .pair_begin = place_pairs(pairs.begin, DType::i32, kPairBegin),
                 .pair_reference = place_pairs(pairs.reference, DType::f32, kPairReference),
                 .runs = batch.runs};
}

void BatchMemory::upload(Stream& stream, size_t count) const {
  if (!host_) return;
  const auto first = static_cast<int64_t>(count);
  transfer(stream, host_.slice(0, 0, first), device_.slice(0, 0, first));
}

}  // namespace strata
