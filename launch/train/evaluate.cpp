// SPDX-License-Identifier: Apache-2.0
#include "launch/train/evaluate.h"

#include <algorithm>

namespace strata {

LossSum evaluate_samples(StepRunner& runner, const DataSource& source, int64_t rows, int64_t samples,
                         const std::function<void(double)>& progress) {
  LossSum sum;
  Batch batch;
  for (int64_t cursor = 0; cursor < samples; cursor += rows) {
    if (progress) progress(static_cast<double>(cursor) / static_cast<double>(samples));
    source.fill(cursor, rows, batch);
    // The last batch is filled up with samples from the beginning: they count for nothing.
    const int64_t counted = std::min(rows, samples - cursor) * batch.seq_len;
    std::fill(batch.targets.begin() + counted, batch.targets.end(), kNoTarget);
    sum.add(runner.evaluate(batch));
  }
  return sum;
}

}  // namespace strata
