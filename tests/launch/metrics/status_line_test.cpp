// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/status_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/launch/metrics/sample_run.h"

namespace strata {
namespace {

using testing::HasSubstr;
using testing::Not;

// What a terminal of unlimited width would show after `bytes`: carriage return, erase to the end of the line,
// newline. Any other control character is a failure.
std::vector<std::string> screen_after(const std::string& bytes) {
  std::vector<std::string> lines(1);
  size_t column = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string& line = lines.back();
    if (bytes[i] == '\r') {
      column = 0;
    } else if (bytes[i] == '\n') {
      lines.emplace_back();
      column = 0;
    } else if (bytes.compare(i, 3, "\x1b[K") == 0) {
      line.resize(column);
      i += 2;
    } else {
      EXPECT_TRUE(bytes[i] >= 0x20 && bytes[i] <= 0x7E) << "byte " << int(bytes[i]);
      if (column == line.size()) line += ' ';
      line[column++] = bytes[i];
    }
  }
  return lines;
}

class Terminal {
 public:
  explicit Terminal(int columns = 200) : columns_(columns) {}

  StatusOptions options() {
    return {.terminal = true,
            .every = 10,
            .columns = [this] { return columns_; },
            .now = [this] { return now_; }};
  }
  void resize(int columns) { columns_ = columns; }
  void pass(double seconds) { now_ += seconds; }
  std::vector<std::string> screen() const { return screen_after(out.str()); }
  size_t drawings() const {
    const std::string bytes = out.str();
    return static_cast<size_t>(std::count(bytes.begin(), bytes.end(), '\r'));
  }

  std::ostringstream out;

 private:
  int columns_;
  double now_ = 1000;
};

StepRecord plain_step(int64_t step) {
  StepRecord r = sample_step(step);
  r.loss = 1.8342;
  r.valid_loss.reset();
  r.grad_norm = 0.93;
  r.lr = 3e-4;
  r.step_seconds = 1.0;
  r.tokens = 1234;
  return r;
}

TEST(StatusLine, ShowsTheFiguresOfAStep) {
  Terminal terminal;
  StatusLine line(terminal.out, terminal.options());
  line.step(plain_step(108));
  EXPECT_THAT(terminal.screen(),
              testing::ElementsAre("step 108/300  loss 1.8342  grad 0.93  lr 3.00e-04  1.2k tok/s  MFU 41%  "
                                   "ETA 3m12s  host 512 MiB  nvme 3 GiB"));
}

TEST(StatusLine, LeavesOutWhatIsNotKnown) {
  Terminal terminal;
  StatusLine line(terminal.out, terminal.options());
  StepRecord r = plain_step(3);
  r.steps_total = 0;
  r.mfu.reset();
  r.memory = {};
  line.step(r);
  EXPECT_THAT(terminal.screen(),
              testing::ElementsAre("step 3  loss 1.8342  grad 0.93  lr 3.00e-04  1.2k tok/s"));
}

TEST(StatusLine, KeepsTheLastValidationLoss) {
  Terminal terminal;
  StatusLine line(terminal.out, terminal.options());
  StepRecord r = plain_step(50);
  r.valid_loss = 1.95;
  line.step(r);
  terminal.pass(1);
  line.step(plain_step(51));
  EXPECT_THAT(terminal.screen().back(), HasSubstr("step 51/300  loss 1.8342  valid 1.9500"));
}

TEST(StatusLine, RewritesInPlaceAndLeavesNothingOfALongerLine) {
  Terminal terminal;
  StatusLine line(terminal.out, terminal.options());
  line.step(plain_step(1));
  terminal.pass(1);
  line.progress("backward", 0.63);
  EXPECT_THAT(terminal.screen(), testing::ElementsAre(testing::EndsWith("nvme 3 GiB  backward 63%")));
  terminal.pass(1);
  line.step(plain_step(2));
  EXPECT_THAT(terminal.screen(), testing::ElementsAre(testing::AllOf(testing::StartsWith("step 2/300"),
                                                                     testing::EndsWith("nvme 3 GiB"))));
}

TEST(StatusLine, ShowsProgressBeforeTheFirstStepIsDone) {
  Terminal terminal;
  StatusLine line(terminal.out, terminal.options());
  line.progress("forward", 0.129);
  EXPECT_THAT(terminal.screen(), testing::ElementsAre("first step  forward 12%"));
}

TEST(StatusLine, ProgressIsClamped) {
  for (const auto& [fraction, text] : std::vector<std::pair<double, const char*>>{
           {-1, "p 0%"}, {0, "p 0%"}, {1, "p 100%"}, {7, "p 100%"}, {NAN, "p 0%"}}) {
    Terminal terminal;
    StatusLine line(terminal.out, terminal.options());
    line.progress("p", fraction);
    EXPECT_THAT(terminal.screen().back(), testing::EndsWith(text));
  }
}

TEST(StatusLine, DrawsAtMostTenTimesASecond) {
  Terminal terminal;
  StatusLine line(terminal.out, terminal.options());
  for (int i = 0; i < 10'000; ++i) {  // ten seconds
    line.progress("forward", i / 1e4);
    terminal.pass(0.001);
  }
  EXPECT_GE(terminal.drawings(), 95u);
  EXPECT_LE(terminal.drawings(), 101u);
}

TEST(StatusLine, FinishShowsAStepThatCameTooSoonToDraw) {
  Terminal terminal;
  {
    StatusLine line(terminal.out, terminal.options());
    for (int64_t step = 1; step <= 300; ++step) line.step(plain_step(step));
    EXPECT_EQ(terminal.drawings(), 1u);
  }
  EXPECT_THAT(terminal.screen(), testing::ElementsAre(testing::StartsWith("step 300/300  loss"), ""));
}

TEST(StatusLine, FinishEndsTheLineOnceAndWithoutProgress) {
  Terminal terminal;
  {
    StatusLine line(terminal.out, terminal.options());
    line.step(plain_step(1));
    terminal.pass(1);
    line.progress("update", 0.5);
    line.finish();
    line.finish();
  }
  EXPECT_THAT(terminal.screen(), testing::ElementsAre(testing::Not(HasSubstr("update")), ""));
}

TEST(StatusLine, WritesNothingWhenThereWasNothing) {
  Terminal terminal;
  { StatusLine line(terminal.out, terminal.options()); }
  EXPECT_EQ(terminal.out.str(), "");
}

TEST(StatusLine, AMessageStartsInTheFirstColumn) {
  Terminal terminal;
  StatusLine line(terminal.out, terminal.options());
  line.interrupt();  // nothing is shown yet: nothing to leave
  EXPECT_EQ(terminal.out.str(), "");
  line.step(plain_step(1));
  line.interrupt();
  line.interrupt();
  terminal.out << "strata: error: no\n";
  terminal.pass(1);
  line.step(plain_step(2));
  EXPECT_THAT(terminal.screen(), testing::ElementsAre(testing::StartsWith("step 1/300"), "strata: error: no",
                                                      testing::StartsWith("step 2/300")));
}

TEST(StatusLine, NeverReachesTheLastColumn) {
  StepRecord r = plain_step(299);
  r.valid_loss = 1.9;
  r.phase = "decay";
  r.memory.device = {int64_t{70} << 30, int64_t{75} << 30};
  // What must be there from which width on.
  const std::vector<std::pair<int, const char*>> parts = {
      {14, "step 299/300"}, {40, "loss 1.8342"}, {40, "backward 50%"}, {100, "ETA"},
      {100, "tok/s"},       {100, "MFU 41%"},    {180, "nvme 3 GiB"},  {180, "decay"}};
  for (int columns = 1; columns <= 220; ++columns) {
    Terminal terminal(columns);
    StatusLine line(terminal.out, terminal.options());
    line.step(r);
    terminal.pass(1);
    line.progress("backward", 0.5);
    const std::string shown = terminal.screen().back();
    EXPECT_LE(shown.size(), static_cast<size_t>(columns - 1)) << shown;
    for (const auto& [from, part] : parts) {
      if (columns >= from) {
        EXPECT_THAT(shown, HasSubstr(part)) << columns;
      }
    }
  }
}

TEST(StatusLine, FollowsTheWidthOfTheTerminal) {
  Terminal terminal(40);
  StatusLine line(terminal.out, terminal.options());
  line.step(plain_step(1));
  const size_t narrow = terminal.screen().back().size();
  terminal.resize(200);
  terminal.pass(1);
  line.step(plain_step(2));
  EXPECT_LE(narrow, 39u);
  EXPECT_GT(terminal.screen().back().size(), 80u);
}

TEST(StatusLine, TakesEightyColumnsWhenTheWidthIsUnknown) {
  Terminal terminal(0);
  StatusLine line(terminal.out, terminal.options());
  line.step(plain_step(1));
  EXPECT_LE(terminal.screen().back().size(), 79u);
  EXPECT_GE(terminal.screen().back().size(), 60u);
}

TEST(StatusLine, EtaForgetsASlowFirstStep) {
  Terminal terminal;
  StatusLine line(terminal.out, terminal.options());
  StepRecord r = plain_step(1);
  r.step_seconds = 100;
  line.step(r);
  EXPECT_THAT(terminal.screen().back(), HasSubstr("ETA 8h18m"));  // 299 steps of 100 s: all that is known
  for (int64_t step = 2; step <= 100; ++step) {
    terminal.pass(1);
    line.step(plain_step(step));
  }
  EXPECT_THAT(terminal.screen().back(), HasSubstr("ETA 3m20s"));  // 200 steps of 1 s
}

// ---- not a terminal
// -------------------------------------------------------------------------------------------

TEST(PlainStatus, OneLineEveryNStepsTheFirstAndTheLast) {
  std::ostringstream out;
  {
    StatusLine line(out, {.every = 10});
    for (int64_t step = 1; step <= 33; ++step) line.step(plain_step(step));
  }
  const auto lines = screen_after(out.str());
  ASSERT_EQ(lines.size(), 6u);
  const char* starts[] = {"step 1/", "step 10/", "step 20/", "step 30/", "step 33/"};
  for (size_t i = 0; i < 5; ++i) EXPECT_THAT(lines[i], testing::StartsWith(starts[i]));
  EXPECT_EQ(lines[5], "");
}

TEST(PlainStatus, NotableStepsAreAlwaysPrinted) {
  std::ostringstream out;
  StatusLine line(out, {.every = 1000});
  line.step(plain_step(1));
  StepRecord valid = plain_step(2), skipped = plain_step(4), broken = plain_step(6);
  valid.valid_loss = 2.5;
  skipped.skipped = true;
  broken.loss = NAN;
  line.step(valid);
  line.step(plain_step(3));
  line.step(skipped);
  line.step(plain_step(5));
  line.step(broken);
  const auto lines = screen_after(out.str());
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[1], HasSubstr("valid 2.5000"));
  EXPECT_THAT(lines[2], testing::AllOf(testing::StartsWith("step 4/"), HasSubstr("skipped")));
  EXPECT_THAT(lines[3], testing::AllOf(testing::StartsWith("step 6/"), HasSubstr("loss nan")));
}

TEST(PlainStatus, NoControlCharactersWhateverTheNames) {
  std::ostringstream out;
  {
    StatusLine line(out, {.every = 1});
    StepRecord r = plain_step(1);
    r.phase = "de\x1b[31mcay\r\n\xc3\xa9\x7f";
    line.step(r);
    line.progress("back\x1bward\n", 0.5);
    line.interrupt();
  }
  for (const char c : out.str()) EXPECT_TRUE(c == '\n' || (c >= 0x20 && c <= 0x7E)) << int(c);
  EXPECT_THAT(out.str(), testing::AllOf(HasSubstr("de?[31mcay????"), Not(HasSubstr("ward"))));
}

TEST(StatusLine, ProgressFromOtherThreads) {
  std::ostringstream out;
  {
    StatusLine line(out, {.terminal = true, .redraw_seconds = 0});
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 200; ++i) line.progress("forward", i / 200.0);
      });
    for (int64_t step = 1; step <= 100; ++step) line.step(plain_step(step));
    for (std::thread& thread : threads) thread.join();
  }
  const auto lines = screen_after(out.str());
  EXPECT_THAT(lines, testing::ElementsAre(testing::StartsWith("step 100/300"), ""));
}

}  // namespace
}  // namespace strata
