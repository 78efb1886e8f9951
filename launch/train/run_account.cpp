// SPDX-License-Identifier: Apache-2.0
#include "launch/train/run_account.h"

#include "launch/metrics/metrics_log.h"

namespace strata {

void RunAccount::begin_step(int64_t cursor_behind) {
  step_ = position_.step + 1;
  next_cursor_ = cursor_behind;
  begin_ = std::chrono::steady_clock::now();
}

RunPosition RunAccount::position_after(const StepScalars& sums) const {
  return {.step = step_,
          .updates = position_.updates + (sums.skip ? 0 : 1),
          .cursor = next_cursor_,
          .tokens_seen = position_.tokens_seen + sums.loss.targets,
          .guard = guard_.state()};
}

StepRecord RunAccount::record_of(const StepScalars& sums, const MemoryUse& memory) const {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  return {.step = step_,
          .steps_total = config_.run.steps,
          .loss = sums.loss.mean(),
          .grad_norm = sums.grad_norm,
          .lr = schedule_.rate(step_),
          .tokens = config_.loss.kind == LossKind::dpo ? config_.batch.tokens_per_step : sums.loss.targets,
          .tokens_seen = position_.tokens_seen + sums.loss.targets,
          .step_seconds = seconds,
          .mfu = step_flops_ / seconds / peak_flops_,
          .flops = step_flops_,
          .memory = memory,
          .skipped = sums.skip,
          .phase = step_ <= config_.schedule.warmup ? "warmup" : ""};
}

std::string RunAccount::note_of(const StepScalars& sums, const MemoryUse& memory, const UpdateRule& rule,
                                uint64_t data_fingerprint) const {
  nlohmann::json meta = run_meta(position_after(sums), rule, "", data_fingerprint, "");
  meta["record"] = to_json(record_of(sums, memory));
  return meta.dump();
}

StepRecord RunAccount::record_in(const std::string& note) {
  return parse_record(nlohmann::json::parse(note).at("record").get<std::string>());
}

}  // namespace strata
