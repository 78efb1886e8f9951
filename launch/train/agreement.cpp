// SPDX-License-Identifier: Apache-2.0
#include "launch/train/agreement.h"

#include <algorithm>
#include <numeric>

#include "launch/train/job.h"

namespace strata {

std::unique_ptr<Communicator> make_everyone(World& world, const std::string& purpose) {
  std::vector<int> all(static_cast<size_t>(world.size()));
  std::iota(all.begin(), all.end(), 0);
  return world.group({.purpose = purpose, .members = std::move(all), .level = LinkLevel::world});
}

std::vector<int64_t> of_all_ranks(Communicator& everyone, Stream& host, int64_t own) {
  std::vector<int64_t> all(static_cast<size_t>(everyone.size()), own);
  if (everyone.size() == 1) return all;
  const Tensor values = Tensor::borrow(all.data(), DType::i64, {everyone.size()});
  everyone.all_gather(host, values.slice(0, everyone.rank(), 1), values);
  host.synchronize();
  return all;
}

int rank_on_machine(Communicator& everyone, const World& world) {
  const std::vector<std::string> hosts = gather_text(everyone, world.host());
  const auto own = hosts.begin() + world.rank();
  return static_cast<int>(std::count(hosts.begin(), own, *own));
}

int ranks_on_machine(Communicator& everyone, const World& world) {
  const std::vector<std::string> hosts = gather_text(everyone, world.host());
  return static_cast<int>(std::count(hosts.begin(), hosts.end(), world.host()));
}

}  // namespace strata
