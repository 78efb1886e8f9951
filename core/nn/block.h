// SPDX-License-Identifier: Apache-2.0
// The unit of forward, both backwards, recomputation, sharding and paging. A block holds the description of
// its parameters, never their values nor activations: many micro-batches can be in flight.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/nn/context.h"
#include "core/nn/parameter.h"
#include "core/ops/loss_sum.h"

namespace strata {

// Values of a block's parameters, in the order of parameters(); a tied head sees the shared table behind its
// own.
using Weights = std::span<const LinearWeight>;  // packed layouts present where Parameter::multiplied

struct Gradients {
  std::span<const Tensor> tensors;  // f32, shapes of the parameters; absent where one is frozen
  Write write = Write::accumulate;
};

class Block {
 public:
  Block() = default;
  Block(const Block&) = delete;  // layers know their block's parameters by address
  Block& operator=(const Block&) = delete;
  virtual ~Block() = default;

  virtual std::string name() const = 0;
  std::span<const Parameter> parameters() const { return parameters_; }
  std::span<Parameter> parameters() { return parameters_; }  // to freeze some before planning

  // Legend: T tokens, D hidden. x, dy and the results are [T, D] in the compute dtype (with sequence
  // parallelism T is the rows behind Point::embed_out, this rank's part of them). Results and what is saved
  // come from the context's regions. The first block ignores x and reads ctx.batch.ids.
  virtual Tensor forward(Context& ctx, Weights weights, const Tensor& x) const = 0;
  // dy is the gradient of the result; returns that of x. Not called for the first block.
  virtual Tensor backward_input(Context& ctx, Weights weights, const Tensor& x, const Tensor& dy) const = 0;
  // Writes or adds the parameters' gradients.
  virtual void backward_weight(Context& ctx, const Gradients& gradients, const Tensor& x,
                               const Tensor& dy) const = 0;

 protected:
  std::vector<Parameter> parameters_;
};

// The last block: final norm, vocabulary matrix and loss, whose forward and backwards are one action because
// the logits exist only chunk by chunk.
class HeadBlock {
 public:
  virtual ~HeadBlock() = default;

  virtual std::string name() const = 0;
  std::span<const Parameter> parameters() const { return parameters_; }
  std::span<Parameter> parameters() { return parameters_; }  // to freeze some before planning

  // Adds the micro-batch's loss to *sum, writes or adds the gradients, returns dx. With loss scale
  // ctx.batch.loss_scale the gradients are those of the mean over the step's targets. *sum must live until
  // the work is done.
  virtual Tensor loss(Context& ctx, Weights weights, const Gradients& gradients, const Tensor& x,
                      LossSum* sum) const = 0;
  virtual void loss_only(Context& ctx, Weights weights, const Tensor& x, LossSum* sum) const = 0;
  // Logits of the given rows of x in f32: [rows, padded vocabulary held here], for sampling.
  virtual Tensor logits(Context& ctx, Weights weights, const Tensor& x) const = 0;

 protected:
  std::vector<Parameter> parameters_;
};

}  // namespace strata
