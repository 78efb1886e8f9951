// SPDX-License-Identifier: Apache-2.0
// The communicators of one rank's step, made once: of its partition, its pipeline neighbours, and of all
// ranks.
#pragma once

#include <map>
#include <memory>
#include <span>

#include "core/dist/communicator.h"
#include "core/dist/mesh.h"
#include "core/step/partition.h"

namespace strata {

class StateGroups {
 public:
  // Collective over the job. Data ranks are the ranks of the dp and cp axes, dp slower. `peers` are the
  // pipeline ranks that this one exchanges messages or tied gradients with. The world must outlive this.
  StateGroups(World& world, const Mesh& mesh, const Partition& partition, std::span<const int> peers);

  int data_rank() const { return data_rank_; }
  int pipeline_rank() const { return pipeline_rank_; }
  const Partition& partition() const { return partition_; }

  // Partition::group(data_rank(), from, to), in that order.
  Communicator& between(int from, int to) const { return *between_.at({from, to}); }
  Communicator& replicas() const { return *replicas_; }
  // The ranks that share this one's layers, for gradients; blocks meet on a communicator of their own.
  Communicator& tensor() const { return *tensor_; }
  // This rank and the one with the same coordinates at another place of the pipeline; member 0 is the lower.
  Communicator& peer(int pipeline_rank) const { return *peers_.at(pipeline_rank); }
  // One of them, for counting messages, which are all alike; there must be one.
  int any_peer() const { return peers_.begin()->first; }
  // All data ranks (the tokens of a step), and all ranks of the job (its scalars).
  Communicator& data() const { return *data_; }
  Communicator& everyone() const { return *everyone_; }

 private:
  Partition partition_;
  int data_rank_, pipeline_rank_;
  std::map<std::pair<int, int>, std::unique_ptr<Communicator>> between_;
  std::map<int, std::unique_ptr<Communicator>> peers_;
  std::unique_ptr<Communicator> replicas_, tensor_, data_, everyone_;
};

}  // namespace strata
