// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/gguf_sink.h"

#include "checkpoint/adapters/folder_sink.h"
#include "checkpoint/adapters/gguf_blocks/block_format.h"
#include "checkpoint/adapters/gguf_types.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/io/page_memory.h"

namespace strata {
namespace {

constexpr int64_t kAlignment = 32;

int64_t padded(int64_t bytes) { return div_up(bytes, kAlignment) * kAlignment; }

int64_t stored_bytes(int64_t elements, ElementType type, bool in_blocks) {
  return in_blocks ? elements / kBlockQ8_0.elements * kBlockQ8_0.bytes : elements * size_of(type);
}

}  // namespace

GgufSink::GgufSink(FileSystem& files, std::string path, Options options)
    : files_(files), path_(std::move(path)), options_(std::move(options)) {
  if (files_.info(path_))
    throw Error(Fault::usage, {.what = "what is to be written is there already",
                               .where = path_,
                               .fix = "remove it, or name another file"});
}

GgufSink::~GgufSink() {
  if (!written_) return;
  try {
    file_ = nullptr;
    files_.remove(partial());
  } catch (const Error&) {  // the next conversion to this place writes over it
  }
}

void GgufSink::declare(std::vector<TensorSpec> tensors, const nlohmann::json& /*metadata*/,
                       std::vector<Asset> /*assets*/) {
  check(!file_ && tensors.size() == options_.in_blocks.size(), "[gguf] {} tensors declared of {}",
        tensors.size(), options_.in_blocks.size());
  tensors_ = std::move(tensors);
  std::string header("GGUF");
  append_raw<uint32_t>(header, 3);
  append_raw<uint64_t>(header, tensors_.size());
  append_raw<uint64_t>(header, static_cast<uint64_t>(options_.values.count()));
  header += options_.values.bytes();
  int64_t end = 0;  // of the tensors so far, from where they begin
  for (size_t t = 0; t < tensors_.size(); ++t) {
    const TensorSpec& tensor = tensors_[t];
    const auto type = options_.in_blocks[t] ? std::optional(kBlockQ8_0.ggml_type) : gguf_type_of(tensor.type);
    if (!type || tensor.state != "param" || tensor.shape.rank() > 4)
      throw Error(Fault::usage, {.what = "a tensor has no place in a GGUF file", .found = to_string(tensor)});
    check(!options_.in_blocks[t] || (tensor.type == ElementType::f32 &&
                                     tensor.shape[tensor.shape.rank() - 1] % kBlockQ8_0.elements == 0),
          "[gguf] {} in blocks", to_string(tensor));
    append_text(header, tensor.name);
    append_raw(header, static_cast<uint32_t>(tensor.shape.rank()));
    for (int d = tensor.shape.rank(); d-- > 0;)  // fastest first
      append_raw(header, static_cast<uint64_t>(tensor.shape[d]));
    append_raw(header, *type);
    append_raw(header, static_cast<uint64_t>(end));
    places_.push_back(end);
    end = padded(end + stored_bytes(tensor.shape.numel(), tensor.type, options_.in_blocks[t]));
    unwritten_ += tensor.shape.numel();
  }
  header.resize(static_cast<size_t>(padded(std::ssize(header))));
  for (int64_t& place : places_) place += std::ssize(header);
  file_ = files_.open(partial(), OpenMode::create);
  written_ = true;
  file_->preallocate(std::ssize(header) + end);
  file_->write(0, std::as_bytes(std::span(header)));
}

std::vector<Rect> GgufSink::pieces(size_t tensor) const {
  const TensorSpec& spec = tensors_.at(tensor);
  const int64_t size = size_of(spec.type);
  const int64_t row = spec.shape.rank() > 0 ? spec.shape[spec.shape.rank() - 1] * size : size;
  return cut_rows(spec.shape, size, std::max(options_.piece_bytes, row));
}

void GgufSink::write(size_t tensor, const Rect& piece, std::span<const std::byte> bytes) {
  const TensorSpec& spec = tensors_.at(tensor);
  const int64_t size = size_of(spec.type), count = piece.numel();
  check(std::ssize(bytes) == count * size, "[gguf] {} bytes of a piece of {}", bytes.size(), to_string(spec));
  const int64_t at =
      places_[tensor] + stored_bytes(first_element(piece, spec.shape), spec.type, options_.in_blocks[tensor]);
  if (!options_.in_blocks[tensor]) {
    file_->write(at, bytes);
  } else {
    const int64_t stored = stored_bytes(count, spec.type, true);
    const PageMemory blocks = page_memory(stored);
    check(kBlockQ8_0.encode(reinterpret_cast<const float*>(bytes.data()), count / kBlockQ8_0.elements,
                            blocks.get()),
          "[gguf] numbers of {} that no block can hold", to_string(spec));
    file_->write(at, {blocks.get(), static_cast<size_t>(stored)});
  }
  unwritten_ -= count;
}

std::string GgufSink::finish() {
  check(unwritten_ == 0, "[gguf] {} elements were not written", unwritten_.load());
  if (file_) file_->sync();
  file_ = nullptr;
  return partial();
}

void GgufSink::commit() {
  if (file_) finish();
  files_.rename(partial(), path_);
  files_.sync_directory(parent_directory(path_));
  written_ = false;
}

}  // namespace strata
