// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/disk.h"

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <thread>

#include "core/base/error.h"
#include "core/io/async_io.h"
#include "core/io/page_memory.h"
#include "launch/bench/foreign_load.h"
#include "launch/bench/median.h"
#include "offload/tile_file.h"
#include "offload/tile_store.h"

namespace strata {
namespace {

using Op = IoRequest::Op;

double cpu_seconds() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

// Drives and hypervisors that limit bandwidth over time owe something to who comes after a rest, as fio does,
// which sets itself up for as long.
constexpr std::chrono::milliseconds kRest{400};

DiskFlow measure(int64_t bytes, const std::function<void()>& work) {
  std::this_thread::sleep_for(kRest);
  const double cpu = cpu_seconds();
  const auto begin = std::chrono::steady_clock::now();
  work();
  const double wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const double gb = 1e-9 * static_cast<double>(bytes);
  return {.gb_per_s = gb / wall_s, .cpu_s_per_gb = (cpu_seconds() - cpu) / gb};
}

// One direction of an engine with its buffers, as a lane has it: registered where the engine can.
class ProbeLane {
 public:
  ProbeLane(FileSystem& files, File& file, AsyncEngine engine, int depth, int64_t block)
      : file_(file),
        block_(block),
        memory_(page_memory(depth * block)),
        io_(files.make_async_io({.depth = depth, .engine = engine, .threads = depth})) {
    std::fill_n(memory_.get(), depth * block, std::byte{0x5A});
    const std::span<std::byte> memory(memory_.get(), static_cast<size_t>(depth * block));
    io_->register_buffers(std::span(&memory, 1));
    io_->register_file(file_);
  }

  void run(Op op, int64_t begin, int64_t bytes) {
    std::vector<uint64_t> free;
    for (int d = 0; d < io_->depth(); ++d) free.push_back(static_cast<uint64_t>(d));
    const auto collect = [&](const IoCompletion& ended) {
      require(ended);
      free.push_back(ended.request.token);
    };
    for (int64_t at = begin; at < begin + bytes; at += block_) {
      if (free.empty()) collect(*io_->wait_any());
      const uint64_t buffer = free.back();
      free.pop_back();
      const std::span<std::byte> memory(memory_.get() + static_cast<int64_t>(buffer) * block_,
                                        static_cast<size_t>(block_));
      io_->submit({op, &file_, at, memory, buffer});
    }
    for (const IoCompletion& ended : io_->wait_all()) collect(ended);
  }

 private:
  File& file_;
  int64_t block_;
  PageMemory memory_;
  std::unique_ptr<AsyncIo> io_;
};

// Two directions at once, each with a thread and half the depth.
template <typename Read, typename Write>
void both(Read read, Write write) {
  std::exception_ptr failure;
  std::thread reader([&] {
    try {
      read();
    } catch (...) {
      failure = std::current_exception();
    }
  });
  write();
  reader.join();
  if (failure) std::rethrow_exception(failure);
}

DiskFlow run_engine(FileSystem& files, File& file, AsyncEngine engine, DiskMode mode, int64_t offset,
                    const DiskBenchOptions& options) {
  const int64_t bytes = options.bytes, half = bytes / 2;
  if (mode != DiskMode::half) {
    ProbeLane lane(files, file, engine, options.depth, options.block);
    return measure(bytes, [&] { lane.run(mode == DiskMode::read ? Op::read : Op::write, offset, bytes); });
  }
  ProbeLane reads(files, file, engine, options.depth / 2, options.block),
      writes(files, file, engine, options.depth / 2, options.block);
  return measure(bytes, [&] {
    both([&] { reads.run(Op::read, offset, half); }, [&] { writes.run(Op::write, offset + half, half); });
  });
}

// Memory of two turns, each of `depth` blocks. It outlives the store that moves it.
struct Turns {
  explicit Turns(int64_t bytes) : bytes(bytes) {
    for (PageMemory& buffer : buffers) {
      buffer = page_memory(bytes);
      std::fill_n(buffer.get(), bytes, std::byte{0x5A});
    }
  }
  std::span<std::byte> of(int turn, int64_t most) const {
    return {buffers[turn].get(), static_cast<size_t>(std::min(bytes, most))};
  }

  int64_t bytes;
  std::array<PageMemory, 2> buffers;
};

// The store moves a value through its lanes, always one call ahead.
class StoreUser {
 public:
  StoreUser(TileStore& store, const Value& value, const Turns& turns)
      : store_(store), value_(value), turns_(turns) {}

  void run(Op op, int64_t begin, int64_t bytes) {
    std::optional<BackingStore::Ticket> before;
    int turn = 0;
    for (int64_t at = begin; at < begin + bytes; at += turns_.bytes, turn ^= 1) {
      const std::span<std::byte> memory = turns_.of(turn, begin + bytes - at);
      const auto ticket = op == Op::read ? store_.read(value_, at, memory) : store_.write(value_, at, memory);
      if (before) store_.wait(*before);
      before = ticket;
    }
    if (before) store_.wait(*before);
  }

 private:
  TileStore& store_;
  Value value_;
  const Turns& turns_;
};

}  // namespace

DiskBench bench_disk(FileSystem& files, const DiskBenchOptions& options) {
  if (options.bytes % (2 * options.block) != 0 || options.block % kStoreAlignment != 0 || options.depth < 2)
    throw Error(
        Fault::usage,
        {.what = "these sizes do not fit together",
         .where = "bench disk",
         .expected = "--block a multiple of 4096, --size a multiple of two blocks, --depth 2 or more"});
  DiskBench result{.options = options, .volume = files.volume(options.folder).type, .fio = fio_version()};
  const std::string run = "bench-disk-" + std::to_string(getpid());
  const Value own = {.cls = ValueClass::moments, .block = 0, .tier = Tier::nvme},
              shared = {.cls = ValueClass::moments, .block = 1, .tier = Tier::nvme};
  const TileStoreOptions store_options = {.folders = {options.folder},
                                          .run = run,
                                          .rank = 9999,
                                          .tile_bytes = options.block,
                                          .read_credits = options.depth,
                                          .write_credits = options.depth,
                                          .volumes = Volumes::any};
  struct Removed {
    FileSystem& files;
    const TileStoreOptions& options;
    ~Removed() {
      try {
        remove_store_files(files, options.folders, options.run, options.rank);
      } catch (const Error&) {  // a folder that has become read-only meanwhile
      }
    }
  } const removed{files, store_options};
  const Turns read_turns(options.depth * options.block), write_turns(options.depth * options.block);
  const auto store =
      TileStore::open(files, store_options,
                      {{own, options.bytes, Lifetime::scratch}, {shared, options.bytes, Lifetime::scratch}});
  const int64_t offset =
      store->plan().slots[store->plan().tiles[store->plan().first_tile[1]].first_slot].offset;
  const std::string path = options.folder + "/" + tile_file_name(store_options.rank, 0);
  std::string note;
  const auto file = open_tile_file(files, path, note);
  result.direct = file->direct();

  StoreUser reader(*store, own, read_turns), writer(*store, own, write_turns);
  std::vector<std::span<std::byte>> memory;
  for (const Turns* turns : {&read_turns, &write_turns})
    for (const int turn : {0, 1}) memory.push_back(turns->of(turn, turns->bytes));
  store->register_memory(memory);
  writer.run(Op::write, 0, options.bytes);

  const auto run_store = [&](DiskMode mode) {
    const int64_t half = options.bytes / 2;
    return measure(options.bytes, [&] {
      if (mode == DiskMode::read) return reader.run(Op::read, 0, options.bytes);
      if (mode == DiskMode::write) return writer.run(Op::write, 0, options.bytes);
      both([&] { reader.run(Op::read, 0, half); }, [&] { writer.run(Op::write, half, half); });
    });
  };
  result.engine_note = files.make_async_io({})->note();
  const bool uring = result.engine_note.empty();
  struct Subject {
    std::string name;
    std::function<std::optional<DiskFlow>(DiskMode)> run;
  };
  std::vector<Subject> subjects;
  if (!result.fio.empty())
    subjects.push_back({"fio", [&](DiskMode mode) {
                          return run_fio({path, offset, options.bytes, options.block, options.depth,
                                          result.direct, uring ? "io_uring" : "libaio", mode});
                        }});
  if (uring)
    subjects.push_back({"io_uring", [&](DiskMode mode) {
                          return run_engine(files, *file, AsyncEngine::uring, mode, offset, options);
                        }});
  subjects.push_back({"threads", [&](DiskMode mode) {
                        return run_engine(files, *file, AsyncEngine::threads, mode, offset, options);
                      }});
  subjects.push_back({"tile store", run_store});

  const ForeignLoad foreign;
  std::vector<std::string> failed;
  for (const DiskMode mode : {DiskMode::read, DiskMode::write, DiskMode::half}) {
    std::vector<std::vector<DiskFlow>> flows(subjects.size());
    for (int round = 0; round < options.rounds; ++round)
      for (size_t turn = 0; turn < subjects.size(); ++turn) {  // nobody always comes first
        const size_t s = (turn + static_cast<size_t>(round)) % subjects.size();
        const auto flow = subjects[s].run(mode);
        if (!flow)
          throw Error(Fault::environment,
                      {.what = "fio failed",
                       .where = path,
                       .fix = "try its command by hand: " +
                              fio_command({path, offset, options.bytes, options.block, options.depth,
                                           result.direct, uring ? "io_uring" : "libaio", mode})});
        flows[s].push_back(*flow);
      }
    for (size_t s = 0; s < subjects.size(); ++s) {
      std::vector<double> speed, cpu, ratio;
      for (size_t round = 0; round < flows[s].size(); ++round) {
        speed.push_back(flows[s][round].gb_per_s);
        cpu.push_back(flows[s][round].cpu_s_per_gb);
        if (!result.fio.empty()) ratio.push_back(flows[s][round].gb_per_s / flows[0][round].gb_per_s);
      }
      result.rows.push_back(
          {mode, subjects[s].name, {median(speed), median(cpu)}, ratio.empty() ? 0 : median(ratio)});
    }
  }
  result.foreign_cores = foreign.cores();
  return result;
}

}  // namespace strata
