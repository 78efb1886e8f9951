// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/checkpoint.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <vector>

#include "checkpoint/digest.h"
#include "checkpoint/restore.h"
#include "checkpoint/save_report.h"
#include "checkpoint/saver.h"
#include "checkpoint/strata_source.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/io/crc32c.h"
#include "launch/bench/child_process.h"
#include "launch/bench/foreign_load.h"
#include "launch/bench/median.h"
#include "launch/bench/seconds_of.h"

namespace strata {
namespace {

constexpr int64_t kTensorBytes = int64_t{64} << 20;

// Removes what it made.
class Folder {
 public:
  Folder(FileSystem& files, const std::string& in)
      : files_(files), path_(fmt::format("{}/strata-bench-{}", in, ::getpid())) {
    make_directories(files_, path_);
  }
  ~Folder() {
    try {
      remove_tree(files_, path_);
    } catch (const Error&) {  // it is said by name what a benchmark left
    }
  }
  const std::string& path() const { return path_; }

 private:
  FileSystem& files_;
  std::string path_;
};

// A rank's state: numbers that no disk can compress.
struct State {
  std::vector<TensorSpec> tensors;
  PageMemory memory;
  int64_t bytes = 0;

  explicit State(int64_t wanted) {
    const auto count = std::max<int64_t>(1, wanted / kTensorBytes);
    bytes = count * kTensorBytes;
    memory = page_memory(bytes);
    for (int64_t i = 0; i < bytes; i += 8) {
      const uint64_t value = mix64(static_cast<uint64_t>(i));
      std::memcpy(memory.get() + i, &value, 8);
    }
    for (int64_t t = 0; t < count; ++t)
      tensors.push_back(
          {.name = fmt::format("layers.{}.weight", t), .shape = {4096, kTensorBytes / 4 / 4096}});
  }
  std::byte* data(size_t tensor) const { return memory.get() + static_cast<int64_t>(tensor) * kTensorBytes; }
  std::vector<SaveItem> save_items() const {
    std::vector<SaveItem> items;
    for (size_t t = 0; t < tensors.size(); ++t)
      items.push_back({tensors[t], Rect::whole(tensors[t].shape), data(t)});
    return items;
  }
  std::vector<RestoreItem> restore_items() const {
    std::vector<RestoreItem> items;
    for (size_t t = 0; t < tensors.size(); ++t)
      items.push_back({tensors[t], Rect::whole(tensors[t].shape), data(t)});
    return items;
  }
};

// Bytes a second; nothing without fio. A file that is there is written over, which costs a drive or a
// hypervisor less than blocks nobody used: a checkpoint's are new.
std::optional<double> fio(const std::string& folder, const char* kind, int64_t bytes) {
  const auto outcome =
      run_child({"fio", "--name=strata", "--filename=" + folder + "/fio", fmt::format("--rw={}", kind),
                 "--bs=4M", fmt::format("--size={}", bytes), "--direct=1", "--ioengine=libaio", "--iodepth=8",
                 "--end_fsync=1", "--output-format=json"});
  if (!outcome) return std::nullopt;
  const auto said = nlohmann::json::parse(outcome->out, nullptr, false);
  if (outcome->code != 0 || !said.is_object())
    throw Error(Fault::environment, {.what = "fio could not measure the disk",
                                     .where = folder,
                                     .found = fmt::format("exit code {}", outcome->code),
                                     .fix = "name a folder on a file system with direct I/O: --folder"});
  return said.at("jobs").at(0).at(kind).at("bw_bytes").get<double>();
}

// What one core does of a save's work on its own, in GB/s: medians over the rounds.
void measure_stages(const State& state, std::span<std::byte> copy, int rounds, CheckpointBench& result) {
  std::vector<double> copied, summed, hashed;
  for (int round = 0; round < rounds; ++round) {
    copied.push_back(seconds_of([&] { std::memcpy(copy.data(), state.memory.get(), copy.size()); }));
    summed.push_back(seconds_of([&] { result.stage_check += crc32c(copy); }));
    hashed.push_back(seconds_of(
        [&] { result.stage_check += digest_of_run(0, std::ssize(copy) / 4, 4, copy.data()).low; }));
  }
  const double gigabytes = 1e-9 * static_cast<double>(copy.size());
  result.copy_gb_per_s = gigabytes / median(copied);
  result.crc_gb_per_s = gigabytes / median(summed);
  result.digest_gb_per_s = gigabytes / median(hashed);
}

// Every tensor on two ranks of many, a half each, and none whole: as in tests/checkpoint/save_plan_test.cpp.
double plan_seconds() {
  std::vector<std::vector<Held>> held(kPlanRanks);
  for (int t = 0; t < kPlanTensors; ++t) {
    const TensorSpec tensor{.name = fmt::format("layers.{}.weight", t), .shape = {2, 1000}};
    held[static_cast<size_t>(t % kPlanRanks)].push_back({tensor, {{0, 0}, {1, 1000}}});
    held[static_cast<size_t>((t + 1) % kPlanRanks)].push_back({tensor, {{1, 0}, {1, 1000}}});
  }
  return seconds_of([&] { pack_shares(plan_save(held).ranks); });
}

}  // namespace

CheckpointBench bench_checkpoint(WorkerPool& pool, const CheckpointBenchOptions& options) {
  const auto files = make_posix_file_system();
  const Folder folder(*files, options.folder);
  const State state(options.bytes);
  CheckpointBench result{.file_system = files->volume(folder.path()).type,
                         .bytes = state.bytes,
                         .threads = pool.threads(),
                         .rounds = options.rounds};
  const auto bytes = static_cast<double>(state.bytes);
  const auto peers = make_solo_peers();
  Saver saver(*files, *peers, {.directory = folder.path() + "/checkpoints", .keep = 2});
  const auto copy = page_memory(state.bytes);
  std::vector<double> fio_write, fio_rewrite, fio_read, save, load, save_ratio, load_ratio, stall, copied,
      stall_ratio;
  const auto save_step = [&](int64_t step) {
    saver.reserve(step, state.save_items());  // a step before, as a run does
    SaveResult saved;
    const double took = seconds_of([&] {
      saver.begin({.step = step, .meta = {{"step", step}}, .items = state.save_items()});
      saved = saver.finish();
    });
    if (saved.state != SaveResult::State::committed)
      throw Error(Fault::environment, {.what = "the benchmark's checkpoint was not saved",
                                       .where = folder.path(),
                                       .found = saved.message});
    return std::pair(took, saved);
  };
  save_step(1);  // the pool's pages
  std::memcpy(copy.get(), state.memory.get(), static_cast<size_t>(state.bytes));
  measure_stages(state, {copy.get(), static_cast<size_t>(state.bytes)}, options.rounds, result);
  fio(folder.path(), "write", state.bytes);
  const ForeignLoad foreign;
  for (int round = 0; round < options.rounds; ++round) {
    const auto rewrite = fio(folder.path(), "write", state.bytes);  // what the round before left
    files->remove(folder.path() + "/fio");
    const auto disk_write = fio(folder.path(), "write", state.bytes);
    const auto [took, saved] = save_step(round + 2);
    save.push_back(bytes / took);
    stall.push_back(saved.stall_s);
    copied.push_back(
        seconds_of([&] { std::memcpy(copy.get(), state.memory.get(), static_cast<size_t>(state.bytes)); }));
    stall_ratio.push_back(stall.back() / copied.back());
    const auto disk_read = disk_write ? fio(folder.path(), "read", state.bytes) : std::nullopt;
    load.push_back(bytes / seconds_of([&] {
                     restore(StrataSource(*files, saved.path), *peers, state.restore_items(), pool);
                   }));
    if (!disk_write || !rewrite || !disk_read) continue;
    result.fio = true;
    fio_write.push_back(*disk_write);
    fio_rewrite.push_back(*rewrite);
    fio_read.push_back(*disk_read);
    save_ratio.push_back(save.back() / *disk_write);
    load_ratio.push_back(load.back() / *disk_read);
  }
  result.foreign_cores = result.fio ? -1 : foreign.cores();  // fio's own work would count as foreign
  if (result.fio) {
    result.fio_write_gb_per_s = 1e-9 * median(fio_write);
    result.fio_rewrite_gb_per_s = 1e-9 * median(fio_rewrite);
    result.fio_read_gb_per_s = 1e-9 * median(fio_read);
    result.save_of_fio = median(save_ratio);
    result.load_of_fio = median(load_ratio);
  }
  result.save_gb_per_s = 1e-9 * median(save);
  result.load_gb_per_s = 1e-9 * median(load);
  result.stall_ms = 1e3 * median(stall);
  result.copy_ms = 1e3 * median(copied);
  result.of_copy = median(stall_ratio);
  const ForeignLoad planning;
  result.plan_s = plan_seconds();
  if (result.foreign_cores < 0) result.foreign_cores = planning.cores();
  return result;
}

std::string to_text(const CheckpointBench& bench) {
  const auto verdict = [](bool met) { return met ? "met" : "missed"; };
  std::string text =
      fmt::format("{:.2f} GB on {}, {} threads, {} rounds\n", 1e-9 * static_cast<double>(bench.bytes),
                  bench.file_system, bench.threads, bench.rounds);
  text += fmt::format("{:<28}{:>10}{:>10}{:>10}\n", "", "GB/s", "fio", "of fio");
  const auto row = [&](const char* what, double ours, double peer, double ratio, double target) {
    text += bench.fio ? fmt::format("{:<28}{:>10.3f}{:>10.3f}{:>10.2f}   target {:.2f}: {}\n", what, ours,
                                    peer, ratio, target, verdict(ratio >= target))
                      : fmt::format("{:<28}{:>10.3f}{:>10}\n", what, ours, "no fio");
  };
  row("save, with checksums", bench.save_gb_per_s, bench.fio_write_gb_per_s, bench.save_of_fio, kSaveTarget);
  if (bench.fio)
    text += fmt::format("{:<28}{:>10}{:>10.3f}\n", "fio over a file that is there", "",
                        bench.fio_rewrite_gb_per_s);
  row("load, verified", bench.load_gb_per_s, bench.fio_read_gb_per_s, bench.load_of_fio, kLoadTarget);
  text += fmt::format("one core: copies {:.1f}, CRC-32C {:.1f}, digest {:.1f} GB/s\n", bench.copy_gb_per_s,
                      bench.crc_gb_per_s, bench.digest_gb_per_s);
  text += fmt::format("stall of an asynchronous save {:.1f} ms, copy {:.1f} ms: {:.2f}   target {:.2f}: {}\n",
                      bench.stall_ms, bench.copy_ms, bench.of_copy, kStallTarget,
                      verdict(bench.of_copy <= kStallTarget));
  text += fmt::format("{} tensors on {} ranks planned in {:.2f} s   target {:.0f} s: {}\n", kPlanTensors,
                      kPlanRanks, bench.plan_s, kPlanTarget, verdict(bench.plan_s <= kPlanTarget));
  if (bench.foreign_cores > kQuietCores)
    text += fmt::format("inconclusive: others used {:.2f} cores meanwhile\n", bench.foreign_cores);
  return text;
}

nlohmann::json to_json(const CheckpointBench& bench) {
  return {{"bench", "checkpoint"},
          {"file_system", bench.file_system},
          {"bytes", bench.bytes},
          {"threads", bench.threads},
          {"rounds", bench.rounds},
          {"fio", bench.fio},
          {"fio_write_gb_per_s", bench.fio_write_gb_per_s},
          {"fio_rewrite_gb_per_s", bench.fio_rewrite_gb_per_s},
          {"fio_read_gb_per_s", bench.fio_read_gb_per_s},
          {"save_gb_per_s", bench.save_gb_per_s},
          {"load_gb_per_s", bench.load_gb_per_s},
          {"save_of_fio", bench.save_of_fio},
          {"load_of_fio", bench.load_of_fio},
          {"copy_gb_per_s", bench.copy_gb_per_s},
          {"crc_gb_per_s", bench.crc_gb_per_s},
          {"digest_gb_per_s", bench.digest_gb_per_s},
          {"stall_ms", bench.stall_ms},
          {"copy_ms", bench.copy_ms},
          {"stall_of_copy", bench.of_copy},
          {"plan_s", bench.plan_s},
          {"foreign_cores", bench.foreign_cores}};
}

}  // namespace strata
