// SPDX-License-Identifier: Apache-2.0
// SIGKILL of a job at random instants while it saves, on the machine's own files. The kernel keeps what was
// written, in contrast to save_faults.h; what is real here is the process that is gone, threads, io_uring and
// all.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <sstream>
#include <thread>

#include "tests/checkpoint/save_job.h"

namespace strata {

inline constexpr int kReportPipe = 3;  // of the job: "<step>\n" for each commit it was told of

inline SaverOptions kill_options(const std::string& folder) {
  SaverOptions options = test_options();
  options.directory = folder;
  return options;
}

// The job: saves step after step from the one after the newest, until it is killed. Folder and ranks come by
// the environment, because it is this program, started once more.
TEST(SaveKillTest, DISABLED_Job) {
  const char* const folder = std::getenv("STRATA_TEST_KILL_FOLDER");
  ASSERT_NE(folder, nullptr);
  const auto files = make_posix_file_system();
  run_peers(std::atoi(std::getenv("STRATA_TEST_KILL_RANKS")), [&](Peers& peers) {
    const StepChoice choice = choose_step(*files, folder);
    const int64_t first = choice.folder ? choice.folder->step + 1 : 1;
    peers.all(0);  // all have looked
    Saver saver(*files, peers, kill_options(folder));
    for (int64_t step = first; step < first + 100'000; ++step) {
      if (save_step(saver, peers, step).state != SaveResult::State::committed) return;
      if (!peers.leads()) continue;
      const std::string line = std::to_string(step) + "\n";
      if (::write(kReportPipe, line.data(), line.size()) < 0) return;
    }
  });
}

// Starts the job; its process and the end of the pipe to read.
inline std::pair<pid_t, int> start_saving(const std::string& folder, int ranks) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return {-1, -1};
  ::setenv("STRATA_TEST_KILL_FOLDER", folder.c_str(), 1);
  ::setenv("STRATA_TEST_KILL_RANKS", std::to_string(ranks).c_str(), 1);
  const pid_t job = ::fork();
  if (job == 0) {
    if (pipe[1] == kReportPipe)
      ::fcntl(kReportPipe, F_SETFD, 0);
    else
      ::dup2(pipe[1], kReportPipe);
    const int nowhere = ::open("/dev/null", O_WRONLY);
    ::dup2(nowhere, STDOUT_FILENO);
    ::execl("/proc/self/exe", "job", "--gtest_also_run_disabled_tests",
            "--gtest_filter=SaveKillTest.DISABLED_Job", nullptr);
    ::_exit(127);
  }
  ::close(pipe[1]);
  return {job, pipe[0]};
}

// Kills it `kills` times, once it has committed: never a wrong load, never a lost committed step.
// `in_the_midst` counts those that left half a save.
inline void kill_while_saving(int kills, int ranks, uint64_t seed, int& in_the_midst) {
  const TemporaryFolder folder;
  const std::string run = folder.path() + "/checkpoints";
  const auto files = make_posix_file_system();
  std::mt19937_64 random(seed);
  int unfinished = 0;
  int64_t before = 0;
  for (int kill = 0; kill < kills; ++kill) {
    SCOPED_TRACE(testing::Message() << ranks << " ranks, kill " << kill);
    const auto [job, pipe] = start_saving(run, ranks);
    ASSERT_GT(job, 0);
    std::string said(1, '\0');
    ASSERT_EQ(::read(pipe, said.data(), 1), 1) << "the job never committed";
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 30'000));
    ASSERT_EQ(::kill(job, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(job, &status, 0), job);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the job ended by itself";
    std::array<char, 4096> more{};
    for (ssize_t bytes; (bytes = ::read(pipe, more.data(), more.size())) > 0;)
      said.append(more.data(), static_cast<size_t>(bytes));
    ::close(pipe);
    int64_t reported = 0;
    std::istringstream lines(said.substr(0, said.rfind('\n') + 1));
    for (int64_t step; lines >> step;) reported = step;
    ASSERT_GT(reported, before);
    unfinished += !list_unfinished(*files, run).empty();

    const StepChoice choice = choose_step(*files, run);
    ASSERT_TRUE(choice.folder) << choice.why;
    EXPECT_THAT(choice.passed_over, testing::IsEmpty());
    EXPECT_GE(choice.folder->step, reported) << "a committed step was lost";
    EXPECT_LE(choice.folder->step, reported + 1);
    for (const StepFolder& step : list_steps(*files, run)) expect_step(*files, step.path, ranks, step.step);
    if (testing::Test::HasFailure()) return;
    before = choice.folder->step;
  }
  std::printf("  %d ranks: %d kills, %d in the midst of a save, up to step %lld\n", ranks, kills, unfinished,
              static_cast<long long>(before));
  in_the_midst += unfinished;
  run_peers(ranks, [&](Peers& peers) {
    Saver saver(*files, peers, kill_options(run));
    if (peers.leads()) EXPECT_THAT(list_unfinished(*files, run), testing::IsEmpty());
    EXPECT_EQ(save_step(saver, peers, before + 1).state, SaveResult::State::committed);
  });
  expect_step(*files, step_folder(run, before + 1), ranks, before + 1);
}

}  // namespace strata
