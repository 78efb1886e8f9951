// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/fingerprint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "core/base/hash.h"
#include "core/device/cpu/cpu_stream.h"

namespace strata {
namespace {

// What one member tells another. Compared and printed; plain bytes on the wire.
struct Print {
  CollectiveKind kind = CollectiveKind::barrier;
  DType dtype = DType::f32;
  Reduction reduction = Reduction::sum;
  int root = -1;
  int64_t bytes = 0;
  // Of an exchange, between the two of them: number of messages and hash of their sizes in order.
  int64_t sent = 0, expected = 0;
  uint64_t sent_sizes = 0, expected_sizes = 0;
  uint64_t calls = 0;  // of the sender on this communicator, for the message
  Note note;

  bool agrees(const Print& other) const {
    if (kind != other.kind) return false;
    if (kind == CollectiveKind::exchange)
      return sent == other.expected && expected == other.sent && sent_sizes == other.expected_sizes &&
             expected_sizes == other.sent_sizes;
    return dtype == other.dtype && reduction == other.reduction && root == other.root &&
           bytes == other.bytes && note.view() == other.note.view();
  }
  std::string text() const {
    std::string text(name(kind));
    if (kind == CollectiveKind::exchange)
      text += fmt::format(" of {} messages sent and {} expected between them, {} bytes sent", sent, expected,
                          bytes);
    else if (kind != CollectiveKind::barrier)
      text += fmt::format(" of {} bytes of {}", bytes, name(dtype));
    if (kind == CollectiveKind::all_reduce) text += fmt::format(" ({})", name(reduction));
    if (kind == CollectiveKind::broadcast) text += fmt::format(" from member {}", root);
    if (!note.view().empty()) text += fmt::format(" for {}", note.view());
    return text + fmt::format(", its call {}", calls);
  }
};

class FingerprintCommunicator : public CommunicatorDecorator {
 public:
  FingerprintCommunicator(World& world, std::unique_ptr<Communicator> inner,
                          std::unique_ptr<Communicator> side)
      : CommunicatorDecorator(std::move(inner)), world_(world), side_(std::move(side)) {}

  void run(Stream& stream, const Collective& op, std::byte* scratch) override {
    // On a device the members compare while they enqueue.
    compare(stream.device().kind == DeviceKind::cpu ? stream : inline_, op);
    inner().run(stream, op, scratch);
  }
  void run_barrier() override {
    compare(inline_, {.kind = CollectiveKind::barrier});
    inner().run_barrier();
  }

 private:
  struct Pair {
    int peer;
    Tensor mine, theirs;
  };

  Print print_for(const Collective& op, int peer) const {
    Print print{.kind = op.kind,
                .dtype = op.from.dtype(),
                .reduction = op.reduction,
                .root = op.root,
                .bytes = payload_bytes(op),
                .calls = calls_,
                .note = op.note};
    if (op.kind != CollectiveKind::exchange) return print;
    print.bytes = 0;
    for (const Message& send : op.sends)
      if (send.peer == peer) {
        ++print.sent;
        print.bytes += send.tensor.bytes();
        print.sent_sizes = hash_combine(print.sent_sizes, static_cast<uint64_t>(send.tensor.bytes()));
      }
    for (const Message& receive : op.receives)
      if (receive.peer == peer) {
        ++print.expected;
        print.expected_sizes =
            hash_combine(print.expected_sizes, static_cast<uint64_t>(receive.tensor.bytes()));
      }
    return print;
  }

  bool takes_part(const Collective& op, int peer) const {
    if (op.kind != CollectiveKind::exchange) return true;
    const auto with_peer = [&](const Message& message) { return message.peer == peer; };
    return std::ranges::any_of(op.sends, with_peer) || std::ranges::any_of(op.receives, with_peer);
  }

  void compare(Stream& stream, const Collective& op) {
    ++calls_;
    std::vector<Pair> pairs;
    std::vector<Message> sends, receives;
    for (int peer = 0; peer < size(); ++peer) {
      if (peer == rank() || !takes_part(op, peer)) continue;
      constexpr int64_t kBytes = sizeof(Print);
      const Pair pair{peer, make_tensor(*allocator_, DType::u8, {kBytes}, "fingerprint"),
                      make_tensor(*allocator_, DType::u8, {kBytes}, "fingerprint")};
      const Print print = print_for(op, peer);
      std::memcpy(pair.mine.raw(), &print, sizeof print);
      sends.push_back({peer, pair.mine});
      receives.push_back({peer, pair.theirs});
      pairs.push_back(pair);
    }
    if (pairs.empty()) return;
    side_->exchange(stream, sends, receives);
    on_stream(stream, [this, pairs = std::move(pairs)] { judge(pairs); });
  }

  void judge(const std::vector<Pair>& pairs) {
    bool agree = true;
    std::map<std::string, std::vector<int>> callers;  // by what they called: ranks
    const auto rank_of = [&](int place) { return spec().members[static_cast<size_t>(place)]; };
    for (const Pair& pair : pairs) {
      Print mine, theirs;
      std::memcpy(&mine, pair.mine.raw(), sizeof mine);
      std::memcpy(&theirs, pair.theirs.raw(), sizeof theirs);
      agree &= mine.agrees(theirs);
      callers[theirs.text()].push_back(rank_of(pair.peer));
      auto& own = callers[mine.text()];
      if (std::ranges::find(own, rank_of(rank())) == own.end()) own.push_back(rank_of(rank()));
    }
    if (agree) return;
    std::string found;
    for (auto& [what, ranks] : callers) {
      std::ranges::sort(ranks);
      found += fmt::format("{}rank{} {}: {}", found.empty() ? "" : "; ", ranks.size() > 1 ? "s" : "",
                           fmt::join(ranks, ", "), what);
    }
    Error error(Fault::communication,
                {.what = fmt::format("the members of \"{}\" called different operations", spec().purpose),
                 .where = fmt::format("rank {}@{}", world_.rank(), world_.host()),
                 .found = found,
                 .expected = "the same operation of the same size on every member"});
    world_.abort(error.what());
    throw error;
  }

  World& world_;
  std::unique_ptr<Communicator> side_;
  std::shared_ptr<Allocator> allocator_ = make_cpu_allocator();
  WorkerPool pool_{1};
  CpuStream inline_{pool_};  // for barriers, which have none, and operations of a device
  uint64_t calls_ = 0;
};

}  // namespace

namespace {

Decorate compare_over(World& side) {
  return [&side](World& inner, std::unique_ptr<Communicator> communicator) {
    GroupSpec spec = communicator->spec();
    spec.purpose += " fingerprint";
    return std::make_unique<FingerprintCommunicator>(inner, std::move(communicator),
                                                     side.group(std::move(spec)));
  };
}

}  // namespace

std::unique_ptr<World> fingerprint_device(std::unique_ptr<World> world, World& side) {
  return decorate(std::move(world), compare_over(side));
}
std::unique_ptr<World> fingerprint_around(World& world) { return decorate(world, compare_over(world)); }
std::unique_ptr<World> fingerprint_operations(std::unique_ptr<World> world) {
  World& side = *world;  // lives as long as what it is wrapped in
  return decorate(std::move(world), compare_over(side));
}

}  // namespace strata
