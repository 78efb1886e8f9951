// SPDX-License-Identifier: Apache-2.0
// The state of a run as checkpoints hold it: the f32 values that the optimizer steps from ("param"), whatever
// halves or masters they are kept in, its moments ("m", "v"; as numbers, where they are kept as codes), and
// frozen weights in the type the model computes with. Of a run that trains adapters they are the adapters'
// alone: the model beside them lies where it lay. Nothing here depends on the layout: every rank has the
// rectangles it holds.
#pragma once

#include <memory>
#include <vector>

#include "checkpoint/restore.h"
#include "checkpoint/saver.h"
#include "core/step/step_runner.h"
#include "launch/train/coded_moments.h"
#include "launch/train/snapshot_reader.h"

namespace strata {

class RunTensors {
 public:
  // All outlive this. `rule` is that of the run; the runner may have been made without one (evaluation): then
  // only weights are filled. Besides, memory of its device for one tensor's values at a time is used.
  RunTensors(const StepRunner& runner, const UpdateRule& rule, Stream& stream);

  // This rank's state. What is not in the host's memory as it is saved, or is away, is put together there, in
  // memory of this object, which must live until Saver::begin returns. With a `drives`, state on nvme is read
  // from there instead, later and piece by piece: its step must be the one that is saved.
  std::vector<SaveItem> save_items(const std::shared_ptr<SnapshotReader>& drives = nullptr);
  int64_t saved_bytes() const;

  // Fills this rank's state, or weights, from `source`. Collective over `peers`. The caller then calls
  // StepRunner::weights_changed. everything: what save_items gives. model: the values that the model's
  // weights are made of, without those of adapters; adapters: those, and of layers that are trained whole
  // beside them. The optimizer's own stays as it is.
  enum class Wanted { everything, model, adapters };
  RestoreReport restore(const TensorSource& source, Peers& peers, WorkerPool& pool,
                        const RestoreRules& rules = {}, Wanted wanted = Wanted::everything);

  // Which numbers restore(Wanted::model) last put there, whatever type and layout: the sum, modulo 2^64, of
  // every tensor's digest as f32 (checkpoint/digest.h, its low half) times an odd number made of its name.
  // This rank's part; the sum over all ranks is the model's. Not cryptographic.
  uint64_t model_digest() const { return model_digest_; }

 private:
  // Of a checkpoint, and where this rank has it.
  struct Part {
    const LogicalState* state;
    TensorSpec spec;
    Tensor tensor;  // absent: numbers that the rule keeps in other forms
    int slot = -1;  // of the rule's, whose moments they are; -1: values
  };
  std::vector<Part> parts(Wanted wanted) const;
  bool keeps_values_apart(const LogicalState& state) const;
  SaveItem late_item(const Part& part, const std::shared_ptr<SnapshotReader>& drives);
  Tensor in_host_memory(DType dtype, const Shape& shape);
  void export_values(const LogicalState& state, const Tensor& host);
  CodedPiece coded(const Part& part) const { return coded(*part.state, part.slot); }
  CodedPiece coded(const LogicalState& state, int slot) const {
    return coded_piece(state, rule_.slots(), static_cast<size_t>(slot));
  }
  void take_values(const LogicalState& state, const Tensor& values);
  void take_moments(const Tensor& numbers, const Tensor& target);
  // Which of a restore's groups it comes with.
  int64_t group_of(const LogicalState& state) const;
  // Before a block's tensors are touched: what is away comes where they point, and what was fetched before
  // may go. As often as one likes.
  void fetch(int block);

  const StepRunner& runner_;
  const UpdateRule& rule_;
  Stream& stream_;
  Allocator& memory_;
  bool adapters_;  // are what is trained
  uint64_t model_digest_ = 0;
  std::vector<LogicalState> states_;
  std::vector<Tensor> copies_;  // in the host's memory
  int fetched_ = -1;            // the block that is
};

}  // namespace strata
