// SPDX-License-Identifier: Apache-2.0
#include "launch/train/gathered_state.h"

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "core/base/worker_pool.h"
#include "core/device/cpu/cpu_stream.h"

namespace strata {
namespace {

// Copies the rows of `part`, which is `held` of a tensor of `shape`, into or out of it.
template <typename Copy>
void each_row(const Tensor& whole, const Rect& held, const Tensor& part, Copy copy) {
  const int64_t size = size_of(whole.dtype());
  const bool matrix = held.extent.rank() == 2;
  const int64_t width = matrix ? held.extent[1] : held.numel(), rows = matrix ? held.extent[0] : 1;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t at = matrix ? (held.begin[0] + row) * whole.dim(1) + held.begin[1] : held.begin[0];
    copy(whole.raw() + at * size, part.raw() + row * width * size, static_cast<size_t>(width * size));
  }
}

bool is_whole(const Rect& held, const Shape& shape) { return held.extent == shape; }

struct Part {
  std::string name;
  Shape shape;
  Rect held;
  Tensor tensor;
};

std::vector<Part> own_parts(const StepRunner& runner, const UpdateRule& rule) {
  std::vector<Part> parts;
  for (const LogicalState& state : runner.logical_states()) {
    if (!state.speaks) continue;
    parts.push_back({state.name, state.shape, state.held, state.weight});
    for (size_t slot = 0; slot < state.state.size(); ++slot)
      parts.push_back({slot_name(state.name, rule, slot), state.shape, state.held, state.state[slot]});
  }
  return parts;
}

std::vector<int64_t> list(const Shape& shape) {
  std::vector<int64_t> extents;
  for (int d = 0; d < shape.rank(); ++d) extents.push_back(shape[d]);
  return extents;
}
Shape shape_of(const nlohmann::json& list) {
  return list.size() == 1 ? Shape{list[0].get<int64_t>()}
                          : Shape{list[0].get<int64_t>(), list[1].get<int64_t>()};
}

std::string describe(const std::vector<Part>& parts) {
  nlohmann::json table = nlohmann::json::array();
  for (const Part& part : parts)
    table.push_back({part.name, list(part.shape), list(part.held.begin), list(part.held.extent),
                     static_cast<int>(part.tensor.dtype())});
  return table.dump();
}

class Gathering {
 public:
  Gathering(GatheredState& state, Communicator& everyone)
      : state_(state), everyone_(everyone), pool_(1), stream_(pool_) {}

  void run(std::vector<Part> own) {
    const int ranks = everyone_.size(), me = everyone_.rank();
    const std::string text = me == 0 ? "" : describe(own);
    std::vector<int64_t> sizes(static_cast<size_t>(ranks));
    sizes[static_cast<size_t>(me)] = static_cast<int64_t>(text.size());
    const Tensor all = Tensor::borrow(sizes.data(), DType::i64, {ranks});
    everyone_.all_gather(stream_, all.slice(0, me, 1), all);
    if (me == 0)
      for (const Part& part : own) put(part);
    for (int rank = 1; rank < ranks; ++rank) {
      if (me == rank) send(own, text);
      if (me == 0) receive(rank, sizes[static_cast<size_t>(rank)]);
    }
  }

 private:
  void send(const std::vector<Part>& own, const std::string& text) {
    std::vector<Message> messages{
        {0, Tensor::borrow(const_cast<char*>(text.data()), DType::u8, {static_cast<int64_t>(text.size())})}};
    for (const Part& part : own) messages.push_back({0, part.tensor.view({part.tensor.numel()})});
    everyone_.exchange(stream_, std::span(messages).first(1), {});
    everyone_.exchange(stream_, std::span(messages).subspan(1), {});
  }

  void receive(int rank, int64_t size) {
    std::string text(static_cast<size_t>(size), ' ');
    const Message table{rank, Tensor::borrow(text.data(), DType::u8, {size})};
    everyone_.exchange(stream_, {}, std::span(&table, 1));
    auto staging = make_cpu_allocator();
    std::vector<Part> parts;
    std::vector<Message> messages;
    for (const auto& row : nlohmann::json::parse(text)) {
      Part part{.name = row[0],
                .shape = shape_of(row[1]),
                .held = {shape_of(row[2]), shape_of(row[3])},
                .tensor = {}};
      part.tensor =
          make_tensor(*staging, static_cast<DType>(row[4].get<int>()), {part.held.numel()}, "gathered part");
      messages.push_back({rank, part.tensor});
      parts.push_back(std::move(part));
    }
    everyone_.exchange(stream_, {}, messages);
    for (const Part& part : parts) put(part);
  }

  void put(const Part& part) {
    const auto [at, fresh] = index_.try_emplace(part.name, state_.tensors.size());
    if (fresh)
      state_.tensors.push_back(
          {part.name, make_tensor(*state_.allocator, part.tensor.dtype(), part.shape, "gathered state")});
    each_row(state_.tensors[at->second].tensor, part.held, part.tensor,
             [](std::byte* whole, const std::byte* from, size_t bytes) { std::memcpy(whole, from, bytes); });
  }

  GatheredState& state_;
  Communicator& everyone_;
  WorkerPool pool_;
  CpuStream stream_;
  std::map<std::string, size_t> index_;
};

}  // namespace

std::string slot_name(const std::string& tensor, const UpdateRule& rule, size_t slot) {
  return tensor + "/" + rule.slots()[slot].name;
}

GatheredState gather_state(const StepRunner& runner, const UpdateRule& rule, Communicator* everyone) {
  GatheredState state{.tensors = {}, .allocator = make_cpu_allocator()};
  std::vector<Part> own = own_parts(runner, rule);
  if (everyone && everyone->size() > 1) {
    Gathering(state, *everyone).run(std::move(own));
    return state;
  }
  for (const Part& part : own) {
    check(is_whole(part.held, part.shape), "[gather_state] one rank holds a part of {} only", part.name);
    state.tensors.push_back({part.name, part.tensor.view(part.shape)});
  }
  return state;
}

void scatter_state(const LocalCheckpoint& checkpoint, const StepRunner& runner, const UpdateRule* rule) {
  auto allocator = make_cpu_allocator();
  // A tensor that is held in parts is read whole; its parts follow one another, so it is read once.
  struct Newest {
    std::string name;
    Tensor whole;
  };
  std::map<std::string, Newest> newest;  // by slot
  const auto fill = [&](const std::string& slot, const std::string& name, const LogicalState& state,
                        const Tensor& part) {
    if (is_whole(state.held, state.shape)) return checkpoint.read(name, part.view(state.shape));
    Newest& read = newest[slot];
    if (read.name != name) {
      read = {name, make_tensor(*allocator, part.dtype(), state.shape, "checkpoint tensor")};
      checkpoint.read(name, read.whole);
    }
    each_row(read.whole, state.held, part,
             [](const std::byte* from, std::byte* to, size_t bytes) { std::memcpy(to, from, bytes); });
  };
  for (const LogicalState& state : runner.logical_states()) {
    fill("", state.name, state, state.weight);
    for (size_t slot = 0; rule && slot < state.state.size(); ++slot)
      fill(rule->slots()[slot].name, slot_name(state.name, *rule, slot), state, state.state[slot]);
  }
}

}  // namespace strata
