// SPDX-License-Identifier: Apache-2.0
// The program. Every fault ends here: it is printed once, on standard error, and decides the exit code.
#include <fmt/core.h>

#include <cerrno>
#include <cstdio>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "launch/cli.h"
#include "launch/config/faults.h"

namespace {

void print(const strata::Report& report) { fmt::print(stderr, "strata: error: {}\n", to_string(report)); }

int internal_error(const char* what) {
  print({.what = std::string("internal error: ") + what,
         .where = {},
         .found = {},
         .expected = {},
         .fix = "this is a bug in Strata: please report it with the command and 'strata version --json'"});
  return static_cast<int>(strata::Fault::internal);
}

// A result that did not reach its file is no result.
void flush_output() {
  if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return;
  throw std::system_error(errno, std::generic_category(), "standard output cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  strata::log::use_standard_error();
  try {
    const int code = strata::run_command_line({argv + 1, argv + argc});
    flush_output();
    return code;
  } catch (const strata::ConfigFaults& faults) {
    for (const strata::Report& report : faults.reports()) print(report);
    return faults.exit_code();
  } catch (const strata::Error& error) {
    print(error.report());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    print({.what = "out of host memory",
           .where = {},
           .found = {},
           .expected = {},
           .fix = "lower batch.micro_batch or data.seq_len, or set parallel.recompute = \"full\""});
    return static_cast<int>(strata::Fault::memory);
  } catch (const std::system_error& error) {
    print({.what = "the system refused an operation",
           .where = {},
           .found = error.what(),
           .expected = "that it succeeds: a file that can be written, a thread that can start",
           .fix = "free what is short (disk space, threads, open files) and run the command again"});
    return static_cast<int>(strata::Fault::environment);
  } catch (const std::exception& error) {
    return internal_error(error.what());
  }
}
