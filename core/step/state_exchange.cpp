// SPDX-License-Identifier: Apache-2.0
#include "core/step/state_exchange.h"

#include "core/ops/elementwise.h"
#include "core/ops/quantize_part.h"
#include "core/step/bindings.h"

namespace strata {
namespace {

Tensor scratch_like(Stream& stream, const Tensor& x) {
  return Tensor::borrow(stream.scratch().take(x.bytes()), x.dtype(), x.shape(), stream.device());
}

}  // namespace

size_t StateExchange::num_parameters(int block) const { return model_.parameters(block).size(); }

void StateExchange::gather(Stream& stream, int block, std::byte* shards, std::byte* whole) const {
  const int level = layout_.partition().weight_level();
  for (size_t i = 0; i < num_parameters(block); ++i) {
    const Tensor shard = weight_shard(layout_, block, i, level, stream.device(), shards);
    if (layout_.place(block, i).scales >= 0)
      gather_codes(stream, block, i, shard, whole);
    else
      groups_.between(0, level).all_gather(stream, shard,
                                           weight_shard(layout_, block, i, 0, stream.device(), whole));
  }
}

// Factors are made of the largest magnitudes over all shards, which may end anywhere in a row or a block.
void StateExchange::gather_codes(Stream& stream, int block, size_t parameter, const Tensor& shard,
                                 std::byte* whole) const {
  const Parameter& p = model_.parameters(block)[parameter];
  Communicator& group = groups_.between(0, layout_.partition().weight_level());
  const Quantized to = gathered_codes(p, layout_.place(block, parameter), stream.device(), whole);
  const Tensor codes = weight_shard(layout_, block, parameter, 0, stream.device(), whole);
  const int64_t begin = group.rank() * shard.numel();
  const Scratch::Scope scope(stream.scratch());
  const QuantizePart part{
      .part = {.x = shard, .begin = begin, .rows = p.shape[0], .k = p.shape[1], .shape = to.shape},
      .amax = scratch_like(stream, to.scales),
      .kind = p.recipe.kind,
      .codes = codes.slice(0, begin, shard.numel()),
      .scales = to.scales};
  part_magnitudes(stream, part.part, part.amax);
  group.all_reduce(stream, part.amax, Reduction::max);
  quantize_part(stream, part);
  group.all_gather(stream, part.codes, codes);
}

void StateExchange::reduce(Stream& stream, int block, int from, int to, Write write, std::byte* source,
                           std::byte* sum) const {
  for (size_t i = 0; i < num_parameters(block); ++i) {
    const Tensor whole = gradient_shard(layout_, block, i, from, stream.device(), source);
    const Tensor part = gradient_shard(layout_, block, i, to, stream.device(), sum);
    if (!whole) continue;
    const int64_t real = model_.parameters(block)[i].shape.numel();
    if (from == 0 && real < whole.numel()) fill(stream, whole.slice(0, real, whole.numel() - real), 0);
    if (from == to) {
      groups_.replicas().all_reduce(stream, whole);
    } else if (write == Write::overwrite) {
      groups_.between(from, to).reduce_scatter(stream, whole, part);
    } else {
      // The sum over ranks is finished before it is added: its order stays that of the ranks.
      const Scratch::Scope scope(stream.scratch());
      const Tensor summed = scratch_like(stream, part);
      groups_.between(from, to).reduce_scatter(stream, whole, summed);
      add(stream, part, summed, part);
    }
  }
}

void StateExchange::complete(Stream& stream, int block, std::byte* gradients) const {
  const int level = layout_.partition().state_level();
  for (size_t i = 0; i < num_parameters(block); ++i)
    if (model_.parameters(block)[i].gradient.kind == AxisPlacement::Kind::partial)
      if (const Tensor gradient = gradient_shard(layout_, block, i, level, stream.device(), gradients))
        groups_.tensor().all_reduce(stream, gradient);
}

void StateExchange::fold(Stream& stream, int block, std::byte* part, std::byte* sum) const {
  const int level = layout_.partition().grad_level();
  for (size_t i = 0; i < num_parameters(block); ++i) {
    const Tensor into = gradient_shard(layout_, block, i, level, stream.device(), sum);
    if (into) add(stream, into, gradient_shard(layout_, block, i, level, stream.device(), part), into);
  }
}

Tensor StateExchange::part_of(const Tensor& whole, int from, int to) const {
  const Partition& partition = layout_.partition();
  const int64_t shards = partition.shards(to) / partition.shards(from), count = whole.numel() / shards;
  return whole.slice(0, partition.shard(groups_.data_rank(), to) % shards * count, count);
}

void StateExchange::spread(Stream& stream, int block, std::byte* weights, Spread which) const {
  const int bottom = layout_.partition().weight_level();
  for (size_t i = 0; i < num_parameters(block); ++i) {
    if (which == Spread::trained && !model_.parameters(block)[i].trainable) continue;
    const Tensor whole = weight_shard(layout_, block, i, bottom, stream.device(), weights);
    for (int level = layout_.partition().state_level(); level > bottom; --level)
      groups_.between(level - 1, level)
          .all_gather(stream, part_of(whole, bottom, level), part_of(whole, bottom, level - 1));
  }
}

// The shared table is the first parameter of the embedding and the last of the head.
Tensor StateExchange::table_gradient(int block, Device device, std::byte* bytes) const {
  return gradient_shard(layout_, block, block == 0 ? 0 : num_parameters(block) - 1,
                        layout_.partition().state_level(), device, bytes);
}

void StateExchange::tie(Stream& stream, int block, int peer, std::byte* own) const {
  const Tensor gradient = table_gradient(block, stream.device(), own);
  const Scratch::Scope scope(stream.scratch());
  const Tensor other = scratch_like(stream, gradient);
  Communicator& pair = groups_.peer(peer);
  const Message sent{1 - pair.rank(), gradient}, received{1 - pair.rank(), other};
  pair.exchange(stream, std::span(&sent, 1), std::span(&received, 1));
  add(stream, gradient, other, gradient);  // a + b = b + a: the same bits on both ranks
}

void StateExchange::tie_here(Stream& stream, std::byte* of_embedding, std::byte* of_head) const {
  const Tensor embedding = table_gradient(0, stream.device(), of_embedding);
  const Tensor head = table_gradient(model_.num_blocks() - 1, stream.device(), of_head);
  add(stream, embedding, head, embedding);
  copy(stream, embedding, head);
}

void StateExchange::send(Stream& stream, int peer, const Tensor& values) const {
  Communicator& pair = groups_.peer(peer);
  const Message message{1 - pair.rank(), values};
  pair.exchange(stream, std::span(&message, 1), {});
}

void StateExchange::receive(Stream& stream, int peer, const Tensor& values) const {
  Communicator& pair = groups_.peer(peer);
  const Message message{1 - pair.rank(), values};
  pair.exchange(stream, {}, std::span(&message, 1));
}

void StateExchange::total(Stream& stream, StepScalars& scalars, bool counts_loss) const {
  // Sums are the host's; on the meta device there is nothing.
  const bool meta = stream.device().kind == DeviceKind::meta;
  if (!counts_loss) {
    stream.synchronize();
    scalars.loss = {};
  }
  groups_.everyone().all_reduce(stream, Tensor::borrow(&scalars, DType::i64, {StepScalars::kSummedWords},
                                                       meta ? stream.device() : Device{}));
}

}  // namespace strata
