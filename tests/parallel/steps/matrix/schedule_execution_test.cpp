// SPDX-License-Identifier: Apache-2.0
// Every schedule, executed by ranks that sleep for their work, idles as long as simulated.
#include <gtest/gtest.h>

#include "tests/parallel/steps/sleeping_ranks.h"

namespace strata {
namespace {

// Few and long cells: what a hand-over costs adds up along the path of a step, what is idle does not.
TEST(ScheduleExecution, IdlesAsSimulated) {
  for (const SleepCase& c : {SleepCase{"gpipe", 4, 4},
                             {"1f1b", 4, 4},
                             {"1f1b", 4, 8},
                             {"interleaved", 4, 4, 2},
                             {"zb-h1", 4, 4},
                             {"zb-h1", 4, 8},
                             {"zb-h2", 4, 8}})
    if (!idles_as_simulated(c, 0.06)) GTEST_SKIP() << "the machine is too busy to measure " << c;
}

}  // namespace
}  // namespace strata
