// SPDX-License-Identifier: Apache-2.0
// fio, the yardstick of `strata bench disk`: run on a range of a file that exists, its JSON read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace strata {

enum class DiskMode : uint8_t {
  read,
  write,
  half
};  // half: the first half is read while the second is written

struct DiskFlow {
  double gb_per_s = 0;
  double cpu_s_per_gb = 0;
};

struct FioRequest {
  std::string file;
  int64_t offset = 0, bytes = 0, block = 0;
  int depth = 0;  // shared by the two jobs of DiskMode::half
  bool direct = true;
  std::string engine;  // "io_uring", "libaio"
  DiskMode mode = DiskMode::read;
};

// "fio-3.33"; empty when it cannot be run.
std::string fio_version();
// Nothing when it failed.
std::optional<DiskFlow> run_fio(const FioRequest& request);

// What run_fio runs, and what it makes of the answer; for tests.
std::string fio_command(const FioRequest& request);
std::optional<DiskFlow> read_fio(const std::string& json);

}  // namespace strata
