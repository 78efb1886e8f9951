// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/save_plan.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>
#include <unordered_map>

#include "checkpoint/shape_json.h"
#include "checkpoint/tiling.h"
#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(std::string what, std::string found) {
  throw Error(Fault::internal, {.what = std::move(what), .found = std::move(found)});
}

bool less(const Rect& a, const Rect& b) {
  const auto order = [](const Shape& x, const Shape& y) {
    return std::lexicographical_compare_three_way(x.begin(), x.end(), y.begin(), y.end());
  };
  const auto begins = order(a.begin, b.begin);
  return begins != 0 ? begins < 0 : order(a.extent, b.extent) < 0;
}

struct Holder {
  uint32_t rank, item;
};
struct RectLess {
  bool operator()(const Rect& a, const Rect& b) const { return less(a, b); }
};

}  // namespace

std::string pack_held(std::span<const Held> held) {
  json rows = json::array();
  for (const auto& [tensor, rect] : held)
    rows.push_back({tensor.name, tensor.state, static_cast<int>(tensor.type), shape_list(tensor.shape),
                    tensor.role, shape_list(rect.begin), shape_list(rect.extent)});
  std::string bytes;
  json::to_cbor(rows, bytes);
  return bytes;
}

std::vector<Held> unpack_held(std::string_view bytes) {
  try {
    std::vector<Held> held;
    for (const json& row : json::from_cbor(bytes))
      held.push_back({{.name = row.at(0),
                       .state = row.at(1),
                       .type = static_cast<ElementType>(row.at(2).get<int>()),
                       .shape = shape_of(row.at(3)),
                       .role = row.at(4)},
                      {shape_of(row.at(5)), shape_of(row.at(6))}});
    return held;
  } catch (const json::exception& e) {
    throw Error(Fault::communication, {.what = "a rank's list of tensors cannot be read", .found = e.what()});
  }
}

SavePlan plan_save(std::span<const std::vector<Held>> held, Tiling tiling) {
  SavePlan plan;
  std::unordered_map<std::string, uint32_t> known;
  std::vector<std::map<Rect, std::vector<Holder>, RectLess>> holders;  // by tensor
  for (uint32_t rank = 0; rank < held.size(); ++rank) {
    SavePlan::Share& share = plan.ranks.emplace_back();
    share.writes.resize(held[rank].size());
    share.rectangle.resize(held[rank].size(), SavePlan::kNoRectangle);
    for (uint32_t item = 0; item < held[rank].size(); ++item) {
      const auto& [tensor, rect] = held[rank][item];
      const auto [at, fresh] =
          known.try_emplace(tensor.state + "/" + tensor.name, static_cast<uint32_t>(plan.tensors.size()));
      if (fresh) {
        check_logical(tensor, "this run");
        plan.tensors.push_back(tensor);
        holders.emplace_back();
      } else if (plan.tensors[at->second] != tensor) {
        refuse("ranks disagree about a tensor that is to be saved",
               fmt::format("{} on rank {}, {} before", to_string(tensor), rank,
                           to_string(plan.tensors[at->second])));
      }
      share.tensors.push_back(at->second);
      if (rect.numel() > 0) holders[at->second][rect].push_back({rank, item});
    }
  }
  // Largest first, each to the holder with the least so far: within a third of the best there is.
  struct Job {
    int64_t bytes;
    uint32_t rectangle;
    const std::vector<Holder>* holders;
  };
  std::vector<Job> jobs;
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    std::vector<Rect> rects;
    for (const auto& [rect, by] : holders[t]) {
      const auto rectangle = static_cast<uint32_t>(jobs.size());
      for (const Holder& holder : by) plan.ranks[holder.rank].rectangle[holder.item] = rectangle;
      jobs.push_back({rect.numel() * size_of(plan.tensors[t].type), rectangle, &by});
      rects.push_back(rect);
    }
    const auto fault = find_tiling_fault(plan.tensors[t].shape, rects);
    plan.tiles = plan.tiles && !fault;
    if (fault && tiling == Tiling::required)
      refuse("the ranks' parts of a tensor are not the whole of it once",
             fmt::format("element {} of '{}' ({}) in {} parts", fault->element, plan.tensors[t].name,
                         plan.tensors[t].state, fault->covered));
  }
  std::stable_sort(jobs.begin(), jobs.end(), [](const Job& a, const Job& b) { return a.bytes > b.bytes; });
  std::vector<int64_t> load(held.size());
  for (const Job& job : jobs) {
    const Holder* best = &job.holders->front();
    for (const Holder& holder : *job.holders)
      if (load[holder.rank] < load[best->rank]) best = &holder;
    load[best->rank] += job.bytes;
    plan.ranks[best->rank].writes[best->item] = 1;
  }
  return plan;
}

}  // namespace strata
