// SPDX-License-Identifier: Apache-2.0
// How an optimizer meets the rest of Strata. A rule is element-wise (or declares that it is not), owns no
// memory and names the state it needs; where that state lives, how it is sharded and when it moves is not its
// business.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/device/stream.h"
#include "core/tensor/tensor.h"

namespace strata {

// How a slot of codes and the slot behind it, of what blocks of codes share, keep numbers. On the host, of
// whole blocks from the first on. What is decoded and encoded again is the same number; everything else that
// is encoded becomes the nearest one. Every number that can be kept is a bf16 number.
struct SlotCodec {
  void (*decode)(const uint8_t* codes, const uint8_t* shared, int64_t count, float* values);
  void (*encode)(const float* values, int64_t count, uint8_t* codes, uint8_t* shared);
};

// One array of state, with an entry for each element of the parameter or for each block of `per` elements
// (the last one may be short). Names are what checkpoints call them.
struct StateSlot {
  std::string name;  // "master", "master_low", "moment1", "moment2"
  DType dtype = DType::f32;
  int64_t per = 1;
  const SlotCodec* codec = nullptr;  // of codes: they mean something together with the next slot

  int64_t entries(int64_t elements) const { return (elements + per - 1) / per; }
  bool element_wise() const { return per == 1 && !codec; }  // an entry is a number by itself
};

// Elements that a span of a parameter must be whole blocks of, but for the parameter's end.
inline int64_t block_of(std::span<const StateSlot> slots) {
  int64_t block = 1;
  for (const StateSlot& slot : slots) block = std::max(block, slot.per);
  return block;
}

// What changes from parameter to parameter and from step to step.
struct UpdateScalars {
  float learning_rate = 0;
  float weight_decay = 0;    // 0 for parameters of an excluded group
  float gradient_scale = 1;  // clip coefficient, multiplied into the gradient
  int64_t step = 1;          // 1 for the first update: bias corrections need it
  RandomKey key;             // for rules that round stochastically; stream = the parameter's
  uint64_t first_index = 0;  // global index of element 0 of the span, for the same purpose
};

// A whole matrix among the elements of a span: `rows` of `columns` from element `begin` on.
struct MatrixSpan {
  int64_t begin = 0, rows = 0, columns = 0;
  int64_t elements() const { return rows * columns; }
};

// One contiguous span of a parameter. `weight` is the weight the model computes with (f32 or bf16), updated
// in place; `grad` is f32; `state` is in the order of slots(). All have as many elements, slots of blocks as
// many as there are blocks: the span begins at one.
struct UpdateSpan {
  Tensor weight;
  Tensor grad;
  std::span<const Tensor> state;
  UpdateScalars scalars;
  // For rules that are not element-wise: the matrices of a layer's parameter, which the span holds whole and
  // which cover it; empty for embeddings, the head, adapters and vectors.
  std::span<const MatrixSpan> matrices = {};
};

class UpdateRule {
 public:
  virtual ~UpdateRule() = default;

  virtual std::string name() const = 0;
  virtual DType weight_dtype() const = 0;  // dtype of UpdateSpan::weight under this rule's state format
  virtual std::span<const StateSlot> slots() const = 0;

  // False: an element's step depends on others of its matrix. Parameters are then not to be split over ranks.
  virtual bool element_wise() const { return true; }

  // Makes the state (and the weight as the model sees it) of a parameter from its f32 values. `values` and
  // the outputs are of as many elements; moments become zero.
  virtual void initialize(Stream& stream, const Tensor& values, const Tensor& weight,
                          std::span<const Tensor> state) const = 0;
  // The f32 values again: what a checkpoint keeps. Exactly the numbers the rule steps from. Only slots that
  // hold them are looked at (names that begin with "master").
  virtual void export_values(Stream& stream, const Tensor& weight, std::span<const Tensor> state,
                             const Tensor& values) const = 0;

  // One optimizer step. Asynchronous on `stream`.
  virtual void update(Stream& stream, const UpdateSpan& span) const = 0;
};

}  // namespace strata
