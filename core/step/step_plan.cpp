// SPDX-License-Identifier: Apache-2.0
#include "core/step/step_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "core/base/error.h"
#include "core/program/verify.h"

namespace strata {
namespace {

// All but the embedding, whose forward is a look-up, and the head, which keeps nothing.
std::vector<int> recomputed_blocks(const Model& model) {
  std::vector<int> blocks(static_cast<size_t>(model.num_blocks() - 2));
  std::iota(blocks.begin(), blocks.end(), 1);
  return blocks;
}

// Every rank's stages, lowest first, one micro-batch.
Pipeline evaluation_of(Pipeline pipeline) {
  for (Grid& grid : pipeline.grids) grid.clear();
  for (size_t s = 0; s < pipeline.stages.size(); ++s)
    pipeline.grids[static_cast<size_t>(pipeline.rank_of_stage[s])].push_back(
        {CellKind::forward, static_cast<int16_t>(s), 0});
  return pipeline;
}

// Ranks plan apart from each other and must come to the same order.
class SharedCosts final : public CostModel {
 public:
  explicit SharedCosts(const ModelCosts& costs) : costs_(costs) {}
  int64_t bytes(const Value& value) const override { return costs_.bytes(value); }
  int64_t scratch_bytes(const Action& action) const override { return costs_.scratch_bytes(action); }
  double seconds(const Action& action) const override { return costs_.seconds_anywhere(action); }

 private:
  const ModelCosts& costs_;
};

StepPlanOptions completed(StepPlanOptions options, const Model& model) {
  options.tiers.through_host = options.target.kind == DeviceKind::cuda;
  Pipeline& pipeline = options.rank.pipeline;
  const int micro_batches = options.geometry.micro_batches;
  check(options.group >= 0, "[plan] groups of {} micro-batches", options.group);
  const int group = options.group == 0 ? micro_batches : options.group;
  check(options.group == 1 || pipeline.stages.size() <= 1,
        "[plan] groups of micro-batches in a pipeline of {} stages", pipeline.stages.size());
  if (group > 1) {
    pipeline.stages.clear();
    pipeline.grids = {by_blocks(model.num_blocks(), micro_batches, group)};
    for (int block = 0; block < model.num_blocks(); ++block) pipeline.stages.push_back({block, block + 1});
    pipeline.rank_of_stage.assign(pipeline.stages.size(), 0);
  }
  if (pipeline.grids.empty()) pipeline = {{one_stage(micro_batches)}, {{0, model.num_blocks()}}, {0}};
  return options;
}

}  // namespace

StepPlan::StepPlan(const Model& model, const StepPlanOptions& options)
    : model_(model),
      options_(completed(options, model)),
      linear_(options.linear ? *options.linear : plain_linear_op()),
      layout_(model, options.rule, linear_, options.target, options.rank.partition),
      exchange_(options.rank.groups ? std::make_unique<StateExchange>(model, layout_, *options.rank.groups)
                                    : nullptr),
      costs_(model, options.geometry, layout_, linear_, options.target, options.rates,
             {boundaries(), *options.rank.keys, exchange_.get()}, options.tiers, options.rule) {
  const Geometry& geometry = options.geometry;
  const RankOptions& rank = options_.rank;
  check(geometry.seq_len <= model.spec.max_positions,
        "[plan] sequences of {} tokens, the model has {} positions", geometry.seq_len,
        model.spec.max_positions);
  check(rank.ranks == 1 || exchange_, "[plan] {} ranks without groups", rank.ranks);
  StepOptions step{.order = rank.order,
                   .gather_ahead = rank.gather_ahead,
                   .tiers = options_.tiers,
                   .timing = options_.timing,
                   .ranks = rank.ranks};
  const SharedCosts shared(costs_);
  const std::vector<BlockInfo> infos = costs_.block_infos(options.rule != nullptr);
  evaluate_ = link_verified(
      make_pipeline(infos, 1, Goal::evaluate, evaluation_of(rank.pipeline), step, shared), SumOrder::any);
  if (!options.rule) return;
  if (options.recompute) step.recompute = recomputed_blocks(model);
  std::vector<Program> made =
      make_pipeline(infos, geometry.micro_batches, Goal::train, rank.pipeline, step, shared);
  train_ = options.given.empty() ? link_verified(std::move(made), rank.order)
                                 : link_given(std::move(options_.given), made);
  for (const Value& value : train().program.initial)
    check(train().home(value).offset == evaluate().home(value).offset,
          "[plan] {} moves between the two programs", to_string(value));
}

std::vector<LinkedProgram> StepPlan::link_verified(std::vector<Program> programs, SumOrder order) const {
  std::vector<LinkedProgram> linked;
  for (Program& program : programs)
    linked.push_back(link(std::move(program), costs_, {.budget = options_.limit}));
  require_verified(linked, {.order = order, .limit = options_.limit});
  return linked;
}

namespace {

[[noreturn]] void refuse(std::string what, std::string found, std::string expected) {
  throw Error(Fault::usage, {.what = std::move(what),
                             .found = std::move(found),
                             .expected = std::move(expected),
                             .fix = "print the programs of this configuration with `strata plan --dump`"});
}

std::set<int> peers(const Program& program) {
  std::set<int> ranks;
  for (const Action& action : program.list)
    if (action.peer >= 0) ranks.insert(action.peer);
  return ranks;
}

// What a text may change is the order of things and when memory ends, not the model, the layout of its state
// or who meets whom: communicators and shards were made for those.
void expect_same_frame(size_t rank, const Program& given, const Program& made) {
  const std::string what = fmt::format("the program of pipeline rank {} is of another run", rank);
  if (given.goal != made.goal || given.micro_batches != made.micro_batches || given.ranks != made.ranks)
    refuse(
        what,
        fmt::format("{} with {} micro-batches on {} ranks", name(given.goal), given.micro_batches,
                    given.ranks),
        fmt::format("{} with {} micro-batches on {} ranks", name(made.goal), made.micro_batches, made.ranks));
  if (given.blocks.size() != made.blocks.size())
    refuse(what, fmt::format("{} blocks", given.blocks.size()), fmt::format("{} blocks", made.blocks.size()));
  for (size_t b = 0; b < made.blocks.size(); ++b)
    if (given.blocks[b] != made.blocks[b])
      refuse(what, fmt::format("block {} has other properties", b), "those of this model and layout");
  if (given.initial != made.initial) refuse(what, "other initial values", "those of this model and layout");
  const std::set<int> meets = peers(given), may_meet = peers(made);
  if (!std::includes(may_meet.begin(), may_meet.end(), meets.begin(), meets.end()))
    refuse(what, fmt::format("messages with pipeline ranks {}", fmt::join(meets, ", ")),
           fmt::format("messages with {} alone", fmt::join(may_meet, ", ")));
}

}  // namespace

std::vector<LinkedProgram> StepPlan::link_given(std::vector<Program> given,
                                                std::span<const Program> made) const {
  if (given.size() != made.size())
    refuse("the programs are of another pipeline", fmt::format("programs of {} ranks", given.size()),
           fmt::format("{}, the ranks of the pipeline", made.size()));
  for (size_t rank = 0; rank < given.size(); ++rank) expect_same_frame(rank, given[rank], made[rank]);
  try {
    return link_verified(std::move(given), options_.rank.order);
  } catch (const ContractError& wrong) {
    throw Error(Fault::usage, {.what = "the given program would not do what a training step must do",
                               .found = wrong.what()});
  }
}

const LinkedProgram& StepPlan::train() const {
  check(!train_.empty(), "[plan] a plan without an update rule has no training program");
  return train_[static_cast<size_t>(options_.rank.pipeline_rank)];
}

int64_t StepPlan::arena_bytes(Tier tier) const {
  return std::max(train_.empty() ? 0 : train().memory[tier].arena, evaluate().memory[tier].arena);
}

std::vector<StoredValue> StepPlan::stored_values() const {
  std::vector<StoredValue> values;
  for (const Value& value : main().program.initial) {
    const int64_t bytes = costs_.bytes(value);
    if (value.tier != Tier::nvme || !persistent(value.cls) || value.cls == ValueClass::map || bytes == 0)
      continue;
    const bool changes = trains() && main().program.blocks[static_cast<size_t>(value.block)].trains();
    values.push_back({value, bytes, changes ? Lifetime::versioned : Lifetime::fixed});
  }
  std::set<uint64_t> seen;
  for (const PlannedBuffer& buffer : main().buffers)
    if ((buffer.begin >= 0 || !persistent(buffer.value.cls)) && buffer.value.tier == Tier::nvme &&
        buffer.bytes > 0 && seen.insert(key(buffer.value)).second)
      values.push_back({buffer.value, buffer.bytes, Lifetime::scratch});
  return values;
}

}  // namespace strata
