// SPDX-License-Identifier: Apache-2.0
#include "launch/train/memory_advice.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/program/simulate.h"
#include "launch/metrics/humanize.h"
#include "launch/train/offload.h"

namespace strata {
namespace {

struct Candidate {
  std::string keys;
  std::function<void(Config&)> apply;
};

// Single changes, then more and more of them together: the last one needs the least memory.
std::vector<Candidate> candidates() {
  std::vector<Candidate> list{
      {"offload.prefetch=1", [](Config& c) { c.offload.prefetch = 1; }},
      {"parallel.recompute=full", [](Config& c) { c.parallel.recompute = Recompute::full; }}};
  for (const Tier tier : {Tier::host, Tier::nvme}) {
    const std::string to = "=" + std::string(name(tier));
    list.push_back({"offload.moments" + to, [tier](Config& c) { c.offload.moments = tier; }});
    list.push_back({"offload.master" + to + " offload.moments" + to,
                    [tier](Config& c) { c.offload.master = c.offload.moments = tier; }});
    list.push_back({"parallel.recompute=full offload.activations" + to, [tier](Config& c) {
                      c.parallel.recompute = Recompute::full;
                      c.offload.activations = tier;
                    }});
    list.push_back({"offload.gradients" + to, [tier](Config& c) { c.offload.gradients = tier; }});
    const auto state = [tier](Config& c) { c.offload.weights = c.offload.master = c.offload.moments = tier; };
    list.push_back({"offload.weights" + to + " offload.master" + to + " offload.moments" + to, state});
    list.push_back({"offload.weights" + to + " offload.master" + to + " offload.moments" + to +
                        " offload.gradients" + to + " offload.activations" + to +
                        " offload.prefetch=1 parallel.recompute=full",
                    [=](Config& c) {
                      state(c);
                      c.offload.activations = c.offload.gradients = tier;
                      c.offload.prefetch = 1;
                      c.parallel.recompute = Recompute::full;
                    }});
  }
  return list;
}

struct Needs {
  int64_t device = 0, host = 0;
  double seconds = 0;
};

Needs needs_of(const Model& model, StepPlanOptions options) {
  options.limit = {};
  options.given = {};
  const StepPlan plan(model, options);
  return {plan.arena_bytes(), plan.arena_bytes(Tier::host),
          simulate_job(plan.train_job(), plan.costs(), 2).step_seconds};
}

std::string mib(int64_t bytes) { return fmt::format("{} MiB", div_up(bytes, int64_t{1} << 20)); }

// "raise ... to at least ...; or, the fastest first: ..."
std::string fix_of(const std::string& raise, std::span<const MemoryChange> changes, double seconds_now,
                   const std::function<bool(const MemoryChange&)>& fits) {
  constexpr int kMost = 3;
  std::string text = raise;
  int told = 0;
  for (const MemoryChange& change : changes) {
    if (told == kMost || !fits(change)) continue;
    text += fmt::format("{} {} (device {}, host {}, time {:+.0f}%)",
                        told++ == 0 ? "; or, the fastest first:" : ";", change.keys, mib(change.device_bytes),
                        mib(change.host_bytes), 100 * (change.step_seconds / seconds_now - 1));
  }
  return told > 0 ? text : text + "; no choice of tiers fits: take smaller micro-batches or more ranks";
}

}  // namespace

std::vector<MemoryChange> memory_changes(const Config& config, const Model& model,
                                         const PlanOptionsOf& options) {
  std::vector<MemoryChange> changes;
  for (const Candidate& candidate : candidates()) {
    Config changed = config;
    candidate.apply(changed);
    const Needs needs = needs_of(model, options(changed));
    changes.push_back({candidate.keys, needs.device, needs.host, needs.seconds});
  }
  std::stable_sort(changes.begin(), changes.end(), [](const MemoryChange& a, const MemoryChange& b) {
    return a.step_seconds < b.step_seconds;
  });
  return changes;
}

StepPlan plan_within_limits(const Config& config, const Model& model, const PlanOptionsOf& options) {
  try {
    return StepPlan(model, options(config));
  } catch (const Error& error) {
    if (error.fault() != Fault::memory) throw;
    const auto limit = tier_limits(config.offload);
    const Needs now = needs_of(model, options(config));
    const bool of_device = limit[0] > 0 && now.device > limit[0];
    Report report = error.report();
    report.where = of_device ? "offload.device_limit" : "offload.host_limit";
    report.fix = fix_of(fmt::format("raise {} to {}, the smallest that works as configured", report.where,
                                    mib(of_device ? now.device : now.host)),
                        memory_changes(config, model, options), now.seconds, [&](const MemoryChange& c) {
                          return (limit[0] == 0 || c.device_bytes <= limit[0]) &&
                                 (limit[1] == 0 || c.host_bytes <= limit[1]);
                        });
    throw Error(Fault::memory, report);
  }
}

void require_fits(const HostMemory& memory, const StepPlan& plan, int ranks_here, const Config& config,
                  const PlanOptionsOf& options) {
  try {
    check_memory(memory, plan, ranks_here);
  } catch (const Error& error) {
    if (error.fault() != Fault::memory) throw;
    const bool cpu = plan.target().kind == DeviceKind::cpu;
    const auto in_memory = [&](int64_t device, int64_t host) {
      return ranks_here * (host + (cpu ? device : 0) + kProcessBytes);
    };
    const Needs now = needs_of(plan.model(), options(config));
    Report report = error.report();
    report.fix =
        fix_of(fmt::format("make {} available, the smallest that works as configured",
                           mib(in_memory(now.device, now.host))),
               memory_changes(config, plan.model(), options), now.seconds, [&](const MemoryChange& c) {
                 return in_memory(c.device_bytes, c.host_bytes) <= memory.free_bytes();
               });
    throw Error(Fault::memory, report);
  }
}

}  // namespace strata
