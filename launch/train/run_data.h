// SPDX-License-Identifier: Apache-2.0
// The data of a run, opened: tokenizer, training part, validation part.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/data/sampler.h"
#include "core/data/tokenizer.h"
#include "launch/config/config.h"

namespace strata {

struct RunData {
  std::shared_ptr<const Tokenizer> tokenizer;
  // One set of all files, or with data.weights one a file; valid may be empty.
  std::vector<std::shared_ptr<const Dataset>> train, valid;
  // Of preferences: log-probabilities of the pairs by the model that the run begins with
  // (preference_reference.h). Null until they are known, and of other data.
  std::shared_ptr<const std::vector<float>> train_reference, valid_reference;
  uint64_t fingerprint = 0;        // of the tokens: a resumed run must find the same
  std::vector<std::string> notes;  // what is made of the data, a line each: packing, mixture, what is learned

  int64_t train_places() const;  // of an epoch, without padding
  int64_t valid_places() const;
  DataSource train_source(const Config& config) const;
  DataSource valid_source(const Config& config) const;
};

// Text is tokenized into `cache` first. Throws Error(data).
RunData open_run_data(const Config& config, const std::string& cache);

// A text or token file as one evaluation set.
std::shared_ptr<const Dataset> open_eval_data(const Config& config, const std::string& path,
                                              const std::string& cache, const Tokenizer& tokenizer);

}  // namespace strata
