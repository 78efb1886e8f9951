// SPDX-License-Identifier: Apache-2.0
// Which layouts of ranks are legal for a model and a batch: arithmetic alone, nothing communicates. A layout
// that is not is refused with its equation and the nearest that are; numbers are never changed for the user.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/dist/mesh.h"

namespace strata {

struct ModelFacts {
  int layers = 1;
  int heads = 1;
  int kv_heads = 1;
  int ffn = 1;
  int vocab = 1;       // padded
  int experts = 0;     // per layer; 0: none
  int expert_ffn = 0;  // of one expert
};

struct BatchFacts {
  int64_t tokens_per_step = 1;
  int64_t micro_batch = 1;  // sequences
  int64_t seq_len = 1;
};

struct LayoutRequest {
  int ranks = 1;
  MeshSizes sizes;  // dp 0 is "auto": what the other sizes leave
  int virtual_stages = 1;
  bool sequence_parallel = false;
  std::string schedule =
      "1f1b";  // a name of the schedule table; empty: a user's own, which is not judged here
};

struct Layout {
  MeshSizes sizes;
  int virtual_stages = 1;
  int micro_batches = 1;  // per optimizer step, of every data-parallel rank

  friend bool operator==(const Layout&, const Layout&) = default;
};

// "pp 2 x dp 4 x cp 1 x tp 2", then ep, etp and virtual stages where they are not 1.
std::string to_string(const MeshSizes& sizes, int virtual_stages);

// The first rule that the request breaks: what, the key, the equation with its numbers, and what else than
// the sizes could change; nothing when it is legal. Throws Error(usage) when there is no such schedule,
// ContractError when facts are below 1.
std::optional<Report> layout_fault(const LayoutRequest& request, const ModelFacts& model,
                                   const BatchFacts& batch);

// Legal layouts of the same ranks, schedule and sequence parallelism, nearest to the request first: least sum
// of |log2| of the ratios of the sizes. At most `most`.
std::vector<Layout> nearest_layouts(const LayoutRequest& request, const ModelFacts& model,
                                    const BatchFacts& batch, int most = 3);

// The layout. Throws Error(usage) with layout_fault() and the nearest legal layouts, or, when these ranks
// have none, the nearest numbers of ranks that have.
Layout decide_layout(const LayoutRequest& request, const ModelFacts& model, const BatchFacts& batch);

}  // namespace strata
