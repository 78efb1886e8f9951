// SPDX-License-Identifier: Apache-2.0
// Binds the actions of a program to a model and an update rule, owns the arena, and runs training steps and
// evaluations. Everything a step needs is placed before the first one: a step allocates nothing.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/nn/model.h"
#include "core/program/backing_store.h"
#include "core/program/executor.h"
#include "core/program/link.h"
#include "core/program/update_rule.h"
#include "core/step/action_clock.h"
#include "core/step/action_views.h"
#include "core/step/batch_memory.h"
#include "core/step/scalars.h"
#include "core/step/step_plan.h"

namespace strata {

// A rectangle of a logical tensor where this rank keeps its optimizer state: the parts of all ranks that
// `speak` are every element once.
struct LogicalState {
  std::string name;
  Shape shape;  // of the whole
  Rect held;    // of the whole; the tensors below have its extent
  Init init;
  Role role = Role::linear;
  bool trained = true;  // false: frozen
  bool speaks = true;   // false: another rank (or the twin of a tied table) holds the same
  Tensor weight;        // as the model computes with it; u8 [bytes] of one that is kept in blocks
  WeightFormat format = WeightFormat::none;
  // f32; absent when frozen, without a rule or away from the device. Holds it only while the clip rule runs.
  Tensor gradient;
  // In the order of the rule's slots; empty without a rule. Of codes and what their blocks share, the whole
  // shard's, in which this piece begins at element `offset`.
  std::vector<Tensor> state;
  int64_t offset = 0;
  int block = 0;  // it belongs to
};

// Where actions run. On a CPU, lanes that work at the same time need streams of their own.
struct StepStreams {
  Stream& compute;
  Stream* communication = nullptr;  // needed for several ranks
  // What operations of the device reach in the host's memory (OpenDevice::host_memory). Null on a CPU.
  Allocator* host_memory = nullptr;
  // Of the lanes between host and device; null: the compute stream serves, but not where activations are made
  // codes on their way.
  Stream* host_to_device = nullptr;
  Stream* device_to_host = nullptr;
};

class StepRunner {
 public:
  // All references must outlive the runner; the streams are of the plan's target. `clip` is needed when the
  // plan trains, `store` when it has values on nvme: opened for them, all content still to be written. Throws
  // Error(memory) when the arena cannot be had. Weights are zero until initialize(), or
  // until somebody fills logical_states() and calls weights_changed(). With several ranks everything but the
  // accessors is collective.
  StepRunner(const StepPlan& plan, const StepStreams& streams, Allocator& allocator, ClipRule clip = {},
             ExecutorOptions executor = {}, BackingStore* store = nullptr);
  ~StepRunner();

  // Initial values from (seed, tensor name, element index): the same on every layout. Takes device memory for
  // one parameter in f32 meanwhile.
  void initialize(uint64_t seed);
  std::vector<LogicalState> logical_states() const;
  // Of a block whose values are not all at home on the device, the tensors of logical_states() are where a
  // step works on them: between fetch(), which brings them there, and the next call of fetch() or anything
  // that runs actions. put_back() takes what is there home. Not while a step runs; not collective.
  bool is_away(int block) const { return is_away_[static_cast<size_t>(block)]; }
  void fetch(int block) const;
  void put_back(int block) const;
  // Where on nvme a tensor of logical_states() lies between steps; nothing: at home elsewhere.
  struct StoredRange {
    Value value;
    int64_t offset = 0, bytes = 0;  // of the value's
  };
  std::optional<StoredRange> stored_range(const Tensor& tensor, int block) const;
  // Whether all of a block's values that are away are on nvme.
  bool is_away_on_nvme(int block) const;
  // Optimizer steps that the state has behind it, when it did not begin here: commits are numbered so.
  void resume_after(int64_t steps) { first_step_ = steps; }
  // What commits keep beside a step's state: asked for when the step's sums are final, from the thread of a
  // lane; of a deferred update at the end of its step, from the caller's.
  using CommitNote = std::function<std::string(int64_t step, const StepScalars& sums)>;
  void keep_with_commits(CommitNote note) { commit_note_ = std::move(note); }
  // Whether all that outlives a step is on nvme, so that a store alone can give it back.
  bool lives_in_store() const;
  // Instead of initialize(): what the store has is the state after its last commit. Needs lives_in_store().
  void take_from_store();
  void weights_changed();  // brings the weights of every shard together again, and packs them

  // One optimizer step over this rank's geometry.micro_batches batches. Waits for the device. Returns the
  // step's sums over all ranks; the clip rule's decision is in them. `update` gives a parameter's scalars
  // from its role and name; the gradient scale is filled in here. Error(data) when no token of the step has a
  // target.
  using Scalars = std::function<UpdateScalars(const Parameter& parameter)>;
  // Where updates are deferred, the weights are those before the step until the next one, or settle().
  StepScalars train_step(std::span<const Batch> batches, const Scalars& update);

  // Applies what the last step has left over, if anything: before somebody looks at weights or state.
  void settle();

  // Loss of one batch per data rank, summed over them, no gradients. Settles first.
  LossSum evaluate(const Batch& batch);

  const StepPlan& plan() const { return plan_; }
  const RopeTable& rope() const { return rope_; }
  Allocator& memory() const { return allocator_; }  // of the device
  // What drives read into and write from: the arena of the host tier, on a CPU also that of the device.
  std::vector<std::span<std::byte>> memory_of_drives() const;
  // Views for running blocks outside a program (sampling), where weights are kept whole.
  std::span<const LinearWeight> weights(int block) const;

 private:
  // A block's own shard of everything the optimizer works on, flat, by parameter.
  struct OwnShard {
    std::vector<Tensor> weight;
    std::vector<Tensor> gradient;                   // absent when frozen, or away
    std::vector<std::vector<Tensor>> state;         // by slot
    std::vector<std::vector<MatrixSpan>> matrices;  // of rules that see them whole
  };

  void bind_shards();
  // What of the training program belongs to the step before: alone in a run that settles, left out in one
  // that follows such a run.
  enum class Part : uint8_t { step, update, both };
  void find_parts();
  bool left_out(const Invocation& invocation) const;
  void know_update(const Scalars& update);
  // Of this rank's shard of a parameter's state, among the elements that all ranks have of it.
  uint64_t first_element(int block, size_t parameter) const;
  int64_t over_all_ranks(int64_t targets) const;
  StepScalars& scalars() const { return *reinterpret_cast<StepScalars*>(scalars_->data()); }
  void run(Executor& executor);
  ExecutorOptions with_order(ExecutorOptions options);
  // Where a step works on a block's own shard of a class: its home, or where its loads bring it.
  std::byte* place(ValueClass cls, int block) const;
  const PlannedBuffer* working_buffer(const Value& value) const;
  std::byte* bytes_at(const PlannedBuffer& buffer) const;
  std::vector<Value> values_away(int block) const;  // as they are named on the device
  std::byte* final_gradients(int block) const;
  // Of a parameter, as an action of the optimizer finds it.
  Tensor gradient(const Invocation& invocation, int block, size_t parameter) const;
  enum class Packed { all, trained };  // frozen weights stay packed from step to step
  void pack_block(std::span<const LinearWeight> weights, int block, Packed which) const;
  bool speaks(int block, size_t parameter) const;

  // What the handlers share: the bytes of an action's operands as a block wants them.
  Context context(const Invocation& invocation) const;
  Region region(const Invocation& invocation, ValueClass cls, int block) const;
  Tensor activation(const Invocation& invocation, ValueClass cls, int block) const;
  Stream& stream_of(Lane lane) const;
  Stream& stream_of(const Invocation& invocation) const;
  // Handlers.
  void forward(const Invocation& invocation);
  void backward_input(const Invocation& invocation);
  void backward_weight(const Invocation& invocation);
  void loss(const Invocation& invocation);
  void norm(const Invocation& invocation);
  void update(const Invocation& invocation);
  void exchange(const Invocation& invocation);
  void move(const Invocation& invocation);
  void move_quantized(const Invocation& invocation);
  void end_move(const Invocation& invocation);
  void read_stored(const Value& value, OperandBytes into) const;
  void write_stored(const Value& value, OperandBytes from) const;
  Executor::Handlers handlers();

  const StepPlan& plan_;
  const Model& model_;
  Stream& stream_;
  Stream* communication_;
  Allocator& allocator_;
  ClipRule clip_;
  RopeTable rope_;
  Stream* host_to_device_;
  Stream* device_to_host_;
  BackingStore* store_;
  // What a lane of a drive has begun and not ended, in its order. Its thread alone uses it.
  struct OnTheirWay {
    std::vector<BackingStore::Ticket> ring;
    size_t first = 0, count = 0;
  };
  OnTheirWay reads_, writes_;
  BufferRef arena_;
  BufferRef host_arena_;       // of Tier::host; null when nothing is there
  std::vector<char> is_away_;  // by block
  mutable std::vector<char>
      was_put_back_;  // by block; before that a store has nothing, which stands for zeros
  int64_t first_step_ = 0;
  CommitNote commit_note_;
  // StepScalars, where host and device both reach them: for the program their place in the arena is one to
  // wait for.
  BufferRef scalars_;
  BatchMemory batches_;
  std::vector<OwnShard> own_;  // by block; empty for blocks elsewhere
  std::unique_ptr<ActionViews> train_views_, evaluate_views_;
  const ActionViews* views_ = nullptr;              // of the program that runs
  std::vector<std::vector<UpdateScalars>> update_;  // by block and parameter, of the step whose update runs
  std::vector<Part> parts_;                         // by position; empty: nothing is deferred
  bool settled_ = true;                             // the last step has left nothing over
  bool settling_ = false;
  int64_t steps_ = 0;                   // done or running, since the first one here
  std::string note_;                    // for the commit of a deferred update
  std::unique_ptr<ActionClock> clock_;  // of a device with a clock of its own, where somebody traces
  std::unique_ptr<Executor> train_executor_, evaluate_executor_;
};

}  // namespace strata
