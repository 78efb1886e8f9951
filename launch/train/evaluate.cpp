// SPDX-License-Identifier: Apache-2.0
#include "launch/train/evaluate.h"

#include <algorithm>

namespace strata {

LossSum evaluate_samples(StepRunner& runner, const DataSource& source, int64_t rows, int64_t samples,
                         const std::function<void(double)>& progress, const EvaluationPart& part) {
  LossSum sum;
  Batch batch;
  for (int64_t round = 0; round < samples; round += rows * part.parts) {
    if (progress) progress(static_cast<double>(round) / static_cast<double>(samples));
    const int64_t cursor = round + rows * part.part;
    source.fill(cursor, rows, batch);
    // The last round is filled up with samples from the beginning: they count for nothing.
    const int64_t counted = std::clamp<int64_t>(samples - cursor, 0, rows);
    std::fill(batch.targets.begin() + counted * batch.seq_len, batch.targets.end(), kNoTarget);
    if (!batch.pairs.empty()) {
      batch.pairs.begin.resize(static_cast<size_t>(3 * counted));
      batch.pairs.reference.resize(static_cast<size_t>(2 * counted));
    }
    sum.add(runner.evaluate(part.cut ? part.cut(batch) : batch));
  }
  return sum;
}

}  // namespace strata
