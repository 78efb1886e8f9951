// SPDX-License-Identifier: Apache-2.0
// One entry of a program: what is done, to which block and micro-batch. Plain data that prints as one line
// and parses back. Lanes and waits are derived from it, never stored in it.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "core/ops/write.h"
#include "core/program/value.h"

namespace strata {

enum class Kind : uint8_t {
  begin,            // start of a step or evaluation: resets the accumulators
  gather,           // a block's whole weights from the shards of its weight group
  forward,          // block b of a micro-batch
  recompute,        // forward again, for what it saves
  backward_input,   // gradient of the block's input
  backward_weight,  // gradient of the block's parameters
  loss,             // the head: forward and both backwards in one, because the logits never exist as a whole
  loss_only,        // the head of an evaluation
  send,             // x or dx at the edge of a pipeline stage, to the stage's neighbour
  receive,          // the same, from it
  reduce,           // sums gradients over the ranks between two levels of the partition
  complete,         // sums gradients of which every rank of the tensor axis holds an addend
  fold,             // adds one of this rank's gradient sums to another
  tie,              // adds up the gradients of a parameter that two blocks hold copies of
  norm,             // adds a block's gradients to the gradient norm
  total,            // adds up the scalars of all ranks
  clip,             // decides the clip coefficient, or to skip the step
  update,           // optimizer step of a block's state shard and of the weights under it
  spread,           // brings updated weights from the shards of the state to those of the weights
  pack,             // packed weights from weights
  load,             // copies a value to a faster tier, where the copy is made
  store,            // copies a value to a slower tier: into the value there, or making it (activations)
  commit,           // what was stored on nvme since the last one becomes what a restart finds: all or none
  free,             // ends a value's life; no work, on no lane
};
inline constexpr int kNumKinds = 24;

// What forward does with what the backwards would need.
enum class Keep : uint8_t { save, discard };

struct Action {
  Kind kind = Kind::begin;
  int16_t block = -1;
  int16_t micro_batch = -1;
  int16_t peer = -1;                // send, receive, tie: the pipeline rank met; tie: -1 is this one
  int16_t slot = -1;                // which gradient sum: backward_weight, loss, reduce, fold (see Value)
  int16_t with = -1;                // fold: the sum that is added
  Keep keep = Keep::save;           // forward
  Write write = Write::accumulate;  // backward_weight, loss, reduce: overwrite creates the gradients
  ValueClass cls = ValueClass::x;   // send, receive: x or dx; free, load, store: of the value
  Tier tier = Tier::device;         // free: of the value; load, store: it is copied from here
  Tier onto = Tier::device;         // load, store: to there
  uint8_t level = 0;                // reduce: the level it reads; free, load, store: the value's level
  uint8_t to = 0;                   // reduce: the level it adds to; the same level sums over its replicas

  friend bool operator==(const Action&, const Action&) = default;
};

// The free of a value, and the value a free ends.
Action free_of(const Value& value);
Value freed_value(const Action& action);

// A move of a value from its tier to another one: a load to a faster tier, a store to a slower one. And the
// value that a move reads, and the one it makes or overwrites.
Action move_of(const Value& value, Tier onto);
Value moved_from(const Action& action);
Value moved_to(const Action& action);
inline bool is_move(const Action& action) { return action.kind == Kind::load || action.kind == Kind::store; }

// Which fields a kind has; the others keep their defaults.
struct KindInfo {
  std::string_view name;
  bool block = false, micro_batch = false, keep = false, write = false;
  bool cls = false, peer = false, slot = false, with = false, levels = false;
  bool value = false;  // names a value in full: free, load, store
};
const KindInfo& info(Kind kind);
inline std::string_view name(Kind kind) { return info(kind).name; }

// "forward 3 mb=1 discard", "backward_weight 3 mb=1 accumulate", "send dx 4 mb=1 peer=0",
// "reduce 3 level=0 to=2 overwrite", "free saved_input 3 mb=1", "load moments 3 level=1 from=nvme
// onto=device", "clip".
std::string to_string(const Action& action);
// The inverse. Throws Error(usage) naming the word that does not fit.
Action parse_action(std::string_view text);

}  // namespace strata

// As to_string, but only when a message is really made.
template <>
struct fmt::formatter<strata::Action> : fmt::formatter<std::string> {
  template <typename Context>
  auto format(const strata::Action& action, Context& context) const {
    return fmt::formatter<std::string>::format(strata::to_string(action), context);
  }
};
