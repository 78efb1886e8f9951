// SPDX-License-Identifier: Apache-2.0
#include "tests/parallel/schedules/slow_judge.h"

#include <tuple>
#include <vector>

namespace strata {

namespace {

struct Node {
  CellKind kind;
  int stage, micro_batch;
  size_t rank, position;
};

// Whether `a` must have happened before `b` can.
bool directly_before(const Node& a, const Node& b, int stages) {
  if (a.rank == b.rank && a.position < b.position) return true;
  if (a.micro_batch != b.micro_batch) return false;
  const bool a_back = a.kind == CellKind::backward || a.kind == CellKind::backward_input;
  const bool b_back = b.kind == CellKind::backward || b.kind == CellKind::backward_input;
  if (a.kind == CellKind::forward && b.kind == CellKind::forward) return a.stage + 1 == b.stage;
  if (a.kind == CellKind::forward && b_back) return a.stage == b.stage && b.stage < stages;
  if (a_back && b_back) return a.stage == b.stage + 1;
  return a.kind == CellKind::backward_input && b.kind == CellKind::backward_weight && a.stage == b.stage;
}

}  // namespace

std::string slow_judge(const Schedule& schedule) {
  const int stages = static_cast<int>(schedule.stage_rank.size());
  if (stages == 0 || schedule.ranks.empty() || schedule.micro_batches < 1) return "empty";
  std::vector<Node> nodes;
  for (size_t rank = 0; rank < schedule.ranks.size(); ++rank)
    for (size_t i = 0; i < schedule.ranks[rank].size(); ++i) {
      const Cell& c = schedule.ranks[rank][i];
      nodes.push_back({c.kind, c.stage, c.micro_batch, rank, i});
    }

  size_t wanted = 0;
  for (int stage = 0; stage < stages; ++stage) {
    for (int mb = 0; mb < schedule.micro_batches; ++mb) {
      size_t count[4] = {};
      for (const Node& node : nodes)
        if (node.stage == stage && node.micro_batch == mb &&
            static_cast<int>(node.rank) == schedule.stage_rank[static_cast<size_t>(stage)])
          ++count[static_cast<size_t>(node.kind)];
      const auto [f, b, i, w] = std::tuple(count[0], count[1], count[2], count[3]);
      if (f != 1) return "forwards of a stage and micro-batch are not one";
      if (!(b == 1 && i == 0 && w == 0) && !(b == 0 && i == 1 && w == 1)) return "backwards are not one";
      wanted += f + b + i + w;
    }
  }
  if (wanted != nodes.size()) return "cells that no stage and micro-batch wants";
  for (size_t rank = 0; rank < schedule.ranks.size(); ++rank)
    if (schedule.ranks[rank].empty()) return "a rank without work";

  // Warshall's closure, a row of the relation as bytes.
  const size_t n = nodes.size();
  std::vector<std::vector<char>> before(n, std::vector<char>(n, 0));
  for (size_t a = 0; a < n; ++a)
    for (size_t b = 0; b < n; ++b) before[a][b] = directly_before(nodes[a], nodes[b], stages);
  for (size_t k = 0; k < n; ++k)
    for (size_t a = 0; a < n; ++a)
      if (before[a][k])
        for (size_t b = 0; b < n; ++b) before[a][b] |= before[k][b];
  for (size_t a = 0; a < n; ++a)
    if (before[a][a]) return "a cell that must come before itself";
  return "";
}

}  // namespace strata
