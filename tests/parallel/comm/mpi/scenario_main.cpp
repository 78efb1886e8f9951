// SPDX-License-Identifier: Apache-2.0
// Run under mpirun by mpi_jobs_test: jobs that go wrong in one way each, ended as a program ends them.
#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <thread>

#include "core/device/cpu/cpu_stream.h"
#include "parallel/comm/mpi_world.h"
#include "parallel/watchdog.h"

namespace strata {
namespace {

class Job {
 public:
  Job(World& world, const FlightRecorder& recorder)
      : world_(world), watchdog_(world, progress, &recorder, std::chrono::seconds(5)) {
    GroupSpec spec{.purpose = "data", .members = std::vector<int>(static_cast<size_t>(world.size()))};
    std::iota(spec.members.begin(), spec.members.end(), 0);
    comm_ = world.group(std::move(spec));
  }
  int rank() const { return world_.rank(); }
  World& world() { return world_; }
  void all_reduce(int64_t n = 1000) {
    const Tensor values = make_tensor(*allocator_, DType::f32, {n}, "values");
    comm_->all_reduce(stream_, values);
  }
  [[noreturn]] void work_for_ever() {
    for (;;) all_reduce();
  }
  void exchange(const std::vector<Message>& sends, const std::vector<Message>& receives) {
    comm_->exchange(stream_, sends, receives);
  }
  Tensor tensor(int64_t n) { return make_tensor(*allocator_, DType::f32, {n}, "values"); }

  Progress progress;

 private:
  World& world_;
  std::shared_ptr<Allocator> allocator_ = make_cpu_allocator();
  WorkerPool pool_{1};
  CpuStream stream_{pool_};
  std::unique_ptr<Communicator> comm_;
  Watchdog watchdog_;
};

void send_itself(Job& job, int rank, int signal) {
  for (int step = 1; step < 20; ++step) {
    job.progress.enter(step, "forward");
    job.all_reduce();
    if (job.rank() != rank || step != 12) continue;
    std::this_thread::sleep_for(std::chrono::milliseconds(600));  // two heartbeats
    kill(getpid(), signal);
  }
}

const std::map<std::string, std::function<void(Job&)>> kScenarios = {
    {"fine", [](Job& job) { job.all_reduce(); }},
    {"one-fails",
     [](Job& job) {
       for (int i = 0; i < 3; ++i) job.all_reduce();
       if (job.rank() == 1)
         throw Error(Fault::data, {.what = "the token file is cut short", .where = "rank 1"});
       job.work_for_ever();
     }},
    // All others sleep where no operation can tell them.
    {"one-fails-others-compute",
     [](Job& job) {
       if (job.rank() == 1) throw Error(Fault::numeric, {.what = "the loss is not a number"});
       std::this_thread::sleep_for(std::chrono::minutes(5));
     }},
    // An abort from a thread beside the one that hangs.
    {"abort-beside",
     [](Job& job) {
       if (job.rank() == 0) std::thread([&] { job.world().abort("the watchdog has seen enough"); }).detach();
       std::this_thread::sleep_for(std::chrono::minutes(5));
     }},
    {"sizes-differ", [](Job& job) { job.all_reduce(job.rank() == 2 ? 500 : 400); }},
    {"one-returns",
     [](Job& job) {
       if (job.rank() != 0) job.all_reduce();
       if (job.rank() == 0) throw Error(Fault::usage, {.what = "nothing to do"});
     }},
    // Fine while the library buffers small messages: each sends first and receives later.
    {"relies-on-buffering",
     [](Job& job) {
       const int other = job.rank() ^ 1;
       job.exchange({{other, job.tensor(4)}}, {});
       job.exchange({}, {{other, job.tensor(4)}});
     }},
    {"stopped-0", [](Job& job) { send_itself(job, 0, SIGSTOP); }},
    {"stopped-2", [](Job& job) { send_itself(job, 2, SIGSTOP); }},
    {"killed-1", [](Job& job) { send_itself(job, 1, SIGKILL); }},
    {"hangs",
     [](Job& job) {
       job.progress.enter(4, "optimizer");
       if (job.rank() == 1) std::this_thread::sleep_for(std::chrono::minutes(5));
       job.all_reduce();
     }},
};

}  // namespace
}  // namespace strata

int main(int argc, char** argv) {
  using namespace strata;
  const std::string scenario = argc > 1 ? argv[1] : "";
  MpiOptions options{.grace = std::chrono::milliseconds(1000)};
  options.synchronous_sends = argc > 2 && std::string(argv[2]) == "--synchronous";
  FlightRecorder recorder;
  std::unique_ptr<World> world;
  int code = 0;
  try {
    world = record_flight(make_mpi_world(options), recorder);
    Job job(*world, recorder);
    kScenarios.at(scenario)(job);
  } catch (const Error& error) {
    // A rank that only heard of another's failure does not report it.
    if (world) world->abort(error.what());
    const bool reports = !world || world->reports_abort();
    if (reports) fmt::print(stderr, "strata: error: {}\n", error.what());
    if (!reports) fmt::print(stderr, "rank {} stopped\n", world->rank());
    code = error.exit_code();
  }
  if (code != 0 && world) world->terminate(code);
  return code;
}
