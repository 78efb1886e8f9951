// SPDX-License-Identifier: Apache-2.0
// Runs the code of a model on one rank, forward and backward, on the meta device or for real. Memory is what
// the meta run measured, action by action, to the byte.
#pragma once

#include <string>
#include <vector>

#include "core/device/meta_stream.h"
#include "core/nn/batch.h"
#include "core/nn/model.h"
#include "parallel/boundaries/kv_ring.h"
#include "parallel/boundaries/tensor_boundaries.h"

namespace strata {

// Bytes of a block's values and of its actions' working memory.
struct BlockSizes {
  int64_t output = 0, saved_input = 0, saved_weight = 0, deferred = 0, dx = 0;
  int64_t forward = 0, backward_input = 0, backward_weight = 0;
};

// Work of a block's actions, as the meta device counts it; of the head, forward is its loss.
struct BlockWork {
  WorkCount forward, backward_input, backward_weight;
};

struct RankPlan {
  std::vector<BlockSizes> sizes;
  std::vector<BlockWork> work;
};

// Element `at` of a logical tensor: gains around one, everything else around zero, nothing left at its
// initial value (a bias of zero would hide a bias that is added twice).
float test_value(const LogicalTensor& piece, int64_t at);

// Calls visit(element of the whole, element of what is held) for every element held.
template <typename Visit>
void for_held(const LogicalTensor& piece, Visit&& visit) {
  const Rect& held = piece.held;
  const bool matrix = piece.shape.rank() == 2;
  const int64_t width = matrix ? held.extent[1] : 1, whole = matrix ? piece.shape[1] : 1;
  for (int64_t i = 0; i < held.numel(); ++i)
    visit((held.begin[0] + i / width) * whole + (matrix ? held.begin[1] : 0) + i % width, i);
}

class RankModel {
 public:
  // `batch` is the rank's part; the loss is scaled by the targets of the whole.
  RankModel(const Model& model, const Batch& batch, int64_t all_targets, Stream& stream);

  // Weights by test_value. The part of the tensor `shifted` is taken one row later than it should.
  void load(const std::string& shifted);

  // Forward, loss, the gradients of all inputs, then of all weights. On the meta device it fills the plan,
  // elsewhere it uses it.
  LossSum run(const BoundarySet& boundaries, const KvExchange& keys, RankPlan& plan);

  // Where a run used less memory than was planned; more would have thrown.
  const std::vector<std::string>& faults() const { return faults_; }
  const Model& model() const { return model_; }
  const Tensor& gradient(int block, size_t parameter) const {
    return gradients_[static_cast<size_t>(block)][parameter];
  }

 private:
  class Values;
  struct Action;
  bool meta() const { return stream_.device().kind == DeviceKind::meta; }
  Tensor tensor(DType dtype, const Shape& shape);
  void make_parameters(int block);
  template <typename Body>
  void run_action(const Action& action, Body&& body);

  const Model& model_;
  Stream& stream_;
  std::shared_ptr<Allocator> allocator_;
  Batch host_;
  std::vector<std::vector<AttentionSegment>> visits_;
  TokenBatch batch_;
  RopeTable rope_;
  std::vector<std::vector<LinearWeight>> weights_;
  std::vector<std::vector<Tensor>> gradients_;
  std::vector<Tensor> packed_;
  std::vector<std::string> faults_;
};

}  // namespace strata
