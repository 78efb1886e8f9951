// SPDX-License-Identifier: Apache-2.0
// Carries out a ConversionPlan: writes, reads again, compares, and only then gives the result its name.
#pragma once

#include <string>

#include "core/base/worker_pool.h"
#include "core/io/file_system.h"
#include "launch/convert/conversion_plan.h"

namespace strata {

struct WriteConversion {
  std::string target;    // the folder to make
  std::string identity;  // of what is read (identity_of): a conversion that was cut off goes on only from the
                         // very same
  std::string memory = "2GiB";
};

// Names, sizes and dates of the files at a path.
std::string identity_of(const std::string& path);

// Shows progress and tells what was written. Throws Error(usage) for a budget of memory that is none.
void write_conversion(FileSystem& files, const OpenedCheckpoint& opened, const ConversionPlan& plan,
                      const WriteConversion& options, WorkerPool& pool);

}  // namespace strata
