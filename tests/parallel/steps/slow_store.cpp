// SPDX-License-Identifier: Apache-2.0
#include "tests/parallel/steps/slow_store.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "core/base/check.h"

namespace strata {

BackingStore::Ticket SlowStore::ask(Lane lane, const Value& value, int64_t offset,
                                    std::span<std::byte> memory) {
  Side& mine = side(lane);
  mine.asked[mine.next] = {value, offset, memory, std::chrono::steady_clock::now() + latency_};
  mine.most = std::max(mine.most, mine.asked.size());
  return {lane, mine.next++};
}

BackingStore::Ticket SlowStore::read(const Value& value, int64_t offset, std::span<std::byte> into) {
  std::memset(into.data(), 0xFF, into.size());
  return ask(Lane::read, value, offset, into);
}

BackingStore::Ticket SlowStore::write(const Value& value, int64_t offset, std::span<const std::byte> from) {
  return ask(Lane::write, value, offset, {const_cast<std::byte*>(from.data()), from.size()});
}

void SlowStore::wait(Ticket ticket) {
  Side& mine = side(ticket.lane);
  const Asked asked = mine.asked.at(ticket.id);
  mine.asked.erase(ticket.id);
  std::this_thread::sleep_until(asked.ready);
  store_->wait(ticket.lane == Lane::read ? store_->read(asked.value, asked.offset, asked.memory)
                                         : store_->write(asked.value, asked.offset, asked.memory));
}

void SlowStore::commit(int64_t step, std::string_view note) {
  check(writes_.asked.empty(), "[slow store] commit of step {} with writes on their way", step);
  store_->commit(step, note);
}

}  // namespace strata
