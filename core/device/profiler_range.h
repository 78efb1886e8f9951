// SPDX-License-Identifier: Apache-2.0
// A named range on the calling thread for the profilers of NVIDIA (NVTX): work enqueued inside shows under
// the name. Nothing without CUDA, next to nothing without a profiler.
#pragma once

namespace strata {

class ProfilerRange {
 public:
  explicit ProfilerRange(const char* name);
  ~ProfilerRange();
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;
};

}  // namespace strata
