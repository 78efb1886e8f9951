// SPDX-License-Identifier: Apache-2.0
// A process that trains with the store is killed (SIGKILL) at instants of no choice of its own, on the
// machine's own files: what its successor finds is a committed step, whole, never older than what the victim
// had reported.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/io/chance.h"
#include "tests/offload/store_fixture.h"

namespace strata {
namespace {

// The victim: steps without end, each reported after its commit.
[[noreturn]] void train_until_killed(const TileStoreOptions& options, int report) {
  try {
    const auto files = make_posix_file_system();
    const auto store = TileStore::open(*files, options, sample_values());
    for (int64_t step = store->committed_step() + 1;; ++step) {
      run_step(*store, sample_values(), step);
      store->commit(step);
      if (write(report, &step, sizeof step) != sizeof step) _exit(3);
    }
  } catch (...) {
    _exit(4);
  }
}

TEST(TileStoreKill, TheSuccessorFindsTheLastCommit) {
  const Place place = posix_place();
  Chance chance(7);
  for (const AsyncEngine engine : {AsyncEngine::automatic, AsyncEngine::threads}) {
    TileStoreOptions options = sample_options(drives(*place.files, place.folder, 2));
    options.engine = engine;
    options.run = engine == AsyncEngine::threads ? "run-2" : "run-1";
    int64_t reported = -1;
    for (int round = 0; round < 12; ++round) {
      int pipe_ends[2];
      ASSERT_EQ(pipe(pipe_ends), 0);
      const pid_t victim = fork();
      ASSERT_GE(victim, 0);
      if (victim == 0) train_until_killed(options, pipe_ends[1]);
      close(pipe_ends[1]);
      // At least one step, then any instant.
      int64_t step = -1;
      ASSERT_EQ(read(pipe_ends[0], &step, sizeof step), static_cast<ssize_t>(sizeof step));
      usleep(static_cast<useconds_t>(chance.below(20'000)));
      kill(victim, SIGKILL);
      do reported = std::max(reported, step);
      while (read(pipe_ends[0], &step, sizeof step) == static_cast<ssize_t>(sizeof step));
      close(pipe_ends[0]);
      int status = 0;
      waitpid(victim, &status, 0);
      ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);

      const auto store = TileStore::open(*place.files, options, sample_values());
      const int64_t found = store->committed_step();
      EXPECT_GE(found, reported);
      EXPECT_LE(found, reported + 1);
      for (const StoredValue& stored : sample_values()) {
        if (stored.lifetime == Lifetime::scratch) continue;
        EXPECT_TRUE(holds(*store, stored, stored.lifetime == Lifetime::fixed ? 0 : found))
            << to_string(stored.value);
      }
    }
    EXPECT_GT(reported, 12);
    remove_store_files(*place.files, options.folders, options.run, 0);
  }
}

}  // namespace
}  // namespace strata
