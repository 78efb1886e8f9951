// SPDX-License-Identifier: Apache-2.0
// Which tensors get which type: llama.cpp, convert_hf_to_gguf.py (prepare_tensors).
#include "checkpoint/adapters/gguf_content.h"

#include "checkpoint/adapters/gguf_blocks/block_format.h"
#include "checkpoint/adapters/strided_copy.h"
#include "core/base/error.h"
#include "core/io/page_memory.h"

namespace strata {
namespace {

bool is_matrix(const TensorSpec& tensor) {
  return tensor.shape.rank() == 2 && tensor.name != "position_embd.weight";
}

bool is_float(ElementType type) {
  return type == ElementType::f64 || type == ElementType::f32 || type == ElementType::f16 ||
         type == ElementType::bf16;
}

}  // namespace

bool goes_into_q8_0(const TensorSpec& tensor) {
  return is_matrix(tensor) && tensor.shape[1] % kBlockQ8_0.elements == 0;
}

GgufContent::GgufContent(const TensorSource& source, GgufContentWish wish)
    : source_(source), wish_(std::move(wish)) {
  std::vector<ElementType> types;
  for (const TensorSpec& tensor : source.tensors()) {
    if (!is_float(tensor.type))
      throw Error(Fault::usage, {.what = "a tensor's type has no place in the GGUF files that are written",
                                 .where = source.path(),
                                 .found = to_string(tensor),
                                 .expected = "f32, bf16 or f16"});
    in_blocks_.push_back(wish_.q8_0 && goes_into_q8_0(tensor));
    const ElementType kept = tensor.type == ElementType::f64 ? ElementType::f32 : tensor.type;
    types.push_back(!is_matrix(tensor) || in_blocks_.back() ? ElementType::f32
                    : wish_.q8_0                            ? ElementType::f16
                                                            : wish_.type.value_or(kept));
  }
  cast_ = std::make_unique<CastSource>(source, types);
  tensors_.assign(cast_->tensors().begin(), cast_->tensors().end());
  if (wish_.rope_factors.empty()) return;
  tensors_.push_back({.name = "rope_freqs.weight", .shape = {std::ssize(wish_.rope_factors)}});
  in_blocks_.push_back(false);
}

void GgufContent::read(size_t tensor, const Rect& rect, const StridedTarget& into) const {
  if (tensor == cast_->tensors().size()) {
    const auto* factors = reinterpret_cast<const std::byte*>(wish_.rope_factors.data());
    return copy_rect(rect, Rect::whole(tensors_[tensor].shape), factors, rect, into, 4);
  }
  if (!in_blocks_[tensor]) return cast_->read(tensor, rect, into);
  // Whole rows at a time: a block is made of all its numbers.
  const int64_t columns = tensors_[tensor].shape[1], blocks = columns / kBlockQ8_0.elements;
  const PageMemory values = page_memory(columns * 4), encoded = page_memory(blocks * kBlockQ8_0.bytes);
  auto* row = reinterpret_cast<float*>(values.get());
  for (int64_t r = 0; r < rect.extent[0]; ++r) {
    const Rect whole{.begin = {rect.begin[0] + r, 0}, .extent = {1, columns}};
    cast_->read(tensor, whole, row_major(values.get(), whole.extent, 4));
    if (!kBlockQ8_0.encode(row, blocks, encoded.get()))
      throw Error(Fault::numeric, {.what = fmt::format("numbers of tensor '{}' are too large for Q8_0",
                                                       tensors_[tensor].name),
                                   .where = source_.path(),
                                   .found = fmt::format("row {}", whole.begin[0]),
                                   .expected = "magnitudes below 8.3e6, and no infinities",
                                   .fix = "--dtype bf16"});
    kBlockQ8_0.decode(encoded.get(), blocks, row);
    const Rect part{.begin = {whole.begin[0], rect.begin[1]}, .extent = {1, rect.extent[1]}};
    StridedTarget target = into;
    target.data += r * into.strides[0];
    copy_rect(part, whole, values.get(), part, target, 4);
  }
}

}  // namespace strata
