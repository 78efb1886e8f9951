// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/saver.h"

#include <algorithm>
#include <chrono>
#include <cstring>
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

int64_t bytes_of(const SaveItem& item) { return item.rect.numel() * size_of(item.tensor.type); }

}  // namespace

// What rank 0 does when all have written, apart from the members that the next step may use.
struct Saver::Commit {
  Manifest manifest;
  SaveResult result;
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
          remove_folder(files_, path_);
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
  std::vector<std::span<const std::byte>> pooled;
  const std::string taken = outcome([&] { snapshot(request, pooled); });
  meta_ = std::move(request.meta);
  assets_ = std::move(request.assets);
  phase_ = Phase::writing;
  began_s_ = start;
  background_ = std::async(std::launch::async, [this, taken, pooled = std::move(pooled)] {
    std::vector<Late> late = std::exchange(late_, {});  // whatever happens, nothing is held beyond this
    return taken.empty() ? write(pooled, std::move(late)) : taken;
  });
  result.stall_s = stall_s_ = now_s() - start;
  return result;
}

// Copies what fits into the pool, in the order of the shard, and writes the rest from where it is.
void Saver::snapshot(const SaveRequest& request, std::vector<std::span<const std::byte>>& pooled) {
  int64_t filled = 0;
  std::vector<size_t> beyond;
  for (size_t entry = 0; entry < written_items_.size(); ++entry) {
    const SaveItem& item = request.items[written_items_[entry]];
    const int64_t bytes = bytes_of(item);
    pooled.emplace_back();
    if (item.read) {
      late_.push_back({entry, written_items_[entry], true, item.tensor, item.rect, item.read});
      continue;
    }
    if (filled + round_up(bytes, kPage) > pool_bytes_) {
      beyond.push_back(entry);
      continue;
    }
    std::memcpy(pool_.get() + filled, item.data, static_cast<size_t>(bytes));
    pooled.back() = {pool_.get() + filled, static_cast<size_t>(bytes)};
    filled += round_up(bytes, kPage);
  }
  for (const size_t entry : beyond) {
    const SaveItem& item = request.items[written_items_[entry]];
    shard_->write(entry, {item.data, static_cast<size_t>(bytes_of(item))});
  }
  replica_digests_.assign(request.items.size(), {});
  if (!options_.compare_replicas) return;
  for (size_t i = 0; i < request.items.size(); ++i)
    if (const SaveItem& item = request.items[i]; !share_.writes[i] && item.rect.numel() > 0)
      if (item.read)
        late_.push_back({0, i, false, item.tensor, item.rect, item.read});
      else
        replica_digests_[i] = digest_of(item.tensor.shape, item.rect, size_of(item.tensor.type), item.data);
}

// What comes late goes first: others may wait for what it holds.
std::string Saver::write(const std::vector<std::span<const std::byte>>& pooled, std::vector<Late> late) {
  return outcome([&] {
    int64_t most = 0;
    for (const Late& item : late) most = std::max(most, item.rect.numel() * size_of(item.tensor.type));
    {
      const PageMemory memory = page_memory(round_up(most, kPage));
      for (Late& item : late) {
        write_late(item, {memory.get(), static_cast<size_t>(item.rect.numel() * size_of(item.tensor.type))});
        item.read = nullptr;
      }
    }
    late.clear();
    if (!shard_) return;
    const auto engine = files_.make_async_io({.depth = options_.io_depth});
    for (size_t entry = 0; entry < pooled.size(); ++entry)
      if (!pooled[entry].empty()) shard_->write(entry, pooled[entry], engine.get());
    ShardWriter::finish(*engine);
    shard_->sync();
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
  SaveResult result = peers_.leads() ? std::move(commit_->result) : writing;
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
          outcome([&] { commit_->result.removed = retain_steps(files_, options_.directory, options_.keep); });
        });
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
  late_.clear();
  folder_.clear();
  assets_.clear();
  meta_ = nullptr;
}

}  // namespace strata
