// SPDX-License-Identifier: Apache-2.0
#include "parallel/volume_formulas.h"

#include "core/base/check.h"

namespace strata {

namespace {

// X(q-1)/q, exact when q divides X.
double all_but_own(double bytes, int64_t ranks) {
  check(ranks >= 1, "[volume] a group of {} ranks", ranks);
  return bytes * static_cast<double>(ranks - 1) / static_cast<double>(ranks);
}

double part(double whole, int64_t parts) { return whole / static_cast<double>(parts); }

}  // namespace

double all_gather_bytes(double bytes, int64_t ranks) { return all_but_own(bytes, ranks); }
double reduce_scatter_bytes(double bytes, int64_t ranks) { return all_but_own(bytes, ranks); }
double all_reduce_bytes(double bytes, int64_t ranks) { return 2 * all_but_own(bytes, ranks); }
double all_to_all_bytes(double bytes, int64_t ranks) { return all_but_own(bytes, ranks); }
double node_ingress_bytes(double bytes, int64_t nodes) { return all_but_own(bytes, nodes); }

PartitionVolume partition_volume(double parameters, const PartitionWays& partition,
                                 const PartitionWires& wires) {
  const auto& [alpha, beta, n] = partition;
  check(alpha >= 1 && beta % alpha == 0 && n % beta == 0,
        "[partition_volume] ({}, {}, {}): each must divide the next", alpha, beta, n);
  const double weights = wires.weights.bytes(parameters), gradients = wires.gradients.bytes(parameters);
  const int64_t replicas = n / beta;
  return {.gather = 2 * all_gather_bytes(weights, alpha),
          .reduce = reduce_scatter_bytes(gradients, beta),
          .replica_reduce = reduce_scatter_bytes(part(gradients, beta), replicas),
          .replica_gather = all_gather_bytes(part(weights, beta), replicas),
          .inner_gather = part(weights, alpha) - part(weights, beta)};
}

PartitionVolume kept_weights_volume(double parameters, const PartitionWays& partition,
                                    const PartitionWires& wires) {
  PartitionVolume volume = partition_volume(parameters, partition, wires);
  volume.gather /= 2;
  return volume;
}

double replicated_volume(double parameters, int64_t ranks, const Wire& gradients) {
  return all_reduce_bytes(gradients.bytes(parameters), ranks);
}

PartitionVolume sharded_replicas_volume(double parameters, int64_t group, int64_t ranks,
                                        const PartitionWires& wires) {
  check(group >= 1 && ranks % group == 0, "[sharded_replicas_volume] groups of {} in {} ranks", group, ranks);
  const int ways = narrow<int>(group);
  PartitionVolume volume = partition_volume(parameters, {ways, ways, ways}, wires);
  volume.replica_reduce = all_reduce_bytes(part(wires.gradients.bytes(parameters), group), ranks / group);
  return volume;
}

ZeroPlusPlusVolume zero_plus_plus_volume(double parameters, int64_t ranks, int64_t node,
                                         const Wire& forward_weights, const Wire& backward_weights,
                                         const Wire& gradients) {
  check(node >= 1 && ranks % node == 0, "[zero_plus_plus_volume] nodes of {} in {} ranks", node, ranks);
  const double reduced = gradients.bytes(parameters);
  return {.forward_gather = all_gather_bytes(forward_weights.bytes(parameters), ranks),
          .backward_gather = all_gather_bytes(backward_weights.bytes(parameters), node),
          .node_exchange = all_to_all_bytes(reduced, node),
          .world_exchange = all_to_all_bytes(part(reduced, node), ranks / node)};
}

// Under TP a boundary all-reduces; under SP the all-reduce is a gather on one side and a scatter on the
// other. So the bytes of a pass agree, and what re-gathering adds comes on top.
PassVolume tensor_parallel_layer_volume(double bytes, const TensorParallel& tp) {
  const double pass = 2 * all_reduce_bytes(bytes, tp.tp);
  const double again = tp.sequence_parallel && tp.regather ? 2 * all_gather_bytes(bytes, tp.tp) : 0;
  return {.forward = pass, .backward = pass + again + (tp.full_recompute ? pass : 0)};
}

PassVolume tensor_parallel_embedding_volume(double bytes, const TensorParallel& tp) {
  if (!tp.sequence_parallel) return {.forward = all_reduce_bytes(bytes, tp.tp), .backward = 0};
  return {.forward = reduce_scatter_bytes(bytes, tp.tp), .backward = all_gather_bytes(bytes, tp.tp)};
}

PassVolume tensor_parallel_head_volume(double bytes, const TensorParallel& tp) {
  if (!tp.sequence_parallel) return {.forward = 0, .backward = all_reduce_bytes(bytes, tp.tp)};
  const double again = tp.regather ? all_gather_bytes(bytes, tp.tp) : 0;
  return {.forward = all_gather_bytes(bytes, tp.tp), .backward = reduce_scatter_bytes(bytes, tp.tp) + again};
}

double vocabulary_loss_volume(double tokens, int64_t tp) { return 3 * all_reduce_bytes(4 * tokens, tp); }

PassVolume ring_attention_volume(double kv_bytes, double gradient_bytes, int64_t cp) {
  check(cp >= 1, "[ring_attention_volume] cp {}", cp);
  const auto hops = static_cast<double>(cp - 1);
  return {.forward = hops * 2 * kv_bytes, .backward = hops * 2 * (kv_bytes + gradient_bytes)};
}

PassVolume all_to_all_attention_volume(double q_bytes, double kv_bytes, int64_t cp) {
  const double pass = all_to_all_bytes(2 * q_bytes + 2 * kv_bytes, cp);
  return {.forward = pass, .backward = pass};
}

double expert_exchange_volume(double tokens, int64_t top_k, int64_t hidden, const Wire& wire, int64_t ep) {
  return all_to_all_bytes(wire.bytes(tokens * static_cast<double>(top_k * hidden)), ep);
}

double expected_remote_nodes(int64_t nodes, int64_t experts, int64_t top_k) {
  check(nodes >= 1 && experts % nodes == 0 && top_k >= 0 && top_k <= experts,
        "[expected_remote_nodes] {} of {} experts on {} nodes", top_k, experts, nodes);
  // C(X - X/n, k) / C(X, k), factor by factor: no choice falls on a given node.
  const int64_t elsewhere = experts - experts / nodes;
  double missed = 1;
  for (int64_t i = 0; i < top_k; ++i)
    missed *= static_cast<double>(elsewhere - i > 0 ? elsewhere - i : 0) / static_cast<double>(experts - i);
  return static_cast<double>(nodes - 1) * (1 - missed);
}

PassVolume pipeline_volume(std::span<const int> stage_rank, int rank, int64_t micro_batches, double bytes) {
  int64_t forward = 0, backward = 0;
  for (size_t stage = 1; stage < stage_rank.size(); ++stage) {
    if (stage_rank[stage - 1] == stage_rank[stage]) continue;
    forward += stage_rank[stage] == rank;
    backward += stage_rank[stage - 1] == rank;
  }
  const auto all = [&](int64_t messages) { return static_cast<double>(messages * micro_batches) * bytes; };
  return {.forward = all(forward), .backward = all(backward)};
}

}  // namespace strata
