// SPDX-License-Identifier: Apache-2.0
#include "core/step/text_model.h"

#include <numeric>

#include "core/ops/elementwise.h"
#include "core/tensor/transfer.h"

namespace strata {

// [max positions, kv width] of keys and of values per layer.
class TextModel::Cache final : public KeyValueCache {
 public:
  Cache(const Model& model, Allocator& allocator) {
    const ModelSpec& spec = model.spec;
    for (int64_t layer = 0; layer < spec.layers; ++layer)
      for (auto* store : {&keys_, &values_})
        store->push_back(make_tensor(allocator, model.compute,
                                     {spec.max_positions, spec.kv_heads * spec.head_dim}, "key/value cache"));
  }

  View append(Stream& stream, int layer, const Tensor& k, const Tensor& v) override {
    const auto index = static_cast<size_t>(layer);
    const int64_t tokens = k.dim(0);
    copy(stream, k, keys_[index].slice(0, length, tokens));
    copy(stream, v, values_[index].slice(0, length, tokens));
    return {keys_[index].slice(0, 0, length + tokens), values_[index].slice(0, 0, length + tokens)};
  }

  int64_t length = 0;

 private:
  std::vector<Tensor> keys_, values_;
};

TextModel::TextModel(const Model& model, const StepRunner& weights, Stream& stream, Allocator& allocator)
    : model_(model), weights_(weights), stream_(stream), cache_(std::make_unique<Cache>(model, allocator)) {}

TextModel::~TextModel() = default;

int64_t TextModel::length() const { return cache_->length; }
void TextModel::reset() { cache_->length = 0; }

std::span<const float> TextModel::feed(std::span<const int32_t> ids) {
  const auto tokens = static_cast<int64_t>(ids.size());
  check(tokens > 0 && length() + tokens <= max_length(),
        "[generate] {} tokens after {} exceed the model's {} positions", tokens, length(), max_length());
  std::vector<int32_t> own_ids(ids.begin(), ids.end());
  std::vector<int32_t> positions(ids.size());
  std::iota(positions.begin(), positions.end(), narrow<int32_t>(length()));
  const auto count = narrow<int32_t>(tokens);
  const auto before = narrow<int32_t>(length());
  const AttentionSegment segment{
      .q_begin = 0, .q_count = count, .k_begin = 0, .k_count = before + count, .diagonal = before};
  Scratch& scratch = stream_.scratch();
  const Scratch::Scope scope(scratch);
  const auto on_device = [&](std::vector<int32_t>& values) {
    const Tensor host = Tensor::borrow(values.data(), DType::i32, {tokens});
    if (stream_.device() == host.device()) return host;
    const Tensor copy = Tensor::borrow(scratch.take(host.bytes()), DType::i32, {tokens}, stream_.device());
    transfer(stream_, host, copy);
    return copy;
  };
  const TokenBatch batch{
      .ids = on_device(own_ids), .targets = {}, .positions = on_device(positions), .segments = {&segment, 1}};

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
                                                             x.slice(0, tokens - 1, 1)));
  cache_->length += tokens;
  const float* const row = logits.data<const float>();
  logits_.assign(row, row + model_.spec.vocab);
  return logits_;
}

}  // namespace strata
