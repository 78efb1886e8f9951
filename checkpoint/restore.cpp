// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/restore.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "checkpoint/save_plan.h"
#include "checkpoint/save_report.h"
#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr int64_t kTask = int64_t{32} << 20;  // bytes one worker reads at a time

int64_t bytes_of(const RestoreItem& item) { return item.rect.numel() * size_of(item.tensor.type); }

// Runs `body` on every rank; when one throws, all throw: those that did not, the first rank's words.
template <typename Body>
void together(Peers& peers, Body body) {
  std::exception_ptr own;
  std::string words;
  try {
    body();
  } catch (const std::exception& e) {
    own = std::current_exception();
    words = fmt::format("{}\n  rank:     {}", e.what(), peers.rank());
  }
  const std::vector<int64_t> failed = peers.all(own ? 1 : 0);
  if (std::find(failed.begin(), failed.end(), 1) == failed.end()) return;
  std::string first;
  for (const std::string& text : peers.gather(words))
    if (first.empty()) first = text;
  first = peers.broadcast(first);
  if (own) std::rethrow_exception(own);
  throw Error(Fault::model, {.what = first});
}

class Restoring {
 public:
  Restoring(const TensorSource& source, Peers& peers, std::span<const RestoreItem> items, WorkerPool& pool)
      : source_(source), peers_(peers), items_(items), pool_(pool) {
    for (const RestoreItem& item : items_) data_.push_back(item.data);
  }

  RestoreReport run(const RestoreRules& rules, const RestoreGroups* groups) {
    together(peers_, [&] { match(rules); });
    plan();
    for (const int64_t group : groups_of_all(groups)) {
      if (groups)
        together(peers_, [&] {
          for (size_t i = 0; i < items_.size(); ++i)
            if (items_[i].group == group && stored_[share_.tensors[i]] >= 0) data_[i] = groups->memory(i);
        });
      together(peers_, [&] { read(group); });
      pass_on(group);
      if (groups) together(peers_, [&] { groups->arrived(group); });
    }
    if (tiles_) compare();
    return std::move(report_);
  }

 private:
  // Every rank wants all tensors of the model together; a rank of a pipeline has some, so rank 0's rules see
  // the union.
  void match(const RestoreRules& rules) {
    std::vector<Held> own;
    for (const RestoreItem& item : items_) own.push_back({item.tensor, item.rect});
    const std::vector<std::string> all = peers_.gather(pack_held(own));
    std::string text, failure;
    if (peers_.leads()) {
      try {
        std::vector<std::vector<Held>> held;
        for (const std::string& bytes : all) held.push_back(unpack_held(bytes));
        plan_ = plan_save(held, Tiling::optional);
        text = pack_shares(plan_.ranks);
        report_.match = match_tensors(plan_.tensors, source_.tensors(), rules, source_.path());
      } catch (const Error& e) {
        failure = e.what();
        peers_.broadcast(failure);
        throw;
      }
    }
    failure = peers_.broadcast(failure);
    if (!failure.empty()) return;  // rank 0 throws
    all_shares_ = peers_.broadcast(text);
    nlohmann::json stored = nlohmann::json::array();
    for (const auto& from : report_.match.stored)
      stored.push_back(from ? static_cast<int64_t>(*from) : int64_t{-1});
    stored_ = nlohmann::json::parse(peers_.broadcast(stored.dump())).get<std::vector<int64_t>>();
    tiles_ = peers_.broadcast(plan_.tiles ? "1" : "") == "1";
    const auto own_share = unpack_share(all_shares_, static_cast<size_t>(peers_.rank()));
    for (const auto tensor : own_share.tensors) report_.kept.push_back(stored_[tensor] < 0);
  }

  // Who reads each rectangle and who else wants it.
  void plan() {
    for (int rank = 0; rank < peers_.size(); ++rank) {
      const SavePlan::Share share = unpack_share(all_shares_, static_cast<size_t>(rank));
      for (size_t item = 0; item < share.writes.size(); ++item) {
        if (share.rectangle[item] == SavePlan::kNoRectangle || stored_[share.tensors[item]] < 0) continue;
        Rectangle& rectangle = rectangles_[share.rectangle[item]];
        (share.writes[item] ? rectangle.reader : rectangle.others.emplace_back()) = {rank, item};
      }
      if (rank == peers_.rank()) share_ = share;
    }
  }

  // Of all ranks, ascending.
  std::vector<int64_t> groups_of_all(const RestoreGroups* groups) {
    if (!groups) return {0};
    std::set<int64_t> own;
    for (const RestoreItem& item : items_) own.insert(item.group);
    const std::vector<std::string> texts = peers_.gather(nlohmann::json(own).dump());
    std::string merged;
    if (peers_.leads()) {
      std::set<int64_t> all;
      for (const std::string& text : texts) all.merge(nlohmann::json::parse(text).get<std::set<int64_t>>());
      merged = nlohmann::json(all).dump();
    }
    return nlohmann::json::parse(peers_.broadcast(merged)).get<std::vector<int64_t>>();
  }

  void read(int64_t group) {
    struct Task {
      size_t item;
      Rect piece;  // within the item's rectangle
    };
    std::vector<Task> tasks;
    for (size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].group != group || !share_.writes[i] || stored_[share_.tensors[i]] < 0) continue;
      report_.bytes_read += bytes_of(items_[i]);
      for (const Rect& piece : cut_rows(items_[i].rect.extent, size_of(items_[i].tensor.type), kTask))
        tasks.push_back({i, piece});
    }
    const size_t before = digests_.size();
    digests_.resize(before + tasks.size());
    for (const Task& task : tasks) task_items_.push_back(task.item);
    pool_.for_each(std::ssize(tasks), [&](int64_t t, int) {
      const auto& [i, piece] = tasks[static_cast<size_t>(t)];
      const RestoreItem& item = items_[i];
      const int64_t size = size_of(item.tensor.type);
      const StridedTarget all = row_major(data_[i], item.rect.extent, size);
      Rect rect = piece;  // of the whole tensor
      std::byte* data = data_[i];
      for (int d = 0; d < rect.begin.rank(); ++d) {
        data += piece.begin[d] * all.strides[static_cast<size_t>(d)];
        rect.begin.set(d, piece.begin[d] + item.rect.begin[d]);
      }
      source_.read(static_cast<size_t>(stored_[share_.tensors[i]]), rect,
                   {.data = data, .strides = all.strides});
      digests_[before + static_cast<size_t>(t)] =
          digest_of(item.tensor.shape, rect, size, data);  // pieces are contiguous
    });
  }

  void pass_on(int64_t group) {
    std::vector<Peers::Parcel> sends, receives;
    for (const auto& [id, rectangle] : rectangles_) {
      const int me = peers_.rank();
      const auto of_group = [&](const Place& place) {
        return place.rank != me || items_[place.item].group == group;
      };
      const bool mine =
          rectangle.reader.rank == me || std::any_of(rectangle.others.begin(), rectangle.others.end(),
                                                     [&](const Place& p) { return p.rank == me; });
      if (!mine || !of_group(rectangle.reader) ||
          !std::all_of(rectangle.others.begin(), rectangle.others.end(), of_group))
        continue;
      for (const Place& other : rectangle.others) {
        const auto parcel = [&](const Place& mine, int peer) {
          const RestoreItem& item = items_[mine.item];
          return Peers::Parcel{peer, {data_[mine.item], static_cast<size_t>(bytes_of(item))}};
        };
        if (rectangle.reader.rank == me && other.rank == me) {  // held twice here
          std::copy_n(data_[rectangle.reader.item], bytes_of(items_[other.item]), data_[other.item]);
        } else if (rectangle.reader.rank == me) {
          sends.push_back(parcel(rectangle.reader, other.rank));
        } else if (other.rank == me) {
          receives.push_back(parcel(other, rectangle.reader.rank));
          report_.bytes_received += std::ssize(receives.back().bytes);
        }
      }
    }
    peers_.exchange(sends, receives);
  }

  // The digests of all parts together against those that were saved.
  void compare() {
    nlohmann::json own = nlohmann::json::array();
    std::map<uint32_t, Digest> sums;
    for (size_t t = 0; t < digests_.size(); ++t) sums[share_.tensors[task_items_[t]]] += digests_[t];
    for (const auto& [tensor, digest] : sums) own.push_back({tensor, digest.low, digest.high});
    const std::vector<std::string> all = peers_.gather(own.dump());
    together(peers_, [&] {
      if (!peers_.leads()) return;
      std::vector<Digest> total(plan_.tensors.size());
      for (const std::string& text : all)
        for (const auto& row : nlohmann::json::parse(text))
          total.at(row[0]) += Digest{.low = row[1], .high = row[2]};
      for (size_t t = 0; t < total.size(); ++t) {
        if (stored_[t] < 0) continue;
        const auto saved = source_.stored_digest(static_cast<size_t>(stored_[t]));
        if (!saved) continue;
        ++report_.digests_compared;
        if (*saved == total[t]) continue;
        throw Error(Fault::model, {.what = fmt::format("tensor '{}' ({}) was not loaded as it was saved",
                                                       plan_.tensors[t].name, plan_.tensors[t].state),
                                   .where = source_.path(),
                                   .found = "digest " + to_string(total[t]),
                                   .expected = to_string(*saved)});
      }
    });
  }

  struct Place {
    int rank = 0;
    size_t item = 0;
  };
  struct Rectangle {
    Place reader;
    std::vector<Place> others;
  };

  const TensorSource& source_;
  Peers& peers_;
  std::span<const RestoreItem> items_;
  std::vector<std::byte*> data_;  // of each item
  WorkerPool& pool_;
  RestoreReport report_;
  SavePlan plan_;  // on rank 0
  std::string all_shares_;
  SavePlan::Share share_;
  std::vector<int64_t> stored_;  // by wanted tensor; -1: keeps its value
  std::map<uint32_t, Rectangle> rectangles_;
  std::vector<Digest> digests_;  // of what this rank read
  std::vector<size_t> task_items_;
  bool tiles_ = true;
};

}  // namespace

RestoreReport restore(const TensorSource& source, Peers& peers, std::span<const RestoreItem> items,
                      WorkerPool& pool, const RestoreRules& rules) {
  return Restoring(source, peers, items, pool).run(rules, nullptr);
}

RestoreReport restore(const TensorSource& source, Peers& peers, std::span<const RestoreItem> items,
                      WorkerPool& pool, const RestoreRules& rules, const RestoreGroups& groups) {
  return Restoring(source, peers, items, pool).run(rules, &groups);
}

}  // namespace strata
