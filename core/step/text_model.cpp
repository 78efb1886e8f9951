// SPDX-License-Identifier: Apache-2.0
#include "core/step/text_model.h"

#include <algorithm>

#include "core/ops/elementwise.h"
#include "core/tensor/transfer.h"

namespace strata {

// Per layer the keys and the values of all sequences: [sequences * max_length, kv width], sequence s from row
// s * max_length on.
class TextModel::Cache final : public KeyValueCache {
 public:
  Cache(const Model& model, Allocator& allocator, const TextModelOptions& options)
      : max_length(options.max_length > 0 ? options.max_length : model.spec.max_positions),
        lengths(static_cast<size_t>(options.sequences)) {
    const ModelSpec& spec = model.spec;
    check(options.sequences > 0 && max_length <= spec.max_positions,
          "[generate] {} sequences of {} tokens, the model has {} positions", options.sequences, max_length,
          spec.max_positions);
    for (int64_t layer = 0; layer < spec.layers; ++layer)
      for (auto* store : {&keys_, &values_})
        store->push_back(make_tensor(allocator, model.compute,
                                     {options.sequences * max_length, spec.kv_heads * spec.head_dim},
                                     "key/value cache"));
  }

  View append(Stream& stream, int layer, const Tensor& k, const Tensor& v) override {
    const auto index = static_cast<size_t>(layer);
    int64_t end = 0;
    for (const AttentionSegment& segment : segments) {
      const int64_t row = segment.k_begin + segment.diagonal;
      copy(stream, k.slice(0, segment.q_begin, segment.q_count), keys_[index].slice(0, row, segment.q_count));
      copy(stream, v.slice(0, segment.q_begin, segment.q_count),
           values_[index].slice(0, row, segment.q_count));
      end = std::max<int64_t>(end, segment.k_begin + segment.k_count);
    }
    return {keys_[index].slice(0, 0, end), values_[index].slice(0, 0, end)};
  }

  int64_t max_length;
  std::vector<int64_t> lengths;
  std::vector<AttentionSegment> segments;  // of the pass that runs: one an append

 private:
  std::vector<Tensor> keys_, values_;
};

TextModel::TextModel(const Model& model, const StepRunner& weights, Stream& stream, Allocator& allocator,
                     const TextModelOptions& options)
    : model_(model),
      weights_(weights),
      stream_(stream),
      cache_(std::make_unique<Cache>(model, allocator, options)) {}

TextModel::~TextModel() = default;

int64_t TextModel::length(int sequence) const { return cache_->lengths.at(static_cast<size_t>(sequence)); }
int64_t TextModel::max_length() const { return cache_->max_length; }
void TextModel::reset(int sequence) { cache_->lengths.at(static_cast<size_t>(sequence)) = 0; }

std::span<const float> TextModel::feed(std::span<const int32_t> ids) {
  const Append append{.ids = ids};
  return feed(std::span(&append, 1));
}

std::span<const float> TextModel::feed(std::span<const Append> appends) {
  std::vector<int32_t> ids, positions;
  std::vector<bool> named(cache_->lengths.size());
  cache_->segments.clear();
  for (const auto& [sequence, tokens] : appends) {
    const int64_t before = length(sequence), count = static_cast<int64_t>(tokens.size());
    check(count > 0 && before + count <= max_length() && !named[static_cast<size_t>(sequence)],
          "[generate] {} tokens after {} of sequence {}, of at most {}", count, before, sequence,
          max_length());
    named[static_cast<size_t>(sequence)] = true;
    cache_->segments.push_back({.q_begin = narrow<int32_t>(ids.size()),
                                .q_count = narrow<int32_t>(count),
                                .k_begin = narrow<int32_t>(sequence * max_length()),
                                .k_count = narrow<int32_t>(before + count),
                                .diagonal = narrow<int32_t>(before)});
    ids.insert(ids.end(), tokens.begin(), tokens.end());
    for (int64_t t = 0; t < count; ++t) positions.push_back(narrow<int32_t>(before + t));
  }
  const auto total = static_cast<int64_t>(ids.size());
  check(total > 0, "[generate] nothing is appended");
  Scratch& scratch = stream_.scratch();
  const Scratch::Scope scope(scratch);
  const auto on_device = [&](std::vector<int32_t>& values) {
    const Tensor host = Tensor::borrow(values.data(), DType::i32, {total});
    if (stream_.device() == host.device()) return host;
    const Tensor copy = Tensor::borrow(scratch.take(host.bytes()), DType::i32, {total}, stream_.device());
    transfer(stream_, host, copy);
    return copy;
  };
  const TokenBatch batch{
      .ids = on_device(ids), .targets = {}, .positions = on_device(positions), .segments = cache_->segments};

  auto temporary = [&] { return Region::temporary(scratch, stream_.device()); };
  auto context = [&] {
    Context ctx{.stream = stream_,
                .batch = batch,
                .boundaries = boundaries_,
                .linear = plain_linear_op(),
                .rope = weights_.rope(),
                .cache = cache_.get()};
    ctx.output = ctx.saved_input = ctx.saved_weight = temporary();
    return ctx;
  };
  Tensor x;
  for (size_t block = 0; block < model_.blocks.size(); ++block) {
    Context ctx = context();
    x = model_.blocks[block]->forward(ctx, weights_.weights(static_cast<int>(block)), x);
  }
  Context ctx = context();
  const Tensor logits = on_host(stream_, model_.head->logits(ctx, weights_.weights(model_.num_blocks() - 1),
                                                             last_rows(x, appends, scratch)));
  for (const auto& [sequence, tokens] : appends)
    cache_->lengths[static_cast<size_t>(sequence)] += static_cast<int64_t>(tokens.size());
  logits_.clear();  // rows may be padded for a split vocabulary
  for (size_t row = 0; row < appends.size(); ++row) {
    const float* const values = logits.data<const float>() + static_cast<int64_t>(row) * logits.dim(1);
    logits_.insert(logits_.end(), values, values + model_.spec.vocab);
  }
  return logits_;
}

// Of x [tokens, hidden] the last row of every append.
Tensor TextModel::last_rows(const Tensor& x, std::span<const Append> appends, Scratch& scratch) const {
  const auto count = static_cast<int64_t>(appends.size());
  if (count == x.dim(0)) return x;
  if (count == 1) return x.slice(0, x.dim(0) - 1, 1);
  const Tensor rows = Tensor::borrow(scratch.take(count * x.dim(1) * size_of(x.dtype())), x.dtype(),
                                     {count, x.dim(1)}, stream_.device());
  int64_t row = 0, end = 0;
  for (const Append& append : appends) {
    end += static_cast<int64_t>(append.ids.size());
    copy(stream_, x.slice(0, end - 1, 1), rows.slice(0, row++, 1));
  }
  return rows;
}

}  // namespace strata
