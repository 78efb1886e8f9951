// SPDX-License-Identifier: Apache-2.0
// Bytes a rank receives, by closed formula: the expectation that byte counters are compared with. Every
// function takes what one rank holds or makes; results are exact while whole and below 2^53. "Whole" buffers
// are padded to a multiple of the group by the caller.
#pragma once

#include <cstdint>
#include <span>

#include "parallel/memory_formulas.h"

namespace strata {

// ---- one operation over a group of `ranks`
// ------------------------------------------------------------------------ `bytes` is the whole buffer for
// all-gather and reduce-scatter, the local one for the others; rings.
double all_gather_bytes(double bytes, int64_t ranks);      // X(q-1)/q
double reduce_scatter_bytes(double bytes, int64_t ranks);  // X(q-1)/q
double all_reduce_bytes(double bytes, int64_t ranks);      // 2X(q-1)/q
double all_to_all_bytes(double bytes, int64_t ranks);      // X(q-1)/q, equal parts for every rank

// What an element costs on the wire: its own bytes and its share of its block's scale.
struct Wire {
  double element = 2;       // bytes; 0.5 for int4
  int64_t scale_block = 0;  // elements per scale; 0: no scales
  double scale = 4;         // bytes of one scale

  double bytes(double elements) const {
    return elements * element + (scale_block == 0 ? 0 : elements / static_cast<double>(scale_block) * scale);
  }
};

// ---- data parallelism: a model of so many parameters
// ---------------------------------------------------------- Partition (alpha, beta, N) of
// core/step/partition.h, hop by hop. Every hop is one group; its link level is the mesh's to say.
struct PartitionVolume {
  // per micro-batch
  double gather = 0;  // weights over alpha, for forward and again for backward
  double reduce = 0;  // gradients over beta
  // once per optimizer step
  double replica_reduce = 0;  // gradient shards over the N/beta ranks that hold the same shard
  double replica_gather = 0;  // updated weights back over the same ranks
  double inner_gather = 0;    // updated weights from 1/beta to 1/alpha

  double per_micro_batch() const { return gather + reduce; }
  double per_step() const { return replica_reduce + replica_gather + inner_gather; }
};

struct PartitionWires {
  Wire weights;
  Wire gradients;
};

// Gradients reduced with every micro-batch where beta > 1. ZeRO-2 with local accumulation reduces once a step
// instead: its volume is that of (1, 1, N).
PartitionVolume partition_volume(double parameters, const PartitionWays& partition,
                                 const PartitionWires& wires = {});

// Weights gathered for the forward are kept for the backward: half the gathers of partition_volume().
PartitionVolume kept_weights_volume(double parameters, const PartitionWays& partition,
                                    const PartitionWires& wires = {});

// Gradients all-reduced once a step, nothing sharded: per step.
double replicated_volume(double parameters, int64_t ranks, const Wire& gradients = {});

// HSDP and MiCS: everything sharded over q ranks, the N/q groups replicas that all-reduce their shards. The
// result's replica_reduce is that all-reduce; there is nothing to gather back.
PartitionVolume sharded_replicas_volume(double parameters, int64_t group, int64_t ranks,
                                        const PartitionWires& wires = {});

// ZeRO++ (Wang et al. 2023) over N ranks, g of them in a node, per micro-batch: quantized gather of weights
// for the forward (qwZ), gather of a second copy within the node for the backward (hpZ), two-hop quantized
// reduction (qgZ).
struct ZeroPlusPlusVolume {
  double forward_gather = 0;   // over all ranks
  double backward_gather = 0;  // in the node
  double node_exchange = 0;    // gradients, all-to-all in the node
  double world_exchange = 0;   // gradients, all-to-all across the nodes, of a g-th
};
ZeroPlusPlusVolume zero_plus_plus_volume(double parameters, int64_t ranks, int64_t node,
                                         const Wire& forward_weights, const Wire& backward_weights,
                                         const Wire& gradients);

// What a node receives when a ring over n whole nodes gathers or scatters `bytes` (ranks of a node adjacent).
double node_ingress_bytes(double bytes, int64_t nodes);  // X(1-1/n)

// ---- tensor and sequence parallelism
// ---------------------------------------------------------------------------- `bytes` is x = s*b*h*B: the
// layer's activation of one micro-batch, whole. t ranks.
struct TensorParallel {
  int64_t tp = 1;
  bool sequence_parallel = false;
  bool regather = true;         // SP: the sharded inputs are gathered again for the weights' gradients
  bool full_recompute = false;  // the layer's forward runs again before its backward
};

struct PassVolume {
  double forward = 0, backward = 0;

  double total() const { return forward + backward; }
};

// One layer (attention and MLP): TP 8x(t-1)/t in all, TP+SP the same and 2x(t-1)/t more when re-gathering.
PassVolume tensor_parallel_layer_volume(double bytes, const TensorParallel& tp);

// Once per micro-batch. TP: the embedding all-reduces forward, the head's input backward. TP+SP: the
// embedding reduce-scatters and gathers, the head's input gathers (again for its weight's gradient when
// re-gathering) and reduce-scatters.
PassVolume tensor_parallel_embedding_volume(double bytes, const TensorParallel& tp);
PassVolume tensor_parallel_head_volume(double bytes, const TensorParallel& tp);
// The vocabulary-parallel loss of so many tokens: three all-reduces of one fp32 per token.
double vocabulary_loss_volume(double tokens, int64_t tp);

// ---- context parallelism
// ------------------------------------------------------------------------------------------ Ring attention,
// one layer: keys and values (one of them of `kv_bytes` on a rank, b*(s/c)*h_kv*B) go once around, and once
// more in the backward with their gradients, of `gradient_bytes` each.
PassVolume ring_attention_volume(double kv_bytes, double gradient_bytes, int64_t cp);
// All-to-alls of q, k, v and back of o, one layer; bytes of q (as of o) and of k (as of v) on a rank.
PassVolume all_to_all_attention_volume(double q_bytes, double kv_bytes, int64_t cp);

// ---- experts
// ------------------------------------------------------------------------------------------------------ One
// exchange (dispatch or combine) under uniform routing without removing duplicates: T tokens of a rank, k
// experts each, h elements. A layer has four: dispatch and combine, forward and backward.
double expert_exchange_volume(double tokens, int64_t top_k, int64_t hidden, const Wire& wire, int64_t ep);
// Expected number of other nodes among n that hold one of the k distinct experts of a token, X experts spread
// evenly and all choices alike.
double expected_remote_nodes(int64_t nodes, int64_t experts, int64_t top_k);

// ---- pipeline
// -----------------------------------------------------------------------------------------------------
// Activations and gradients a rank receives in a step, of `bytes` each (s*b*h*B, over c, and over t under
// SP): whatever its stages' neighbours on other ranks send. Over all ranks m(pv-1) each way when stage s is
// on rank s%p.
PassVolume pipeline_volume(std::span<const int> stage_rank, int rank, int64_t micro_batches, double bytes);

}  // namespace strata
