// SPDX-License-Identifier: Apache-2.0
// Schedules from text: what is read, and what is refused with its line.
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "parallel/schedules/schedule.h"

namespace strata {
namespace {

TEST(ScheduleText, ReadsCellsCommentsAndAnyMap) {
  // The V shape: rank 0 holds the first and the last stage.
  const Schedule schedule = parse_schedule(
      "# a V\n\n  F0.0\tF3.0 I3.0 W3.0   B0.0 # rank 0\r\n#\nF1.0 F2.0 B2.0 B1.0", "v.schedule");
  EXPECT_EQ(schedule.micro_batches, 1);
  EXPECT_EQ(schedule.stage_rank, (std::vector<int>{0, 1, 1, 0}));
  ASSERT_EQ(schedule.num_ranks(), 2);
  EXPECT_EQ(schedule.ranks[0], (Grid{{CellKind::forward, 0, 0},
                                     {CellKind::forward, 3, 0},
                                     {CellKind::backward_input, 3, 0},
                                     {CellKind::backward_weight, 3, 0},
                                     {CellKind::backward, 0, 0}}));
  EXPECT_EQ(to_text(schedule), "F0.0 F3.0 I3.0 W3.0 B0.0\nF1.0 F2.0 B2.0 B1.0\n");
}

std::string refusal(std::string_view text, const ScheduleShape& shape = {1, 1, 1}) {
  try {
    (void)schedule_from_text(text, "my.schedule", shape);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    return error.what();
  }
  return "not refused";
}

TEST(ScheduleText, RefusesWhatIsNoCell) {
  for (const std::string word : {"F", "F0", "F0.", "F.0", "0.0", "f0.0", "G0.0", "F0.0x", "F-1.0", "F0.-1",
                                 "F0,0", "F0.0.0", "F40000.0", "F0.99999999999999999999", "F 0.0"}) {
    const std::string wrong = word.substr(0, word.find(' '));
    EXPECT_EQ(refusal("# one\nF0.0 " + word + " B0.0\n"),
              "this is not a cell of a pipeline schedule\n"
              "  where:    my.schedule:2\n"
              "  found:    \"" +
                  wrong +
                  "\"\n"
                  "  expected: F, B, I or W, then stage.micro-batch, as in F0.3");
  }
}

TEST(ScheduleText, RefusesWhatIsNotForThisRun) {
  EXPECT_EQ(refusal("# nothing\n\n"),
            "this pipeline schedule has no cells\n"
            "  where:    my.schedule\n"
            "  expected: a line per rank, such as F0.0 F0.1 B0.0 B0.1");
  EXPECT_EQ(refusal("F0.0 B0.0\nF1.0 B1.0", {2, 2, 4}),
            "the pipeline schedule is not for this run\n"
            "  where:    my.schedule\n"
            "  found:    2 ranks, 2 stages, 1 micro-batches\n"
            "  expected: 2 ranks, 4 stages, 4 micro-batches, from parallel.pp, parallel.virtual_stages and "
            "[batch]");
  EXPECT_EQ(
      refusal("B0.0 F0.0"),
      "the pipeline schedule is not possible\n"
      "  where:    my.schedule\n"
      "  found:    B0.0 before F0.0\n"
      "    rank 0   [B0.0] [F0.0]\n"
      "  expected: every stage forward and backward once for each micro-batch, in an order in which no rank "
      "waits for ever");
}

}  // namespace
}  // namespace strata
