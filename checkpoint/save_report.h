// SPDX-License-Identifier: Apache-2.0
// What ranks tell rank 0 about a save, as bytes, and how it becomes a manifest.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/manifest.h"
#include "checkpoint/save_plan.h"
#include "checkpoint/shard_writer.h"

namespace strata {

struct SaveReport {
  struct Written {
    uint32_t tensor = 0, rectangle = 0;  // of the plan
    Rect rect;
    WrittenFragment fragment;
  };
  struct Replica {
    uint32_t rectangle = 0;
    Digest digest;
  };
  int64_t file_bytes = 0;  // 0: no shard
  uint32_t gaps_crc = 0;
  std::vector<Written> written;
  std::vector<Replica> replicas;  // what this rank holds and others write
};

std::string pack_report(const SaveReport& report);
SaveReport unpack_report(std::string_view bytes);  // Error(communication)

std::string pack_shares(std::span<const SavePlan::Share> shares);
SavePlan::Share unpack_share(std::string_view bytes, size_t rank);  // Error(communication)

// Fills files and tensors of `manifest` from the reports, by rank. Throws Error(numeric) when replicas
// differ: it names the tensor and the ranks.
void merge_reports(std::span<const std::string> reports, std::span<const TensorSpec> tensors,
                   Manifest& manifest);

}  // namespace strata
