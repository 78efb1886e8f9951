// SPDX-License-Identifier: Apache-2.0
// What a run with state away says about itself: lanes' times from events, rates of several drives, and the
// part that keeps its steps from the roofline.
#include "launch/train/roofline_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/train/step_load.h"

namespace strata {
namespace {

using testing::HasSubstr;

ActionEvent event(Lane lane, int64_t begin_ms, int64_t end_ms, int64_t wait_ms, Lane waited_for) {
  return {.lane = lane,
          .wait_ns = wait_ms * 1'000'000,
          .waited_for = waited_for,
          .begin_ns = begin_ms * 1'000'000,
          .end_ns = end_ms * 1'000'000};
}

TEST(LaneTally, SumsWorkAndWhatComputingWaitedFor) {
  LaneTally tally;
  tally.add(event(Lane::compute, 0, 10, 3, Lane::disk_read));
  tally.add(event(Lane::compute, 12, 20, 2, Lane::compute));  // nothing waited for
  tally.add(event(Lane::disk_read, 0, 7, 5, Lane::compute));  // not computing
  tally.add(event(Lane::compute, 20, 21, 1, Lane::disk_read));
  const LaneTimes times = tally.take();
  EXPECT_DOUBLE_EQ(times.busy(Lane::compute), 0.019);
  EXPECT_DOUBLE_EQ(times.busy(Lane::disk_read), 0.007);
  EXPECT_DOUBLE_EQ(times.waited(Lane::disk_read), 0.004);
  const auto waits = waits_ms(times);
  ASSERT_EQ(waits.size(), 1u);
  EXPECT_DOUBLE_EQ(waits.at("disk_read"), 4);
  EXPECT_EQ(tally.take().busy(Lane::compute), 0) << "taken once";
}

TEST(StepRates, DrivesEndTogetherOrTheSlowestForItsShareDecides) {
  const auto drive = [](double read, double write, double mixed) {
    return DriveProbe{.write_gb_per_s = write, .read_gb_per_s = read, .mixed_gb_per_s = mixed};
  };
  const Rates plain;
  EXPECT_EQ(with_drives(plain, {}).disk_read, plain.disk_read);
  const DriveProbe one[] = {drive(3, 2, 2.5)};
  EXPECT_DOUBLE_EQ(with_drives(plain, one).disk_read, 3e9);
  EXPECT_DOUBLE_EQ(with_drives(plain, one).disk_write, 2e9);
  // The second gets a quarter of all tiles, and writes them at 0.4: the whole goes at 1.6.
  const DriveProbe two[] = {drive(6, 6, 3), drive(2, 0.4, 1)};
  EXPECT_DOUBLE_EQ(with_drives(plain, two).disk_read, 8e9);
  EXPECT_DOUBLE_EQ(with_drives(plain, two).disk_write, 1.6e9);
  const DriveProbe unknown[] = {drive(3, 2, 2.5), drive(0, 0, 0)};
  EXPECT_EQ(with_drives(plain, unknown).disk_write, plain.disk_write);
}

// A step of 1 s of computing beside 0.8 s of the drive.
class Watch : public testing::Test {
 protected:
  Watch() { begin(); }
  void begin() {
    watch = RooflineWatch({.tokens = 1000, .h2d = 1e9, .drive_read = 0.5e9, .drive_write = 0.3e9},
                          {.h2d = 10e9, .d2h = 10e9, .drive_read = 1e9, .drive_write = 1e9});
    for (int i = 0; i <= RooflineWatch::kMeasured; ++i) EXPECT_EQ(watch.step(1.05, usual()), std::nullopt);
  }
  static LaneTimes usual() {
    LaneTimes times;
    times.busy_s[static_cast<size_t>(Lane::compute)] = 1;
    times.busy_s[static_cast<size_t>(Lane::disk_read)] = 0.5;
    times.busy_s[static_cast<size_t>(Lane::disk_write)] = 0.3;
    times.busy_s[static_cast<size_t>(Lane::h2d)] = 0.1;
    return times;
  }
  // What it says of a run of such steps.
  std::string said(double seconds, const LaneTimes& times) {
    std::string text;
    for (int i = 0; i < 3 * RooflineWatch::kWindow; ++i)
      if (const auto line = watch.step(seconds, times)) text += *line + "\n";
    return text;
  }
  RooflineWatch watch{{}, {}};
};

TEST_F(Watch, SaysNothingWithinTheTolerance) {
  ASSERT_TRUE(watch.roofline().has_value());
  EXPECT_EQ(watch.roofline()->binds, StepPart::device);
  EXPECT_DOUBLE_EQ(watch.roofline()->step_s, 1);
  EXPECT_EQ(said(1.14, usual()), "");
}

TEST_F(Watch, NamesThePartThatIsTooSlow) {
  LaneTimes slow_drive = usual();
  slow_drive.busy_s[static_cast<size_t>(Lane::disk_read)] = 1.4;
  slow_drive.waited_s[static_cast<size_t>(Lane::disk_read)] = 0.7;
  std::string text = said(1.7, slow_drive);
  EXPECT_THAT(text, HasSubstr("70% more than device allows (1 s); most of it is the drive, 0.9 s too long"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << "once in a while";

  begin();
  LaneTimes slow_device = usual();
  slow_device.busy_s[static_cast<size_t>(Lane::compute)] = 1.3;
  EXPECT_THAT(said(1.32, slow_device), HasSubstr("the device, 0.3 s too long"));

  begin();
  LaneTimes slow_link = usual();
  slow_link.busy_s[static_cast<size_t>(Lane::h2d)] = 1.2;
  EXPECT_THAT(said(1.4, slow_link), HasSubstr("the link to the device, 1.1 s too long"));

  // Nobody is slow, but one after the other.
  begin();
  LaneTimes serial = usual();
  serial.waited_s[static_cast<size_t>(Lane::disk_read)] = 0.5;
  EXPECT_THAT(said(1.5, serial), HasSubstr("waiting for loads, 0.5 s too long: a larger offload.prefetch"));
}

TEST_F(Watch, OneSlowStepIsNone) {
  std::string text;
  for (int i = 0; i < 40; ++i)
    if (const auto line = watch.step(i % 8 == 0 ? 5 : 1.1, usual())) text += *line;
  EXPECT_EQ(text, "");
}

}  // namespace
}  // namespace strata
