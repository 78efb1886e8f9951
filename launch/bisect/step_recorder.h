// SPDX-License-Identifier: Apache-2.0
// One rank's share of a Record, made while it trains. Works on host memory that streams are done with when an
// action ends (CPU streams).
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "core/nn/batch.h"
#include "core/program/executor.h"
#include "core/step/step_runner.h"
#include "launch/bisect/record.h"
#include "launch/config/config.h"
#include "parallel/rank_place.h"

namespace strata {

// What one rank holds of one value, element by element.
struct WatchedPart {
  int rank = 0;
  std::string action;
  struct Element {
    uint64_t index = 0;  // in the whole
    uint64_t bits = 0;
    double value = 0;
  };
  std::vector<Element> elements;
};

class StepRecorder {
 public:
  // `seq_len` of whole sequences. With `watch`, nothing but that one value is looked at, and its elements are
  // kept. Place and plan must outlive this.
  StepRecorder(const RankPlace& place, const StepPlan& plan, int rank, int64_t seq_len,
               std::optional<RecordKey> watch = std::nullopt);

  // In this order, once a step. `batches` are what this rank works on.
  void begin_step(int64_t step, std::span<const Batch> batches);
  void inspect(const Invocation& invocation);  // ExecutorOptions::inspect, from any lane
  void clip(const StepRunner& runner);         // when the clip rule is called
  void end_step(const StepRunner& runner, const StepScalars& sums);

  std::map<RecordKey, RecordEntry> take();  // of the steps since the last call
  std::vector<WatchedPart> take_watched();

 private:
  // A tied table that one rank holds twice is two copies, told apart by the block that has them.
  struct Source {
    RecordKey key;
    int holder = 0;
    friend bool operator<(const Source& a, const Source& b) {
      return a.key < b.key || (a.key == b.key && a.holder < b.holder);
    }
  };
  struct Sum {
    int64_t count = 0, width = 1;
    bool integer = false;
    std::string action;
    Summary summary;
    std::vector<WatchedPart::Element> elements;
  };
  Sum* sum_of(const RecordKey& key, int holder, int64_t count, int64_t width, DType dtype);
  void add(Sum& sum, const Tensor& tensor, int64_t from, int64_t count, int64_t index);
  void add_rect(const RecordKey& key, int holder, const std::string& action, const Tensor& tensor,
                int64_t from, const Shape& shape, const Rect& held);
  void add_scalar(Quantity quantity, double value);
  void add_activation(const Invocation& invocation, Quantity quantity, int block, ValueClass cls,
                      int value_block);
  void add_weights(const Invocation& invocation);
  void add_state(const StepRunner& runner, bool gradients);

  const RankPlace& place_;
  const StepPlan& plan_;
  const int rank_;
  const int64_t seq_len_;
  const std::optional<RecordKey> watch_;
  std::map<std::string, int> block_of_;  // the first that has the logical tensor
  std::vector<int64_t> row_token_;       // of a row of an activation: its token among the micro-batch's

  std::mutex mutex_;  // lanes record at the same time
  int64_t step_ = 0;
  std::set<int> used_;  // blocks whose weights were recorded in this step
  std::map<Source, Sum> sums_;
};

// How the record of a run is headed.
RunHeader run_header(const Config& config, const RankPlace& place, const StepPlan& plan);

}  // namespace strata
