// SPDX-License-Identifier: Apache-2.0
// Memory per rank by closed formula, in bytes: what planners are compared with and papers publish. Numbers
// are doubles: exact while results are whole and below 2^53. A plan's own memory comes from its linked
// programs.
#pragma once

#include <cstdint>

#include "core/step/partition.h"

namespace strata {

// ---- state
// ---------------------------------------------------------------------------------------------------- Bytes
// of one parameter, by class of state. The default is mixed-precision Adam: bf16 weight and gradient, fp32
// master and moments.
struct ParameterBytes {
  double weight = 2;
  double gradient = 2;
  double optimizer = 12;
};

// Rajbhandari et al. 2020 and its generalisation to (alpha, beta, N): 2P/alpha + 2P/beta + 12P/N. ZeRO-1 is
// (1, 1, N), ZeRO-2 (1, N, N), ZeRO-3 (N, N, N), HSDP and MiCS (q, q, q), hybrid (q, q, N).
double state_bytes(double parameters, const PartitionWays& partition, const ParameterBytes& bytes = {});

// ---- activations
// ---------------------------------------------------------------------------------------------- Korthikanti
// et al. 2022: a GPT layer in bf16 with dropout and plain attention.
struct ActivationShape {
  int64_t seq = 1;          // s
  int64_t micro_batch = 1;  // b, sequences
  int64_t hidden = 1;       // h
  int64_t heads = 1;        // a
};

enum class ActivationRecompute : uint8_t {
  none,
  selective,  // scores, softmax and dropout of attention
  full,       // all but a layer's input
};

struct ActivationSplit {
  int64_t tp = 1;
  bool sequence_parallel = false;
  ActivationRecompute recompute = ActivationRecompute::none;
};

// Of one layer, on one rank:
//   none                  sbh(34 + 5as/h)         TP  sbh(10 + 24/t + 5as/(ht))     TP+SP  sbh(34 + 5as/h)/t
//   selective             the same without 5as/h
//   full                  2sbh, whatever tp is
double layer_activation_bytes(const ActivationShape& shape, const ActivationSplit& split);

// Of the first stage, which keeps the most: `layers` layers of the whole model, times 1 + (p-1)/(pv) when
// interleaved (v > 1). 1F1B keeps p micro-batches of layers/p layers.
double first_stage_activation_bytes(const ActivationShape& shape, const ActivationSplit& split,
                                    int64_t layers, int64_t pp, int64_t virtual_stages);

}  // namespace strata
