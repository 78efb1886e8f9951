// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/save_probe.h"

#include "checkpoint/strata_source.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr int64_t kElements = 3000;  // of a rank: whole pages and a tail

// Rank 0's look at what was saved.
void read_back(FileSystem& files, const std::string& path) {
  const StrataSource source(files, path);
  const std::vector<std::string> faults = source.verify();
  if (!faults.empty())
    throw Error(Fault::environment,
                {.what = "what was saved does not read back", .where = path, .found = faults[0]});
}

void require_space(FileSystem& files, const std::string& directory, int64_t bytes) {
  const Volume volume = files.volume(directory);
  if (volume.free_bytes >= bytes) return;
  throw Error(Fault::environment,
              {.what = "there is no room for a checkpoint",
               .where = directory,
               .found = fmt::format("{} bytes free on {}", volume.free_bytes, volume.type),
               .expected = fmt::format("at least {} for one save", bytes),
               .fix = "free space, or name another run.out"});
}

}  // namespace

void probe_saving(FileSystem& files, Peers& peers, const SaverOptions& options, int64_t state_bytes) {
  SaverOptions probe = options;
  probe.directory = options.directory + "/probe";
  std::vector<float> values(static_cast<size_t>(kElements), static_cast<float>(peers.rank()));
  std::string failure;
  {
    Saver saver(files, peers, probe);
    SaveRequest request;
    request.items.push_back({{.name = "probe", .shape = {peers.size(), kElements}},
                             {{peers.rank(), 0}, {1, kElements}},
                             reinterpret_cast<const std::byte*>(values.data())});
    SaveResult result = saver.begin(std::move(request));
    if (result.state == SaveResult::State::writing) result = saver.finish();
    failure = result.message;
    if (peers.leads()) {
      try {
        if (result.state == SaveResult::State::committed) read_back(files, result.path);
        remove_tree(files, probe.directory);
        if (failure.empty()) require_space(files, options.directory, state_bytes);
      } catch (const std::exception& e) {
        if (failure.empty()) failure = e.what();
      }
    }
  }
  failure = peers.broadcast(failure);
  if (!failure.empty())
    throw Error(Fault::environment, {.what = "saving does not work here: tried before the first step",
                                     .where = options.directory,
                                     .found = failure});
}

}  // namespace strata
