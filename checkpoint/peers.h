// SPDX-License-Identifier: Apache-2.0
// What ranks that save together need of one another: four collectives. Every rank calls the same ones
// in the same order, from one thread; a lost rank is the communicator's Error(communication).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dist/communicator.h"

namespace strata {

class Peers {
 public:
  virtual ~Peers() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  bool leads() const { return rank() == 0; }

  virtual std::vector<int64_t> all(int64_t own) = 0;  // every rank's value, in rank order
  virtual std::vector<std::string> gather(
      std::string_view own) = 0;                            // every rank's bytes on rank 0; empty elsewhere
  virtual std::string broadcast(std::string_view own) = 0;  // rank 0's bytes, everywhere

  struct Parcel {
    int rank = 0;
    std::span<std::byte> bytes;  // sent, or filled
  };
  // All at once; between two ranks parcels match in the order of the lists. Every rank calls it.
  virtual void exchange(std::span<const Parcel> sends, std::span<const Parcel> receives) = 0;
};

std::unique_ptr<Peers> make_solo_peers();
// Of a communicator that is used for nothing else; it outlives the result.
std::unique_ptr<Peers> make_peers(Communicator& group);

}  // namespace strata
