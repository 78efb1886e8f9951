// SPDX-License-Identifier: Apache-2.0
#include "core/data/dataset.h"

#include <fmt/format.h>

#include <cmath>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {

TailSplit split_tail(int64_t num_tokens, double valid_fraction) {
  check(num_tokens >= 0 && valid_fraction >= 0 && valid_fraction < 1, "[split_tail] {} of {} tokens",
        valid_fraction, num_tokens);
  const auto valid = static_cast<int64_t>(std::llround(static_cast<double>(num_tokens) * valid_fraction));
  return {.train = {0, num_tokens - valid}, .valid = {num_tokens - valid, num_tokens}};
}

Dataset::Dataset(Desc desc) : desc_(std::move(desc)) {
  const auto& [corpus, range, seq_len, name] = desc_;
  check(corpus != nullptr && seq_len > 0, "[dataset] a corpus and a sample length are needed, got {}",
        seq_len);
  check(range.begin >= 0 && range.begin <= range.end && range.end <= corpus->num_tokens(),
        "[dataset] tokens [{}, {}) of {}", range.begin, range.end, corpus->num_tokens());
  if (range.size() <= seq_len)
    throw Error(Fault::data, {.what = fmt::format("the {} is shorter than one sample", name),
                              .where = name,
                              .found = fmt::format("{} of {} tokens", range.size(), corpus->num_tokens()),
                              .expected = fmt::format("at least {}: data.seq_len = {} and one target",
                                                      seq_len + 1, seq_len),
                              .fix = "add text, give this part a larger share (data.valid_fraction) or lower "
                                     "data.seq_len"});
}

int64_t Dataset::sample_begin(int64_t sample) const {
  check(sample >= 0 && sample < num_samples(), "[dataset] sample {} of {}", sample, num_samples());
  return desc_.range.begin + sample * desc_.seq_len;
}

void require_step_fits(const Dataset& dataset, int64_t tokens_per_step) {
  const int64_t seq_len = dataset.seq_len(), held = dataset.num_samples() * seq_len;
  if (tokens_per_step <= held) return;
  throw Error(Fault::data,
              {.what = "one step takes more tokens than the data has",
               .where = dataset.name(),
               .found = fmt::format("batch.tokens_per_step = {}, {} samples of {} tokens", tokens_per_step,
                                    div_up(tokens_per_step, seq_len), seq_len),
               .expected = fmt::format("at most {}: the {} has {} samples", held, dataset.name(),
                                       dataset.num_samples()),
               .fix = fmt::format("add text, or set batch.tokens_per_step to {} or less", held)});
}

}  // namespace strata
