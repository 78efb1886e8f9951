// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/comm.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>

#include "core/device/cpu/cpu_stream.h"
#include "launch/bench/foreign_load.h"
#include "launch/bench/median.h"
#include "parallel/comm/thread_world.h"

namespace strata {
namespace {

constexpr CollectiveKind kKinds[] = {CollectiveKind::all_gather, CollectiveKind::reduce_scatter,
                                     CollectiveKind::all_reduce, CollectiveKind::all_to_all,
                                     CollectiveKind::broadcast,  CollectiveKind::exchange};

class Rank {
 public:
  Rank(Communicator& comm, int64_t largest) : comm_(comm) {
    const int64_t n = largest / 4 + comm.size();
    a_ = make_tensor(*allocator_, DType::f32, {n}, "bench source");
    b_ = make_tensor(*allocator_, DType::f32, {n}, "bench destination");
    for (float& x : a_.span<float>()) x = 1e-3f;  // ordinary numbers; every page is touched
    for (float& x : b_.span<float>()) x = 0;
  }

  // Times `kind` with a whole buffer of about `bytes` bytes.
  CommBenchRow measure(CollectiveKind kind, int64_t bytes, int rounds) {
    const int q = comm_.size();
    const int64_t part = std::max<int64_t>(1, bytes / 4 / q), whole = part * q;
    std::vector<Message> sends, receives;
    Collective op{.kind = kind};
    switch (kind) {
      case CollectiveKind::all_gather:
        op.from = a_.slice(0, 0, part), op.to = b_.slice(0, 0, whole);
        break;
      case CollectiveKind::reduce_scatter:
        op.from = a_.slice(0, 0, whole), op.to = b_.slice(0, 0, part);
        break;
      case CollectiveKind::all_to_all:
        op.from = a_.slice(0, 0, whole), op.to = b_.slice(0, 0, whole);
        break;
      case CollectiveKind::exchange:  // a ring
        sends = {{(comm_.rank() + 1) % q, a_.slice(0, 0, whole)}};
        receives = {{(comm_.rank() + q - 1) % q, b_.slice(0, 0, whole)}};
        op.sends = sends, op.receives = receives;
        break;
      default:
        op.from = op.to = b_.slice(0, 0, whole);
    }
    // Of a broadcast the root receives nothing: what the others do counts.
    const int64_t received =
        kind == CollectiveKind::broadcast ? 4 * whole : received_bytes(op, comm_.rank(), q);
    const int repeats =
        static_cast<int>(std::clamp<int64_t>((8 << 20) / std::max<int64_t>(1, received), 1, 100));
    const auto copy = [&] {
      std::memcpy(b_.raw(), a_.raw(), static_cast<size_t>(std::min(received, a_.bytes())));
      if (received > a_.bytes()) std::memcpy(b_.raw(), a_.raw(), static_cast<size_t>(received - a_.bytes()));
    };
    const auto collective = [&] { comm_.enqueue(stream_, op); };
    seconds(repeats, collective);
    std::vector<double> times, copies, ratios;
    for (int round = 0; round < rounds; ++round) {
      copies.push_back(seconds(repeats, copy));
      times.push_back(seconds(repeats, collective));
      ratios.push_back(copies.back() / times.back());
    }
    const double gigabytes = 1e-9 * static_cast<double>(received);
    return {.kind = kind,
            .bytes = 4 * whole,
            .received = received,
            .time_us = 1e6 * median(times),
            .gb_per_s = gigabytes / median(times),
            .copy_gb_per_s = gigabytes / median(copies),
            .of_copy = median(ratios)};
  }

 private:
  // Of one run of `work`, all ranks together: from a barrier to a barrier.
  template <typename Work>
  double seconds(int repeats, const Work& work) {
    comm_.barrier();
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats; ++i) work();
    comm_.barrier();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / repeats;
  }

  Communicator& comm_;
  std::shared_ptr<Allocator> allocator_ = make_cpu_allocator();
  WorkerPool pool_{1};
  CpuStream stream_{pool_};
  Tensor a_, b_;
};

}  // namespace

CommBench bench_comm(World& world, const CommBenchOptions& options) {
  GroupSpec spec{.purpose = "bench", .members = std::vector<int>(static_cast<size_t>(world.size()))};
  std::iota(spec.members.begin(), spec.members.end(), 0);
  const auto comm = world.group(std::move(spec));
  Rank rank(*comm, options.largest);
  CommBench result{.transport = "MPI", .ranks = world.size(), .foreign_cores = -1};
  for (const CollectiveKind kind : kKinds)
    for (int64_t bytes = options.smallest; bytes <= options.largest; bytes *= 4)
      result.rows.push_back(rank.measure(kind, bytes, options.rounds));
  if (world.rank() != 0) result.rows.clear();
  return result;
}

CommBench bench_comm(const CommBenchOptions& options) {
  const int cores = std::max(2, static_cast<int>(std::thread::hardware_concurrency()));
  const ForeignLoad foreign;
  CommBench result;
  run_ranks(options.ranks > 0 ? options.ranks : cores, [&](World& world) {
    CommBench own = bench_comm(world, options);
    if (world.rank() == 0) result = std::move(own);
  });
  result.transport = "threads";
  result.foreign_cores = foreign.cores();
  return result;
}

std::string to_text(const CommBench& bench) {
  std::string text = fmt::format(
      "collectives of f32 among {} ranks over {}; a rank's bytes received, beside a "
      "copy\n{:<16}{:>10}{:>12}{:>9}{:>9}{:>9}\n",
      bench.ranks, bench.transport, "operation", "KiB", "us", "GB/s", "copy", "of copy");
  for (const CommBenchRow& row : bench.rows)
    text += fmt::format("{:<16}{:>10}{:>12.1f}{:>9.2f}{:>9.2f}{:>9.2f}\n", name(row.kind), row.bytes >> 10,
                        row.time_us, row.gb_per_s, row.copy_gb_per_s, row.of_copy);
  if (bench.foreign_cores < 0)
    text += "what others used of the cores meanwhile is not known\n";
  else if (bench.foreign_cores > kQuietCores)
    text += fmt::format("inconclusive: others used {:.2f} cores meanwhile\n", bench.foreign_cores);
  return text;
}

nlohmann::json to_json(const CommBench& bench) {
  nlohmann::json json = {{"bench", "comm"},
                         {"transport", bench.transport},
                         {"ranks", bench.ranks},
                         {"foreign_cores", bench.foreign_cores},
                         {"rows", nlohmann::json::array()}};
  for (const CommBenchRow& row : bench.rows)
    json["rows"].push_back({{"operation", name(row.kind)},
                            {"bytes", row.bytes},
                            {"received", row.received},
                            {"time_us", row.time_us},
                            {"gb_per_s", row.gb_per_s},
                            {"copy_gb_per_s", row.copy_gb_per_s},
                            {"of_copy", row.of_copy}});
  return json;
}

}  // namespace strata
