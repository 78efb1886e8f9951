// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/transport_communicator.h"

#include "core/base/error.h"
#include "core/device/cpu/cpu_stream.h"

namespace strata {
namespace {

// An exchange outlives the caller's lists when its stream has a thread of its own.
struct OwnedExchange {
  std::vector<Message> sends, receives;
};

}  // namespace

TransportCommunicator::TransportCommunicator(World& world, GroupSpec spec, int rank,
                                             std::unique_ptr<Transport> transport)
    : Communicator(std::move(spec), rank),
      world_(world),
      transport_(std::move(transport)),
      collectives_(*transport_, rank, size()) {}

int64_t TransportCommunicator::scratch_bytes(const Collective& op, DeviceKind) const {
  return byte_collective_scratch(op, size());
}

// Runs one operation; whatever ends it early ends the job.
template <typename Work>
void TransportCommunicator::guarded(CollectiveKind kind, int64_t bytes, Work&& work) {
  check(!busy_.exchange(true), "[{}] communicator \"{}\" is in use by another stream or thread", name(kind),
        spec().purpose);
  struct Leave {
    std::atomic<bool>& busy;
    ~Leave() { busy = false; }
  } leave{busy_};
  try {
    work();
  } catch (const TransportFailure& failure) {
    Report report{.what = fmt::format("{} of {} bytes among the {} ranks of \"{}\" did not complete: {}",
                                      name(kind), bytes, size(), spec().purpose, failure.what()),
                  .where = fmt::format("rank {}@{}", world_.rank(), world_.host())};
    if (failure.aborted) throw JobAborted(Fault::communication, std::move(report));
    Error error(Fault::communication, std::move(report));
    world_.abort(error.what());
    throw error;
  } catch (const std::exception& failure) {
    world_.abort(failure.what());
    throw;
  }
}

void TransportCommunicator::run(Stream& stream, const Collective& op, std::byte* scratch) {
  CpuStream& cpu = cpu_stream(stream);
  const auto work = [this, scratch](const Collective& call) {
    guarded(call.kind, payload_bytes(call), [&] { collectives_.run(call, scratch); });
  };
  if (op.kind != CollectiveKind::exchange || cpu.runs_inline()) {
    cpu.enqueue([work, op] { work(op); });
    return;
  }
  auto owned = std::make_shared<OwnedExchange>();
  owned->sends.assign(op.sends.begin(), op.sends.end());
  owned->receives.assign(op.receives.begin(), op.receives.end());
  cpu.enqueue([work, op, owned] {
    Collective call = op;
    call.sends = owned->sends;
    call.receives = owned->receives;
    work(call);
  });
}

void TransportCommunicator::run_barrier() {
  guarded(CollectiveKind::barrier, 0, [&] { collectives_.barrier(); });
}

}  // namespace strata
