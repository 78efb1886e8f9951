// SPDX-License-Identifier: Apache-2.0
// What a step moves between ranks beside activations inside blocks: shards of weights and gradients, tied
// gradients, activations at the edges of pipeline stages, scalars. Every operation runs on the stream it is
// given, under the rules of core/dist/communicator.h; on a meta stream it only counts. Byte pointers are the
// first bytes of planned values (null on a meta stream).
#pragma once

#include "core/nn/model.h"
#include "core/step/scalars.h"
#include "core/step/state_groups.h"
#include "core/step/state_layout.h"

namespace strata {

class StateExchange {
 public:
  // All must outlive this.
  StateExchange(const Model& model, const StateLayout& layout, const StateGroups& groups)
      : model_(model), layout_(layout), groups_(groups) {}

  // Whole weights of a block from the shards of its weight group; of those that travel as codes, codes and
  // factors as one rank would make them of the whole.
  void gather(Stream& stream, int block, std::byte* shards, std::byte* whole) const;
  // Adds a block's gradients up over the ranks between two levels; to the same level: over its replicas, in
  // place. What lies behind a parameter's real elements in `source` on level 0 becomes zero.
  void reduce(Stream& stream, int block, int from, int to, Write write, std::byte* source,
              std::byte* sum) const;
  // Of parameters whose gradients are addends on every rank of the tensor axis: their sum, in place, on the
  // state's level.
  void complete(Stream& stream, int block, std::byte* gradients) const;
  // One of this rank's sums to another, on the gradient level.
  void fold(Stream& stream, int block, std::byte* part, std::byte* sum) const;
  // Every rank has brought its shard of the state's level up to date inside `weights`, which lie on the
  // weight level; brings the rest. A step leaves what is frozen as it is; whoever loads weights does not.
  enum class Spread { trained, all };
  void spread(Stream& stream, int block, std::byte* weights, Spread which = Spread::trained) const;
  // Both blocks' gradients of the shared table, on the state's level, become their sum.
  void tie(Stream& stream, int block, int peer, std::byte* own) const;
  void tie_here(Stream& stream, std::byte* of_embedding, std::byte* of_head) const;
  void send(Stream& stream, int peer, const Tensor& values) const;
  void receive(Stream& stream, int peer, const Tensor& values) const;
  // Loss and norm sums of all ranks. `counts_loss`: this rank's losses are not another's too.
  void total(Stream& stream, StepScalars& scalars, bool counts_loss) const;

  // This rank's shard of level `to` inside its shard `whole` of level `from`.
  Tensor part_of(const Tensor& whole, int from, int to) const;
  // A pipeline rank that messages may be counted with.
  int any_peer() const { return groups_.any_peer(); }

 private:
  void gather_codes(Stream& stream, int block, size_t parameter, const Tensor& shard, std::byte* whole) const;
  size_t num_parameters(int block) const;
  Tensor table_gradient(int block, Device device, std::byte* bytes) const;

  const Model& model_;
  const StateLayout& layout_;
  const StateGroups& groups_;
};

}  // namespace strata
