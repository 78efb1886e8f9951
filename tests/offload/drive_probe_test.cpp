// SPDX-License-Identifier: Apache-2.0
// The probe of a folder measures on every file system, leaves nothing behind, and says what it could not do.
#include "offload/drive_probe.h"

#include "tests/core/io/io_fixture.h"

namespace strata {
namespace {

TEST(DriveProbe, MeasuresAndLeavesNothing) {
  for (const Place& place : all_places())
    for (const int64_t bytes : {int64_t{4} << 20, int64_t{36} << 20}) {
      const DriveProbe probe = probe_drive(*place.files, place.folder, {.bytes = bytes});
      EXPECT_GT(probe.write_gb_per_s, 0);
      EXPECT_GT(probe.read_gb_per_s, 0);
      EXPECT_GT(probe.speed(), 0);
      EXPECT_FALSE(probe.engine.empty());
      EXPECT_TRUE(place.files->list(place.folder)->empty());
    }
}

TEST(DriveProbe, AFullDriveHasNoSpeed) {
  MemoryFileSystem files({.capacity_bytes = 8 << 20});
  EXPECT_EQ(probe_drive(files, "/").speed(), 0);
}

TEST(DriveProbe, FailuresComeOutAndTheFileGoes) {
  MemoryFileSystem files;
  files.inject({.at = 3, .call = IoCall::write});
  EXPECT_EQ(code_of_error([&] { probe_drive(files, "/"); }), EIO);
  EXPECT_TRUE(files.list("/")->empty());
  EXPECT_EQ(code_of_error([&] { probe_drive(files, "/missing"); }), ENOENT);
}

}  // namespace
}  // namespace strata
