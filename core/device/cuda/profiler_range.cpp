// SPDX-License-Identifier: Apache-2.0
#include "core/device/profiler_range.h"

#include <nvtx3/nvToolsExt.h>

namespace strata {

ProfilerRange::ProfilerRange(const char* name) { nvtxRangePushA(name); }
ProfilerRange::~ProfilerRange() { nvtxRangePop(); }

}  // namespace strata
