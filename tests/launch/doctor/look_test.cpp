// SPDX-License-Identifier: Apache-2.0
// What is seen of this very machine, as far as another way of looking tells the same.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "launch/doctor/facts.h"

namespace strata::doctor {
namespace {

TEST(LookTest, CpuAndMemoryAreAsTheSystemSays) {
  const CpuFacts cpu = look_at_cpu();
  EXPECT_GE(cpu.cores, 1);
  EXPECT_LE(cpu.cores, cpu.machine_cores);
  EXPECT_EQ(cpu.isa, machine_isa());
  const MemoryFacts memory = look_at_memory();
  EXPECT_EQ(memory.total_bytes, sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
  EXPECT_GT(memory.available_bytes, 0);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(memory.open_files_limit,
            limit.rlim_cur == RLIM_INFINITY ? kNoLimit : static_cast<int64_t>(limit.rlim_cur));
}

TEST(LookTest, AFolderIsTriedAndLeftAsItWas) {
  std::string folder = testing::TempDir() + "strata-doctor-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const auto files = make_posix_file_system();
  const StorageFacts facts = look_at_storage(*files, folder);
  EXPECT_EQ(facts.error, "");
  EXPECT_GT(facts.write_gb_per_s, 0);
  EXPECT_GT(facts.read_gb_per_s, 0);
  EXPECT_FALSE(facts.engine.empty());
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove_all(folder);
  EXPECT_THAT(look_at_storage(*files, folder).error, testing::HasSubstr("No such file"));
}

}  // namespace
}  // namespace strata::doctor
