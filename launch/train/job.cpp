// SPDX-License-Identifier: Apache-2.0
#include "launch/train/job.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "core/base/worker_pool.h"
#include "core/device/cpu/cpu_stream.h"
#include "launch/config/faults.h"
#include "parallel/comm/device_world.h"
#include "parallel/comm/fingerprint.h"
#include "parallel/comm/launcher_environment.h"
#include "parallel/comm/mpi_world.h"

namespace strata {
namespace {

std::unique_ptr<World> open_world() {
  if (started_by_launcher()) return make_mpi_world();
  return make_solo_world();
}

// What one rank tells the user, and the exit code of all.
struct Cause {
  int code = static_cast<int>(Fault::internal);
  std::string text;
};

Cause cause_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const ConfigFaults& faults) {
    Cause cause{.code = faults.exit_code()};
    for (const Report& report : faults.reports())
      cause.text += (cause.text.empty() ? "" : "\nstrata: error: ") + to_string(report);
    return cause;
  } catch (const Error& error) {
    return {error.exit_code(), to_string(error.report())};
  } catch (const std::bad_alloc&) {
    return {static_cast<int>(Fault::memory),
            "out of host memory\n  fix: fewer ranks on this machine, or smaller micro-batches"};
  } catch (const std::exception& error) {
    return {static_cast<int>(Fault::internal), std::string("internal error: ") + error.what()};
  }
}

// The first line in which two texts differ.
std::string first_difference(std::string_view a, std::string_view b) {
  while (!a.empty() || !b.empty()) {
    const std::string_view line_a = a.substr(0, a.find('\n')), line_b = b.substr(0, b.find('\n'));
    if (line_a != line_b) return fmt::format("\"{}\" there, \"{}\" on rank 0", line_b, line_a);
    a.remove_prefix(std::min(line_a.size() + 1, a.size()));
    b.remove_prefix(std::min(line_b.size() + 1, b.size()));
  }
  return "";
}

}  // namespace

int run_job(const std::function<int(const Job&)>& body) {
  FlightRecorder recorder;
  const std::unique_ptr<World> bare = open_world();
  // Debugging: every operation is compared over its members before it runs.
  const char* const wanted = std::getenv("STRATA_FINGERPRINT");
  const bool fingerprints = wanted && *wanted == '1';
  const std::unique_ptr<World> world =
      fingerprints ? record_flight(fingerprint_around(*bare), recorder) : record_flight(*bare, recorder);
  const Job job{*bare, *world, recorder, fingerprints};
  if (world->size() == 1) return body(job);
  int code = 0;
  try {
    return body(job);
  } catch (...) {
    const Cause cause = cause_of(std::current_exception());
    code = cause.code;
    world->abort(cause.text);
    if (world->reports_abort()) fmt::print(stderr, "strata: error: {}\n", cause.text);
    std::fflush(stderr);
  }
  world->terminate(code);
  return code;
}

std::unique_ptr<World> make_device_world(const Job& job, Device device,
                                         const std::shared_ptr<Allocator>& host_memory, bool ordered,
                                         std::string* why) {
  std::unique_ptr<World> made = make_device_world(job.bare, device, host_memory, ordered, why);
  if (!made) return nullptr;
  if (job.fingerprints) made = fingerprint_device(std::move(made), job.bare);
  return record_flight(std::move(made), job.recorder);
}

std::vector<std::string> gather_text(Communicator& everyone, const std::string& text) {
  WorkerPool pool(1);
  CpuStream stream(pool);
  const int ranks = everyone.size();
  std::vector<int64_t> sizes(static_cast<size_t>(ranks));
  sizes[static_cast<size_t>(everyone.rank())] = static_cast<int64_t>(text.size());
  const Tensor all_sizes = Tensor::borrow(sizes.data(), DType::i64, {ranks});
  everyone.all_gather(stream, all_sizes.slice(0, everyone.rank(), 1), all_sizes);
  int64_t longest = 1;
  for (const int64_t size : sizes) longest = std::max(longest, size);
  std::vector<char> bytes(static_cast<size_t>(ranks * longest));
  std::memcpy(bytes.data() + everyone.rank() * longest, text.data(), text.size());
  const Tensor all = Tensor::borrow(bytes.data(), DType::u8, {ranks * longest});
  everyone.all_gather(stream, all.slice(0, everyone.rank() * longest, longest), all);
  std::vector<std::string> texts;
  for (int r = 0; r < ranks; ++r)
    texts.emplace_back(bytes.data() + r * longest, static_cast<size_t>(sizes[static_cast<size_t>(r)]));
  return texts;
}

void require_same(Communicator& everyone, const std::string& what, const std::string& text) {
  if (everyone.size() == 1) return;
  const std::vector<std::string> texts = gather_text(everyone, text);
  std::vector<int> others;
  for (int r = 0; r < everyone.size(); ++r)
    if (texts[static_cast<size_t>(r)] != texts[0]) others.push_back(r);
  if (others.empty()) return;
  throw Error(Fault::environment,
              {.what = fmt::format("the ranks of this job do not have the same {}", what),
               .where = fmt::format("rank{} {}", others.size() > 1 ? "s" : "", fmt::join(others, ", ")),
               .found = first_difference(texts[0], texts[static_cast<size_t>(others[0])]),
               .expected = fmt::format("the same {} on all {} ranks", what, everyone.size()),
               .fix = "start every rank with the same program and the same command"});
}

void preflight(Communicator& everyone, const PreflightFacts& facts) {
  require_same(everyone, "build", facts.build);
  require_same(everyone, "configuration", facts.configuration);
  if (facts.isa_matters) require_same(everyone, "instruction set (STRATA_ISA makes them alike)", facts.isa);
}

}  // namespace strata
