// SPDX-License-Identifier: Apache-2.0
#include "parallel/rank_place.h"

#include <algorithm>

#include "parallel/boundaries/context_batch.h"

namespace strata {
namespace {

Schedule or_one_stage(Schedule schedule, int micro_batches) {
  if (!schedule.ranks.empty()) return schedule;
  return {.micro_batches = micro_batches, .stage_rank = {0}, .ranks = {one_stage(micro_batches)}};
}

}  // namespace

RankPlace::RankPlace(World& world, const PlaceOptions& options, bool tied)
    : options_(options),
      mesh_(options.mesh, options.topology),
      rank_(world.rank()),
      split_{.parts = options.mesh.tp,
             .part = mesh_.coordinate(rank_, Axis::tp),
             .sequence = options.sequence && options.mesh.tp > 1,
             // Copies whose gradients are summed apart give the same bits wherever the two blocks lie.
             .twin_table =
                 tied && (options.mesh.pp > 1 || options.order == SumOrder::tree || options.group != 1)},
      partition_(options.partition, options.mesh.dp * options.mesh.cp) {
  options_.schedule = or_one_stage(options_.schedule, options.micro_batches);
  check(world.size() == mesh_.ranks(), "[place] a mesh of {} ranks in a job of {}", mesh_.ranks(),
        world.size());
  check(options_.schedule.num_ranks() == options.mesh.pp &&
            options_.schedule.micro_batches == options.micro_batches,
        "[place] a schedule of {} ranks and {} micro-batches for a pipeline of {} and {}",
        options_.schedule.num_ranks(), options_.schedule.micro_batches, options.mesh.pp,
        options.micro_batches);
  const auto group = [&](const char* purpose, Axis axis) {
    std::vector<int> members = mesh_.group(rank_, {axis});
    const LinkLevel level = mesh_.level(members);
    return world.group({purpose, std::move(members), level});
  };
  if (options.mesh.tp > 1) {
    tensor_ = group("tensor", Axis::tp);
    boundaries_ = std::make_unique<TensorBoundaries>(*tensor_, split_.sequence);
  }
  if (options.mesh.cp > 1) {
    context_ = group("context", Axis::cp);
    ring_ = std::make_unique<KvRing>(*context_);
  }
  if (mesh_.ranks() > 1 || options.order == SumOrder::tree || split_.twin_table)
    groups_ = std::make_unique<StateGroups>(world, mesh_, partition_, pipeline_peers(tied));
}

int RankPlace::data_rank() const { return groups_ ? groups_->data_rank() : 0; }

// Who has the stages next to ours, and the other end of a tied table.
std::vector<int> RankPlace::pipeline_peers(bool tied) const {
  const std::vector<int>& rank_of_stage = options_.schedule.stage_rank;
  const int own = mesh_.coordinate(rank_, Axis::pp);
  std::vector<int> peers;
  const auto pair = [&](int a, int b) {
    if (a == own && b != own) peers.push_back(b);
    if (b == own && a != own) peers.push_back(a);
  };
  for (size_t s = 0; s + 1 < rank_of_stage.size(); ++s) pair(rank_of_stage[s], rank_of_stage[s + 1]);
  if (tied) pair(rank_of_stage.front(), rank_of_stage.back());
  return peers;
}

RankOptions RankPlace::rank_options(const Model& model) const {
  const Schedule& schedule = options_.schedule;
  const ScheduleShape shape{.ranks = schedule.num_ranks(),
                            .virtual_stages = schedule.num_stages() / schedule.num_ranks(),
                            .micro_batches = schedule.micro_batches};
  return {.ranks = mesh_.ranks(),
          .partition = partition_,
          .pipeline = {.grids = schedule.ranks,
                       .stages = even_stages(static_cast<int>(model.spec.layers), shape),
                       .rank_of_stage = schedule.stage_rank},
          .pipeline_rank = mesh_.coordinate(rank_, Axis::pp),
          .order = options_.order,
          .gather_ahead = options_.gather_ahead,
          .boundaries = boundaries_ ? &boundaries_->set() : nullptr,
          .groups = groups_.get(),
          .keys = ring_ ? ring_.get() : &one_piece()};
}

int64_t RankPlace::sample(int micro_batch) const {
  // Ranks of a context axis share their samples.
  if (mesh_.size(Axis::cp) > 1)
    return int64_t{mesh_.coordinate(rank_, Axis::dp)} * options_.micro_batches + micro_batch;
  return partition_.sample(mesh_.coordinate(rank_, Axis::dp), micro_batch, options_.micro_batches);
}

Batch RankPlace::part_of(const Batch& batch) const {
  return context_ ? context_part(batch, context_->size(), context_->rank()) : batch;
}

int64_t RankPlace::whole_token(int64_t token, int64_t seq_len) const {
  return context_ ? context_token(token, seq_len, context_->size(), context_->rank()) : token;
}

}  // namespace strata
