// SPDX-License-Identifier: Apache-2.0
#include "launch/bisect/step_recorder.h"

#include <algorithm>

#include "core/base/isa.h"
#include "core/step/bindings.h"
#include "parallel/layout.h"

namespace strata {
namespace {

bool is_integer(DType dtype) { return dtype != DType::f32 && dtype != DType::bf16 && dtype != DType::f64; }

// Elements in a row of a logical tensor.
int64_t width_of(const Shape& shape) { return shape.rank() == 2 ? shape[1] : shape.numel(); }

}  // namespace

StepRecorder::StepRecorder(const RankPlace& place, const StepPlan& plan, int rank, int64_t seq_len,
                           std::optional<RecordKey> watch)
    : place_(place), plan_(plan), rank_(rank), seq_len_(seq_len), watch_(std::move(watch)) {
  const Model& model = plan.model();
  for (int block = 0; block < model.num_blocks(); ++block)
    for (const Parameter& parameter : model.parameters(block))
      for (const LogicalTensor& piece : parameter.pieces) block_of_.try_emplace(piece.name, block);
  // With sequence parallelism a rank of the tensor axis has its share of the rows, in their order.
  const int64_t rows = plan.costs().activation_shape()[0];
  const int64_t first = place.split().sequence ? place.split().part * rows : 0;
  for (int64_t row = 0; row < rows; ++row) row_token_.push_back(place.whole_token(first + row, seq_len));
}

StepRecorder::Sum* StepRecorder::sum_of(const RecordKey& key, int holder, int64_t count, int64_t width,
                                        DType dtype) {
  if (watch_ && !(key == *watch_)) return nullptr;
  Sum& sum = sums_[{key, holder}];
  sum.count = count;
  sum.width = width;
  sum.integer = is_integer(dtype);
  return &sum;
}

void StepRecorder::add(Sum& sum, const Tensor& tensor, int64_t from, int64_t count, int64_t index) {
  each_element(tensor, from, count, static_cast<uint64_t>(index),
               [&](uint64_t at, uint64_t bits, double value) {
                 sum.summary.add(at, bits, value);
                 if (watch_) sum.elements.push_back({at, bits, value});
               });
}

void StepRecorder::add_rect(const RecordKey& key, int holder, const std::string& action, const Tensor& tensor,
                            int64_t from, const Shape& shape, const Rect& held) {
  if (held.numel() == 0) return;
  Sum* const sum = sum_of(key, holder, shape.numel(), width_of(shape), tensor.dtype());
  if (!sum) return;
  sum->action = action;
  const bool matrix = shape.rank() == 2;
  const int64_t rows = matrix ? held.extent[0] : 1, width = width_of(held.extent);
  for (int64_t row = 0; row < rows; ++row)
    add(*sum, tensor, from + row * width, width,
        matrix ? (held.begin[0] + row) * shape[1] + held.begin[1] : held.begin[0]);
}

void StepRecorder::add_scalar(Quantity quantity, double value) {
  if (Sum* const sum = sum_of({.step = step_, .quantity = quantity}, 0, 1, 1, DType::f64))
    add(*sum, Tensor::borrow(&value, DType::f64, {1}), 0, 1, 0);
}

void StepRecorder::add_activation(const Invocation& invocation, Quantity quantity, int block, ValueClass cls,
                                  int value_block) {
  const Operand* const operand = invocation.find(cls, value_block);
  if (!operand) return;
  const Shape shape = plan_.costs().activation_shape();
  const Tensor values = Tensor::borrow(invocation.bytes_of(*operand).data, plan_.model().compute, shape);
  const int64_t width = shape[1];
  const int64_t first_sequence = place_.sample(invocation.action().micro_batch) * plan_.geometry().rows;
  const std::string action = to_string(invocation.action());
  const std::lock_guard lock(mutex_);
  for (int64_t row = 0; row < shape[0]; ++row) {
    const int64_t token = row_token_[static_cast<size_t>(row)];
    Sum* const sum = sum_of(
        {.step = step_, .quantity = quantity, .block = block, .sequence = first_sequence + token / seq_len_},
        0, seq_len_ * width, width, values.dtype());
    if (!sum) continue;
    sum->action = action;
    add(*sum, values, row * width, width, token % seq_len_ * width);
  }
}

// Whole, as the block reads them: behind every gather, and every copy that data ranks have.
void StepRecorder::add_weights(const Invocation& invocation) {
  const int user = invocation.action().block;
  const Model& model = plan_.model();
  const std::string action = to_string(invocation.action());
  const std::lock_guard lock(mutex_);
  if (!used_.insert(user).second) return;
  for (const Operand& operand : invocation.operands()) {
    if (operand.value.cls != ValueClass::weight || operand.value.level != 0) continue;
    const int block = operand.value.block;
    const auto parameters = model.parameters(block);
    // Of the block it is tied to, a head reads the table alone.
    const size_t count = block == user ? parameters.size() : 1;
    for (size_t i = 0; i < count; ++i) {
      if (parameters[i].format != WeightFormat::none) continue;  // codes, which no step changes
      const Tensor flat =
          weight_shard(plan_.layout(), block, i, 0, Device{}, invocation.bytes_of(operand).data);
      if (flat.dtype() == DType::f8e4m3) continue;  // gathered as codes
      const int64_t width = parameters[i].shape.numel() / std::max<int64_t>(parameters[i].shape[0], 1);
      for (const LogicalTensor& piece : parameters[i].pieces)
        add_rect({.step = step_, .quantity = Quantity::weight_used, .block = user, .tensor = piece.name}, 0,
                 action, flat, piece.first_row * width, piece.shape, piece.held);
    }
  }
}

void StepRecorder::begin_step(int64_t step, std::span<const Batch> batches) {
  const std::lock_guard lock(mutex_);
  step_ = step;
  used_.clear();
  for (size_t i = 0; i < batches.size(); ++i) {
    const Batch& batch = batches[i];
    const int64_t first = place_.sample(static_cast<int>(i)) * batch.rows;
    const auto add_ids = [&](Quantity quantity, const std::vector<int32_t>& ids) {
      const Tensor values =
          Tensor::borrow(const_cast<int32_t*>(ids.data()), DType::i32, {static_cast<int64_t>(ids.size())});
      for (int64_t at = 0; at < values.numel(); ++at) {
        const int64_t token = place_.whole_token(at, seq_len_);
        const RecordKey key{.step = step, .quantity = quantity, .sequence = first + token / seq_len_};
        if (Sum* const sum = sum_of(key, 0, seq_len_, seq_len_, DType::i32))
          add(*sum, values, at, 1, token % seq_len_);
      }
    };
    add_ids(Quantity::token, batch.tokens);
    add_ids(Quantity::target, batch.targets);
    add_ids(Quantity::position, batch.positions);
  }
}

void StepRecorder::inspect(const Invocation& invocation) {
  const Action& a = invocation.action();
  switch (a.kind) {
    case Kind::forward:
      add_weights(invocation);
      return add_activation(invocation, Quantity::output, a.block, ValueClass::x, a.block + 1);
    case Kind::loss:
      add_weights(invocation);
      return add_activation(invocation, Quantity::input_gradient, a.block, ValueClass::dx, a.block);
    case Kind::backward_input:
      return add_activation(invocation, Quantity::input_gradient, a.block, ValueClass::dx, a.block);
    case Kind::receive:
      // x comes to the block that reads it; a gradient of x to the block before, whose output x is.
      if (a.cls == ValueClass::x)
        return add_activation(invocation, Quantity::received_input, a.block, a.cls, a.block);
      return add_activation(invocation, Quantity::received_gradient, a.block - 1, a.cls, a.block);
    default:
      return;
  }
}

void StepRecorder::add_state(const StepRunner& runner, bool gradients) {
  const std::lock_guard lock(mutex_);
  // Which of the rank's copies of a name a rectangle belongs to: those of one block follow one another, and a
  // twin's begin where the name comes back.
  std::map<std::string, int> holder;
  std::string last;
  for (const LogicalState& state : runner.logical_states()) {
    if (state.name != last) ++holder[state.name];
    last = state.name;
    const auto put = [&](Quantity quantity, std::string tensor, const Tensor& values) {
      if (values)
        add_rect({.step = step_,
                  .quantity = quantity,
                  .block = block_of_.at(state.name),
                  .tensor = std::move(tensor)},
                 holder[state.name], "", values, 0, state.shape, state.held);
    };
    if (gradients) {
      put(Quantity::gradient, state.name, state.gradient);
      continue;
    }
    if (state.format == WeightFormat::none) put(Quantity::weight, state.name, state.weight);
    // (Codes are no numbers: what they stand for shows in the next step's weights.)
    for (size_t slot = 0; slot < state.state.size(); ++slot)
      if (plan_.rule()->slots()[slot].element_wise())
        put(Quantity::state, state.name + "/" + plan_.rule()->slots()[slot].name, state.state[slot]);
  }
}

void StepRecorder::clip(const StepRunner& runner) { add_state(runner, true); }

void StepRecorder::end_step(const StepRunner& runner, const StepScalars& sums) {
  add_state(runner, false);
  add_scalar(Quantity::loss, sums.loss.value());
  add_scalar(Quantity::gradient_norm, sums.grad_norm);
  add_scalar(Quantity::clip_coefficient, sums.skip ? 0 : static_cast<double>(sums.coefficient));
}

std::map<RecordKey, RecordEntry> StepRecorder::take() {
  std::map<RecordKey, RecordEntry> entries;
  for (auto& [source, sum] : sums_) {
    RecordEntry& entry = entries[source.key];
    entry.count = sum.count;
    entry.width = sum.width;
    entry.integer = sum.integer;
    entry.add({.ranks = {rank_}, .action = sum.action, .summary = sum.summary});
  }
  if (!watch_) sums_.clear();
  return entries;
}

std::vector<WatchedPart> StepRecorder::take_watched() {
  std::vector<WatchedPart> parts;
  for (auto& [source, sum] : sums_)
    parts.push_back({.rank = rank_, .action = sum.action, .elements = std::move(sum.elements)});
  return parts;
}

RunHeader run_header(const Config& config, const RankPlace& place, const StepPlan& plan) {
  const PlaceOptions& options = place.options();
  const MeshSizes& mesh = options.mesh;
  const Model& model = plan.model();
  const int stages = options.schedule.num_stages();
  RunHeader header{.name = config.run.name,
                   .batch = fmt::format("{} micro-batches of {} x {}", place.samples_per_step(),
                                        plan.geometry().rows, config.data.seq_len),
                   .ordered = options.order == SumOrder::tree,
                   .compute = std::string(name(model.compute)),
                   .isa = std::string(name(active_isa()))};
  header.layout =
      fmt::format("{}{}{}, partition {}/{}/{}", to_string(mesh, stages / mesh.pp),
                  place.split().sequence ? ", sequence parallel" : "",
                  stages > 1 ? ", schedule " + config.parallel.schedule : "", options.partition.weights,
                  options.partition.gradients, options.partition.state);
  for (int block = 0; block < model.num_blocks(); ++block) header.blocks.push_back(model.block_name(block));
  for (int rank = 0; rank < place.mesh().ranks(); ++rank) header.ranks.push_back(place.mesh().describe(rank));
  return header;
}

}  // namespace strata
