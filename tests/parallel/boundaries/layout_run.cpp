// SPDX-License-Identifier: Apache-2.0
#include "tests/parallel/boundaries/layout_run.h"

#include <gtest/gtest.h>

#include <cmath>
#include <mutex>

#include "core/base/hash.h"
#include "core/dist/mesh.h"
#include "core/nn/initial_values.h"
#include "parallel/boundaries/context_batch.h"
#include "parallel/comm/plan_world.h"
#include "parallel/comm/thread_world.h"

namespace strata {
namespace {

// Where the ranks of a job meet, or those of a plan would.
struct Seams {
  Seams(World& world, const Mesh& mesh, bool sequence)
      : tensor(world.group({"tensor", mesh.group(world.rank(), {Axis::tp}), LinkLevel::node})),
        context(world.group({"context", mesh.group(world.rank(), {Axis::cp}), LinkLevel::rail})),
        bound(*tensor, sequence),
        ring(*context),
        boundaries(bound.set()) {}

  std::unique_ptr<Communicator> tensor, context;
  TensorBoundaries bound;
  KvRing ring;
  BoundarySet boundaries;
};

Mesh mesh_of(const TestLayout& layout) { return Mesh({.cp = layout.cp, .tp = layout.tp}); }

Split split_of(const TestLayout& layout, int rank) {
  return {
      .parts = layout.tp, .part = mesh_of(layout).coordinate(rank, Axis::tp), .sequence = layout.sequence};
}

RankPlan plan_rank(const Model& model, const Batch& part, const TestLayout& layout, int rank) {
  const Mesh mesh = mesh_of(layout);
  const auto world = make_plan_world(rank, mesh.ranks());
  const Seams seams(*world, mesh, layout.sequence);
  MetaStream stream({DeviceKind::cpu, 0});
  RankPlan plan;
  RankModel(model, part, 1, stream).run(seams.boundaries, seams.ring, plan);
  return plan;
}

// Puts the gradients of the ranks together as their placements say; the tokens of a context axis add up.
class Assembly {
 public:
  void add(const RankModel& rank, int tensor_rank, int context_rank, bool forget_partial) {
    faults_.insert(faults_.end(), rank.faults().begin(), rank.faults().end());
    using Kind = AxisPlacement::Kind;
    for (int block = 0; block < rank.model().num_blocks(); ++block) {
      const auto parameters = rank.model().parameters(block);
      for (size_t i = 0; i < parameters.size(); ++i) {
        const Kind kind = parameters[i].gradient.kind;
        for (const LogicalTensor& piece : parameters[i].pieces) {
          const auto values = rows_of(piece, rank.gradient(block, i)).span<const float>();
          auto& whole = gradients_[piece.name];
          whole.resize(static_cast<size_t>(piece.shape.numel()));
          if (tensor_rank == 0 || kind == Kind::shard || (kind == Kind::partial && !forget_partial))
            for_held(piece, [&](int64_t at, int64_t element) {
              whole[static_cast<size_t>(at)] += values[static_cast<size_t>(element)];
            });
          if (kind == Kind::replicate) compare_replica(piece.name, context_rank, values);
        }
      }
    }
  }
  const std::vector<std::string>& faults() const { return faults_; }
  std::map<std::string, std::vector<float>> take() const {
    std::map<std::string, std::vector<float>> result;
    for (const auto& [name, values] : gradients_) result[name].assign(values.begin(), values.end());
    return result;
  }

 private:
  void compare_replica(const std::string& name, int context_rank, std::span<const float> values) {
    const auto [first, is_first] = replicas_.try_emplace({name, context_rank}, values.begin(), values.end());
    if (!is_first && !std::equal(values.begin(), values.end(), first->second.begin()))
      faults_.push_back(name + " is not the same on all ranks");
  }

  std::vector<std::string> faults_;
  std::map<std::string, std::vector<double>> gradients_;
  std::map<std::pair<std::string, int>, std::vector<float>> replicas_;
};

}  // namespace

std::string to_string(const TestLayout& layout) {
  std::string text = "tp" + std::to_string(layout.tp);
  if (layout.sequence) text += "_sp";
  if (layout.cp > 1) text += "_cp" + std::to_string(layout.cp);
  if (layout.mode == CpuStream::Mode::threaded) text += "_threaded";
  return text;
}

Outcome run_layout(const ModelSpec& spec, DType compute, const Batch& batch, const TestLayout& layout,
                   const Sabotage& sabotage) {
  const Mesh mesh = mesh_of(layout);
  Assembly assembly;
  std::mutex mutex;
  std::vector<LossSum> losses(static_cast<size_t>(mesh.ranks()));
  run_ranks(mesh.ranks(), [&](World& world) {
    const int rank = world.rank(), tp = mesh.coordinate(rank, Axis::tp), cp = mesh.coordinate(rank, Axis::cp);
    const Model model = make_model(spec, compute, split_of(layout, rank));
    const Batch part = context_part(batch, layout.cp, cp);
    RankPlan plan = plan_rank(model, part, layout, rank);
    Seams seams(world, mesh, layout.sequence);
    sabotage.boundaries(seams.boundaries);
    WorkerPool pool(1);
    CpuStream stream(pool, layout.mode);
    RankModel run(model, part, batch.num_targets, stream);
    run.load(sabotage.shifted);
    losses[static_cast<size_t>(rank)] = run.run(seams.boundaries, seams.ring, plan);
    const std::lock_guard lock(mutex);
    assembly.add(run, tp, cp, sabotage.forget_partial);
  });
  // The ranks of a tensor axis agree on the loss; those of a context axis have seen different tokens.
  Outcome outcome{.gradients = assembly.take(), .faults = assembly.faults()};
  LossSum all;
  for (int rank = 0; rank < mesh.ranks(); ++rank) {
    const LossSum& sum = losses[static_cast<size_t>(rank)];
    const LossSum& first = losses[static_cast<size_t>(mesh.neighbour(rank, Axis::tp, 0))];
    if (sum.value() != first.value() || sum.targets != first.targets)
      outcome.faults.push_back("the loss is not the same on all ranks");
    if (mesh.coordinate(rank, Axis::tp) != 0) continue;
    all.add(sum);
  }
  outcome.loss = all.mean();
  outcome.targets = all.targets;
  return outcome;
}

RankPlan plan_layout(const ModelSpec& spec, DType compute, const Batch& batch, const TestLayout& layout,
                     int rank) {
  const Model model = make_model(spec, compute, split_of(layout, rank));
  const int cp = mesh_of(layout).coordinate(rank, Axis::cp);
  return plan_rank(model, context_part(batch, layout.cp, cp), layout, rank);
}

Batch packed_batch(int64_t rows, int64_t seq_len, int64_t vocab) {
  Batch batch{.rows = rows, .seq_len = seq_len};
  uint64_t state = 1;
  auto draw = [&](int64_t below) {
    state = mix64(state);
    return static_cast<int32_t>(state % static_cast<uint64_t>(below));
  };
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t begin = 0; begin < seq_len;) {
      const int64_t length = row == 0 ? seq_len : std::min<int64_t>(seq_len - begin, 1 + draw(seq_len / 2));
      batch.segment_begin.push_back(static_cast<int32_t>(row * seq_len + begin));
      for (int64_t t = 0; t < length; ++t) {
        batch.tokens.push_back(draw(vocab));
        batch.targets.push_back(batch.tokens.size() % 7 == 0 ? kNoTarget : draw(vocab));
        batch.positions.push_back(static_cast<int32_t>(t));
        batch.num_targets += batch.targets.back() != kNoTarget;
      }
      begin += length;
    }
  batch.segment_begin.push_back(static_cast<int32_t>(rows * seq_len));
  return batch;
}

Distance farthest(const Outcome& outcome, const Outcome& expected) {
  double all = 0;
  for (const auto& [name, values] : expected.gradients)
    for (const float value : values) all += static_cast<double>(value) * value;
  EXPECT_EQ(outcome.gradients.size(), expected.gradients.size());
  Distance worst;
  for (const auto& [name, values] : expected.gradients) {
    const std::vector<float>& got = outcome.gradients.at(name);
    double distance = 0, size = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      distance += std::pow(static_cast<double>(got[i]) - values[i], 2);
      size += std::pow(static_cast<double>(values[i]), 2);
    }
    double relative = std::sqrt(distance / std::max(size, all / 1e4));
    if (std::isnan(relative)) relative = INFINITY;
    if (relative >= worst.relative) worst = {relative, name};
  }
  return worst;
}

}  // namespace strata
