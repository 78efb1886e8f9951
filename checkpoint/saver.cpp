// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/saver.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <thread>
#include <utility>

#include "checkpoint/commit.h"
#include "checkpoint/save_report.h"
#include "checkpoint/step_folders.h"
#include "checkpoint/strata_source.h"
#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {
namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// "" when the body ends, else what it threw.
template <typename Body>
std::string outcome(Body body) {
  try {
    body();
    return "";
  } catch (const std::exception& e) {
    return e.what();
  }
}

bool done(const std::future<std::string>& work) {
  return work.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

constexpr int64_t kSnapshotEnded = std::numeric_limits<int64_t>::max();
// Of the snapshot, before writing may follow: long copies go past the caches and hold the job up the least.
constexpr size_t kCopyBytes = size_t{64} << 20;

int64_t bytes_of(const SaveItem& item) { return item.rect.numel() * size_of(item.tensor.type); }

}  // namespace

// What rank 0 does when all have written, apart from the members that the next step may use.
struct Saver::Commit {
  Manifest manifest;
  SaveResult result;
  std::vector<std::string> trash;  // to be removed when all is reported
};

Saver::Saver(FileSystem& files, Peers& peers, SaverOptions options)
    : files_(files), peers_(peers), options_(std::move(options)), id_(make_id()) {
  std::string failure;
  if (peers_.leads())
    failure = outcome([&] {
      make_directories(files_, options_.directory);
      claim_folder(files_, options_.directory, id_);
      removed_at_start_ = remove_unfinished(files_, options_.directory);
    });
  failure = peers_.broadcast(failure);
  if (!failure.empty())
    throw Error(Fault::environment, {.what = "checkpoints cannot be saved here",
                                     .where = options_.directory,
                                     .found = failure,
                                     .fix = "name another run.out, or mend the folder"});
}

Saver::~Saver() {
  if (background_.valid()) background_.wait();
  if (sweeping_.valid()) sweeping_.wait();
}

// The plan stands as long as every rank holds what it held.
void Saver::plan(std::span<const SaveItem> items) {
  std::vector<Held> own;
  for (const SaveItem& item : items) own.push_back({item.tensor, item.rect});
  const std::string packed = pack_held(own);
  const std::vector<int64_t> changed = peers_.all(packed != planned_for_ ? 1 : 0);
  if (std::find(changed.begin(), changed.end(), 1) == changed.end()) return;
  const std::vector<std::string> all = peers_.gather(packed);
  std::string plan_text, failure;
  if (peers_.leads())
    failure = outcome([&] {
      std::vector<std::vector<Held>> held;
      for (const std::string& bytes : all) held.push_back(unpack_held(bytes));
      const SavePlan plan = plan_save(held);
      tensors_ = plan.tensors;
      plan_text = pack_shares(plan.ranks);
    });
  failure = peers_.broadcast(failure);
  if (!failure.empty())
    throw Error(Fault::internal, {.what = "this state cannot be saved", .found = failure});
  share_ = unpack_share(peers_.broadcast(plan_text), static_cast<size_t>(peers_.rank()));
  planned_for_ = packed;
  written_items_.clear();
  int64_t bytes = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!share_.writes[i]) continue;
    written_items_.push_back(i);
    if (!items[i].read) bytes += round_up(bytes_of(items[i]), kPage);
  }
  pool_bytes_ = std::min(bytes, options_.pool_bytes / kPage * kPage);
  pool_ = page_memory(pool_bytes_);
  std::memset(pool_.get(), 0, static_cast<size_t>(pool_bytes_));  // the pages come now and not in a snapshot
}

void Saver::reserve(int64_t step, std::span<const SaveItem> items) {
  if (phase_ != Phase::idle) return;
  plan(items);
  path_ = step_folder(options_.directory, step);
  std::string words;  // "present", or "!" and a failure, or the id of this save
  if (peers_.leads()) {
    if (sweeping_.valid()) sweeping_.get();  // what older checkpoints held is this one's space, on all ranks
    words = make_id();
    const std::string failure = outcome([&] {
      if (files_.info(path_)) {
        try {
          read_manifest(files_, path_);
          words = "present";
          return;
        } catch (const IoError&) {
          throw;
        } catch (const Error&) {  // half of a checkpoint has no right to its name
          remove_tree(files_, retire_folder(files_, path_));
        }
      }
      files_.make_directory(temporary_folder(path_, words));
    });
    if (!failure.empty()) words = "!" + failure;
  }
  words = peers_.broadcast(words);
  step_ = step;
  present_ = words == "present";
  phase_ = Phase::reserved;
  folder_ = present_ || words.starts_with('!') ? "" : temporary_folder(path_, words);
  std::vector<ShardEntry> entries;
  for (const size_t i : written_items_) entries.push_back({items[i].tensor, items[i].rect});
  background_ = std::async(std::launch::async, [this, words, entries = std::move(entries)]() mutable {
    if (words.starts_with('!')) return words.substr(1);
    if (present_ || entries.empty()) return std::string();
    return outcome([&] {
      shard_ = std::make_unique<ShardWriter>(files_, fmt::format("{}/shard-{:05}.h5", folder_, peers_.rank()),
                                             std::move(entries), options_.block_bytes);
    });
  });
}

SaveResult Saver::begin(SaveRequest request) {
  const double start = now_s();
  if (phase_ == Phase::writing || phase_ == Phase::committing)
    return {.state = SaveResult::State::busy, .step = request.step, .path = path_};
  if (phase_ == Phase::reserved && step_ != request.step) {
    background_.get();
    abandon();
  }
  reserve(request.step, request.items);
  const std::string reserved = background_.get();
  SaveResult result{.state = SaveResult::State::writing, .step = step_, .path = path_};
  if (present_) {
    result.state = SaveResult::State::present;
    clear();
    return result;
  }
  const std::vector<int64_t> failed = peers_.all(reserved.empty() ? 0 : 1);
  if (std::find(failed.begin(), failed.end(), 1) != failed.end()) return fail_together(reserved);
  meta_ = std::move(request.meta);
  assets_ = std::move(request.assets);
  phase_ = Phase::writing;
  began_s_ = start;
  std::vector<size_t> beyond;
  std::vector<Late> late;
  const std::vector<std::span<std::byte>> pooled = places_in_pool(request, beyond, late);
  replica_digests_.assign(request.items.size(), {});
  snapshot_bytes_ = 0;
  snapshot_failure_.clear();
  background_ = std::async(std::launch::async, [this, pooled, late = std::move(late)]() mutable {
    return write(pooled, std::exchange(late, {}));  // whatever happens, nothing is held beyond this
  });
  snapshot_failure_ = outcome([&] { snapshot(request, pooled, beyond); });
  snapshot_reached(kSnapshotEnded);
  result.stall_s = stall_s_ = now_s() - start;
  return result;
}

// Where in the pool entries of the shard go, in their order; empty, and `beyond`, for those that do not fit,
// and `late` for what is read in the background.
std::vector<std::span<std::byte>> Saver::places_in_pool(const SaveRequest& request,
                                                        std::vector<size_t>& beyond,
                                                        std::vector<Late>& late) const {
  std::vector<std::span<std::byte>> places;
  int64_t filled = 0;
  for (size_t entry = 0; entry < written_items_.size(); ++entry) {
    const SaveItem& item = request.items[written_items_[entry]];
    const int64_t bytes = bytes_of(item);
    places.emplace_back();
    if (item.read) {
      late.push_back({entry, written_items_[entry], true, item.tensor, item.rect, item.read});
      continue;
    }
    if (filled + round_up(bytes, kPage) > pool_bytes_) {
      beyond.push_back(entry);
      continue;
    }
    places.back() = {pool_.get() + filled, static_cast<size_t>(bytes)};
    filled += round_up(bytes, kPage);
  }
  if (options_.compare_replicas)
    for (size_t i = 0; i < request.items.size(); ++i)
      if (const SaveItem& item = request.items[i]; item.read && !share_.writes[i] && item.rect.numel() > 0)
        late.push_back({0, i, false, item.tensor, item.rect, item.read});
  return places;
}

// Copies what fits into the pool, while write() follows behind, and writes the rest from where it is.
void Saver::snapshot(const SaveRequest& request, std::span<const std::span<std::byte>> pooled,
                     std::span<const size_t> beyond) {
  for (size_t entry = 0; entry < pooled.size(); ++entry) {
    const auto place = pooled[entry];
    const std::byte* const from = request.items[written_items_[entry]].data;
    for (size_t at = 0; at < place.size(); at += kCopyBytes) {
      const size_t now = std::min(kCopyBytes, place.size() - at);
      std::memcpy(place.data() + at, from + at, now);
      snapshot_reached(place.data() + at + now - pool_.get());
    }
  }
  for (const size_t entry : beyond) {
    const SaveItem& item = request.items[written_items_[entry]];
    shard_->write(entry, {item.data, static_cast<size_t>(bytes_of(item))});
  }
  if (!options_.compare_replicas) return;
  for (size_t i = 0; i < request.items.size(); ++i)
    if (const SaveItem& item = request.items[i]; !item.read && !share_.writes[i] && item.rect.numel() > 0)
      replica_digests_[i] = digest_of(item.tensor.shape, item.rect, size_of(item.tensor.type), item.data);
}

void Saver::snapshot_reached(int64_t bytes) {
  snapshot_bytes_.store(bytes, std::memory_order_release);
  snapshot_bytes_.notify_one();
}

void Saver::await_snapshot(int64_t bytes) const {
  for (int64_t reached; (reached = snapshot_bytes_.load(std::memory_order_acquire)) < bytes;)
    snapshot_bytes_.wait(reached, std::memory_order_acquire);
}

// What comes late goes first, once the snapshot is whole: others may wait for what it holds.
std::string Saver::write(std::span<const std::span<std::byte>> pooled, std::vector<Late> late) {
  int64_t pooled_bytes = 0;
  for (const auto place : pooled) pooled_bytes += std::ssize(place);
  const std::string failure = outcome([&] {
    if (!late.empty()) {
      await_snapshot(kSnapshotEnded);
      int64_t most = 0;
      for (const Late& item : late) most = std::max(most, item.rect.numel() * size_of(item.tensor.type));
      const PageMemory memory = page_memory(round_up(most, kPage));
      for (Late& item : late) {
        write_late(item, {memory.get(), static_cast<size_t>(item.rect.numel() * size_of(item.tensor.type))});
        item.read = nullptr;
      }
    }
    late.clear();
    if (!shard_) return;
    const auto engine = files_.make_async_io({.depth = options_.io_depth});
    // Sums and transfers want the memory's bandwidth, too: with a start at half, the job stands still little
    // longer than for the copy alone, and the drive is idle half as long.
    await_snapshot(pooled_bytes / 2);
    for (size_t entry = 0; entry < pooled.size(); ++entry) {
      if (pooled[entry].empty()) continue;
      const int64_t at = pooled[entry].data() - pool_.get();
      shard_->write(entry, pooled[entry], engine.get(), [&](int64_t bytes) { await_snapshot(at + bytes); });
    }
    ShardWriter::finish(*engine);
  });
  await_snapshot(kSnapshotEnded);
  if (!snapshot_failure_.empty()) return snapshot_failure_;
  if (!failure.empty()) return failure;
  return outcome([&] {
    if (shard_) shard_->sync();
  });
}

void Saver::write_late(const Late& late, std::span<std::byte> memory) {
  late.read(memory);
  if (late.written)
    shard_->write(late.entry, memory);
  else
    replica_digests_[late.item] =
        digest_of(late.tensor.shape, late.rect, size_of(late.tensor.type), memory.data());
}

std::string Saver::report() const {
  SaveReport report;
  if (shard_) {
    report.file_bytes = shard_->bytes();
    report.gaps_crc = shard_->gaps_crc();
  }
  for (size_t entry = 0; entry < written_items_.size(); ++entry) {
    const size_t item = written_items_[entry];
    report.written.push_back({share_.tensors[item], share_.rectangle[item], shard_->entries()[entry].rect,
                              shard_->written(entry)});
  }
  for (size_t i = 0; options_.compare_replicas && i < replica_digests_.size(); ++i)
    if (!share_.writes[i] && share_.rectangle[i] != SavePlan::kNoRectangle)
      report.replicas.push_back({share_.rectangle[i], replica_digests_[i]});
  return pack_report(report);
}

SaveResult Saver::poll() {
  if (phase_ == Phase::idle || phase_ == Phase::reserved) return {};
  const SaveResult writing{.state = SaveResult::State::writing, .step = step_, .path = path_};
  if (phase_ == Phase::writing) {
    const std::vector<int64_t> ended = peers_.all(done(background_) ? 1 : 0);
    if (std::find(ended.begin(), ended.end(), 0) != ended.end()) return writing;
    const std::string own = background_.get();
    const std::vector<int64_t> failed = peers_.all(own.empty() ? 0 : 1);
    if (std::find(failed.begin(), failed.end(), 1) != failed.end()) return fail_together(own);
    const std::vector<std::string> reports = peers_.gather(report());
    phase_ = Phase::committing;
    if (peers_.leads()) start_commit(reports);
  }
  const bool ended = peers_.all(peers_.leads() && done(background_) ? 1 : 0)[0] == 1;
  if (!ended) return writing;
  const std::string failure = peers_.broadcast(peers_.leads() ? background_.get() : "");
  if (!failure.empty()) return fail_together(peers_.leads() ? failure : "");
  SaveResult result = writing;
  if (peers_.leads()) {
    result = std::move(commit_->result);
    sweep(std::move(commit_->trash));
  }
  result.bytes = peers_.all(result.bytes)[0];
  result.state = SaveResult::State::committed;
  result.stall_s = stall_s_;
  result.total_s = now_s() - began_s_;
  clear();
  return result;
}

SaveResult Saver::finish(double seconds) {
  const double until = now_s() + seconds;
  SaveResult result = poll();
  while (result.state == SaveResult::State::writing && peers_.all(now_s() < until ? 1 : 0)[0] == 1) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    result = poll();
  }
  return result;
}

void Saver::start_commit(std::span<const std::string> reports) {
  commit_ = std::make_unique<Commit>();
  Manifest& manifest = commit_->manifest;
  manifest.writer = options_.writer;
  manifest.id = folder_.substr(folder_.size() - 32);
  manifest.step = step_;
  manifest.block_bytes = options_.block_bytes;
  manifest.meta = std::move(meta_);
  commit_->result = {.step = step_, .path = path_};
  background_ = std::async(
      std::launch::async, [this, reports = std::vector<std::string>(reports.begin(), reports.end())] {
        return outcome([&] {
          Manifest& manifest = commit_->manifest;
          merge_reports(reports, tensors_, manifest);
          for (const ManifestFile& file : manifest.files) commit_->result.bytes += file.bytes;
          seal_folder(files_, folder_, manifest, assets_);
          require_claim(files_, options_.directory, id_);
          publish_folder(files_, folder_, path_);
          // Committed: what fails from here on is mended by the next save.
          outcome([&] {
            replace_file(files_, options_.directory + "/latest", path_.substr(path_.rfind('/') + 1) + "\n");
          });
          outcome([&] {
            RetiredSteps retired = retire_steps(files_, options_.directory, options_.keep);
            commit_->result.removed = std::move(retired.paths);
            commit_->trash = std::move(retired.trash);
          });
        });
      });
}

// Removes what was retired while the job goes on. What fails to go is removed at the next start.
void Saver::sweep(std::vector<std::string> trash) {
  if (trash.empty()) return;
  sweeping_ = std::async(std::launch::async, [&files = files_, trash = std::move(trash)] {
    for (const std::string& folder : trash) outcome([&] { remove_tree(files, folder); });
  });
}

// Every rank calls it with its own failure, or "". Nobody has work in the background.
SaveResult Saver::fail_together(const std::string& own) {
  const std::vector<std::string> all = peers_.gather(own);
  std::string message;
  for (size_t rank = 0; rank < all.size() && message.empty(); ++rank)
    if (!all[rank].empty())
      message = peers_.size() > 1 ? fmt::format("rank {}: {}", rank, all[rank]) : all[rank];
  SaveResult result{.state = SaveResult::State::failed, .step = step_, .path = path_};
  result.message = peers_.broadcast(message);
  abandon();
  return result;
}

// Closes this rank's shard; rank 0 then removes the folder.
std::string Saver::abandon() {
  const std::string folder = folder_;
  clear();
  peers_.all(0);  // all shards are closed
  if (!peers_.leads() || folder.empty()) return "";
  return outcome([&] { remove_tree(files_, folder); });  // what stays is removed at the next start
}

void Saver::clear() {
  phase_ = Phase::idle;
  shard_ = nullptr;
  commit_ = nullptr;
  folder_.clear();
  assets_.clear();
  meta_ = nullptr;
}

}  // namespace strata
