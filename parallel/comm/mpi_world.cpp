// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/mpi_world.h"

#include <mpi.h>

#include <array>
#include <exception>
#include <numeric>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/device/cpu/cpu_stream.h"
#include "parallel/comm/launcher_environment.h"
#include "parallel/comm/mpi_control.h"
#include "parallel/comm/mpi_notices.h"
#include "parallel/comm/mpi_transport.h"
#include "parallel/comm/self_test.h"
#include "parallel/comm/transport_communicator.h"

namespace strata {
namespace {

void start_mpi() {
  int started = 0, provided = 0;
  MPI_Initialized(&started);
  check(!started, "[mpi] MPI was started before");
  mpi_check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_MULTIPLE)
    throw Error(Fault::environment, {.what = "the MPI library does not serve several threads at a time",
                                     .where = mpi_library(),
                                     .expected = "MPI_THREAD_MULTIPLE",
                                     .fix = "use a build of it with thread support"});
}

class MpiWorld : public World {
 public:
  explicit MpiWorld(const MpiOptions& options) : options_(options), exceptions_(std::uncaught_exceptions()) {
    start_mpi();
    mpi_check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    compare_with_launcher();
    control_ = std::make_unique<MpiControl>(abort_, options_.grace);
    if (options_.self_test) test_all();
  }

  ~MpiWorld() override {
    // An exception that leaves this rank behind must not wait for ranks that wait for it.
    if (std::uncaught_exceptions() > exceptions_) control_->abort("an exception ended a rank");
    const bool all = control_->meet_at_end();
    control_.reset();
    if (all) MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string host() const override { return host_name(); }

  std::unique_ptr<Communicator> group(GroupSpec spec) override {
    const int place = place_in(spec, rank_, size_);
    try {
      auto transport = std::make_unique<MpiTransport>(
          make_comm(spec), spec.members, abort_,
          MpiTransport::Options{options_.synchronous_sends, options_.largest_message});
      return std::make_unique<TransportCommunicator>(*this, std::move(spec), place, std::move(transport));
    } catch (const TransportFailure& failure) {
      throw Error(Fault::communication,
                  {.what = fmt::format("the {} ranks of \"{}\" did not come together: {}",
                                       spec.members.size(), spec.purpose, failure.what()),
                   .where = fmt::format("rank {}@{}", rank_, host())});
    }
  }

  std::unique_ptr<NoticeChannel> notices() override {
    try {
      return std::make_unique<MpiNotices>(size_);
    } catch (const TransportFailure& failure) {
      throw Error(Fault::communication, {.what = fmt::format("no channel for notices: {}", failure.what()),
                                         .where = fmt::format("rank {}@{}", rank_, host())});
    }
  }

  void abort(const std::string& reason) override { control_->abort(reason); }
  bool aborted() const override { return abort_.aborted(); }
  bool reports_abort() override { return control_->reports(); }
  void terminate(int code) override { control_->terminate(code); }

 private:
  void compare_with_launcher() const {
    const auto claims = launcher_claims();
    const auto fault = contradiction(claims, rank_, size_);
    if (!fault) return;
    Report report{.what = "the job's launcher and MPI disagree about the ranks",
                  .where = host(),
                  .found = *fault,
                  .expected = "the same rank and number of ranks from both",
                  .fix = fmt::format(
                      "start the program with the mpirun or srun plugin of the library it was built with, {}",
                      mpi_library())};
    // When MPI knows nothing of the launcher every process believes it is rank 0: one of them speaks.
    if (claims.front().rank != 0) throw JobAborted(Fault::environment, std::move(report));
    throw Error(Fault::environment, std::move(report));
  }

  void test_all() {
    GroupSpec spec{.purpose = "self test", .members = std::vector<int>(static_cast<size_t>(size_))};
    std::iota(spec.members.begin(), spec.members.end(), 0);
    const auto comm = group(std::move(spec));
    WorkerPool pool(1);
    CpuStream stream(pool);
    try {
      self_test(*comm, stream);
    } catch (const JobAborted&) {
      throw;
    } catch (const Error& error) {
      abort(error.what());
      throw;
    }
  }

  static MPI_Comm make_comm(const GroupSpec& spec) {
    MPI_Group all = MPI_GROUP_NULL, members = MPI_GROUP_NULL;
    MPI_Comm comm = MPI_COMM_NULL;
    mpi_check(MPI_Comm_group(MPI_COMM_WORLD, &all), "MPI_Comm_group");
    mpi_check(MPI_Group_incl(all, static_cast<int>(spec.members.size()), spec.members.data(), &members),
              "MPI_Group_incl");
    // Groups that form at the same time on the same ranks are told apart by their purpose.
    const int tag = static_cast<int>(hash_name(spec.purpose) % 32749);
    mpi_check(MPI_Comm_create_group(MPI_COMM_WORLD, members, tag, &comm), "MPI_Comm_create_group");
    MPI_Group_free(&members);
    MPI_Group_free(&all);
    mpi_check(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    return comm;
  }

  MpiOptions options_;
  int exceptions_;
  int rank_ = 0;
  int size_ = 1;
  AbortState abort_;
  std::unique_ptr<MpiControl> control_;
};

}  // namespace

std::string mpi_library() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string version(text.data(), static_cast<size_t>(length));
  return version.substr(0, version.find(','));
}

bool has_mpi() { return true; }

std::unique_ptr<World> make_mpi_world(const MpiOptions& options) {
  try {
    return std::make_unique<MpiWorld>(options);
  } catch (const TransportFailure& failure) {
    throw Error(Fault::environment, {.what = fmt::format("MPI did not start: {}", failure.what())});
  }
}

}  // namespace strata
