// SPDX-License-Identifier: Apache-2.0
#include "launch/train/place.h"

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <sstream>

#include "core/base/error.h"
#include "core/nn/embedding_block.h"
#include "launch/train/offload.h"
#include "parallel/schedules/schedule_table.h"
#include "precision/quantized_linear_op.h"

namespace strata {
namespace {

bool is_file(const std::string& schedule) { return schedule.find_first_of("/.") != std::string::npos; }

// The file that a key names, whose text is `expected`.
std::string read_text(const std::string& path, const char* key, const char* expected, const char* fix) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file)
    throw Error(
        Fault::usage,
        {.what = "a file cannot be read", .where = key, .found = path, .expected = expected, .fix = fix});
  return text.str();
}

// "zero1", or "2/4/8": shards of weights, gradients and state.
PartitionWays parse_partition(const std::string& text, int data_ranks) {
  PartitionWays ways;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (int* number : {&ways.weights, &ways.gradients, &ways.state}) {
    const auto [next, error] = std::from_chars(at, end, *number);
    if (error != std::errc{} || (number == &ways.state) != (next == end) || (next != end && *next != '/'))
      return partition_preset(text, data_ranks);
    at = next == end ? next : next + 1;
  }
  return ways;
}

std::vector<Program> given_programs(const std::string& path) {
  if (path.empty()) return {};
  try {
    return parse_programs(
        read_text(path, "run.program", "the print of 'strata plan --dump'", "run.program = \"\""));
  } catch (const Error& error) {
    Report report = error.report();
    if (report.where != "run.program") report.where = fmt::format("{}, {}", path, report.where);
    throw Error(error.fault(), report);
  }
}

bool power_of_two(int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

// What makes the same bits possible for every number of data ranks: sums are balanced trees over
// micro-batches.
void check_ordered(const Layout& layout) {
  const MeshSizes& m = layout.sizes;
  if (m.tp > 1 || m.cp > 1)
    throw Error(Fault::usage, {.what = "ordered mode does not reach into layers that several ranks share",
                               .where = "run.mode",
                               .found = fmt::format("parallel.tp = {}, parallel.cp = {}", m.tp, m.cp),
                               .expected = "tp = 1 and cp = 1",
                               .fix = "run.mode = \"fast\", which repeats its own bits"});
  if (!power_of_two(m.dp) || !power_of_two(layout.micro_batches))
    throw Error(Fault::usage,
                {.what = "ordered mode adds up balanced trees over data ranks and micro-batches",
                 .where = "run.mode",
                 .found = fmt::format("{} data ranks of {} micro-batches", m.dp, layout.micro_batches),
                 .expected = "powers of two",
                 .fix = "choose batch.tokens_per_step and parallel.dp so, or run.mode = \"fast\""});
}

int size(int64_t n) { return narrow<int>(n); }

// What the configuration asks of `ranks` ranks.
struct LayoutQuestion {
  LayoutQuestion(const Config& config, int ranks, int64_t vocab) {
    const ParallelConfig& p = config.parallel;
    request = {.ranks = ranks,
               .sizes = {.pp = size(p.pp), .dp = size(p.dp), .cp = size(p.cp), .tp = size(p.tp)},
               .virtual_stages = size(p.virtual_stages),
               .sequence_parallel = p.sequence_parallel,
               .schedule = is_file(p.schedule) ? "" : p.schedule};
    model = {.layers = size(config.model.layers),
             .heads = size(config.model.heads),
             .kv_heads = size(config.model.kv_heads),
             .ffn = size(config.model.ffn),
             .vocab = size(padded_vocab(vocab, size(p.tp)))};
    batch = {.tokens_per_step = config.batch.tokens_per_step,
             .micro_batch = config.batch.micro_batch,
             .seq_len = config.data.seq_len};
  }

  LayoutRequest request;
  ModelFacts model;
  BatchFacts batch;
};

}  // namespace

int least_ranks(const ParallelConfig& p) {
  return narrow<int>(p.pp * std::max<int64_t>(p.dp, 1) * p.cp * p.tp);
}

FittedJob fit_layout(const Config& config, int slots, int64_t vocab) {
  for (int ranks = slots; ranks > 0; --ranks) {
    LayoutQuestion question(config, ranks, vocab);
    question.request.sizes.dp = 0;  // data ranks are what gives way
    for (const Layout& layout : nearest_layouts(question.request, question.model, question.batch, 8)) {
      Config changed = config;
      changed.parallel.pp = layout.sizes.pp;
      changed.parallel.dp = layout.sizes.dp;
      changed.parallel.cp = layout.sizes.cp;
      changed.parallel.tp = layout.sizes.tp;
      changed.parallel.virtual_stages = layout.virtual_stages;
      try {
        place_options(changed, ranks, vocab);
      } catch (const Error&) {
        continue;  // ordered mode, a partition or a schedule file of the user's has demands of its own
      }
      return {.ranks = ranks, .parallel = changed.parallel};
    }
  }
  place_options(config, slots, vocab);  // says why
  return {.ranks = slots, .parallel = config.parallel};
}

// Muon takes matrices whole.
void check_whole_matrices(const Config& config, const Layout& layout, const PartitionWays& ways) {
  if (config.optimizer.type != "muon") return;
  const bool split = layout.sizes.tp > 1, shared = std::max({ways.weights, ways.gradients, ways.state}) > 1;
  if (!split && !shared) return;
  throw Error(Fault::usage,
              {.what = "muon takes matrices whole, and here ranks have parts of them",
               .where = split ? "parallel.tp" : "parallel.partition",
               .found = split ? fmt::format("tp = {}", layout.sizes.tp)
                              : fmt::format("weights over {}, gradients over {}, state over {} ranks",
                                            ways.weights, ways.gradients, ways.state),
               .expected = "parallel.tp = 1, and parallel.partition = \"ddp\" with several data ranks",
               .fix = split ? "parallel.tp = 1, or optimizer.type = \"adamw\""
                            : "parallel.partition = \"ddp\", or optimizer.type = \"adamw\""});
}

PlaceOptions place_options(const Config& config, int ranks, int64_t vocab) {
  check_offload(config);
  const ParallelConfig& p = config.parallel;
  const bool from_file = is_file(p.schedule);
  const LayoutQuestion question(config, ranks, vocab);
  const Layout layout = decide_layout(question.request, question.model, question.batch);
  if (config.run.mode == RunMode::ordered) check_ordered(layout);
  const ScheduleShape shape{layout.sizes.pp, layout.virtual_stages, layout.micro_batches};
  const PartitionWays partition = parse_partition(p.partition, layout.sizes.dp * layout.sizes.cp);
  check_whole_matrices(config, layout, partition);
  Schedule schedule;
  if (from_file)
    schedule = schedule_from_text(read_text(p.schedule, "parallel.schedule", "one line per pipeline rank",
                                            "check the path, or name a schedule: 1f1b"),
                                  p.schedule, shape);
  else if (shape.stages() > 1)
    schedule = make_schedule(p.schedule, shape);
  return {.mesh = layout.sizes,
          .sequence = p.sequence_parallel,
          .partition = partition,
          .schedule = std::move(schedule),
          .order = config.run.mode == RunMode::ordered ? SumOrder::tree : SumOrder::ascending,
          .gather_ahead = size(p.gather_ahead),
          .micro_batches = layout.micro_batches,
          .group = narrow<int>(config.offload.group)};
}

StepPlanOptions plan_options(const Config& config, const UpdateRule& rule, const RankPlace& place,
                             const Model& model, Device target, const Rates& rates) {
  return {.geometry = {.rows = config.batch.micro_batch,
                       .seq_len = place.local_seq_len(config.data.seq_len),
                       .micro_batches = place.options().micro_batches},
          .rule = &rule,
          .recompute = config.parallel.recompute == Recompute::full,
          .target = target,
          .linear = config.precision.compute == ComputeType::fp8 ? &quantized_linear_op() : nullptr,
          .rates = rates,
          .rank = place.rank_options(model),
          .tiers = tier_options(config.offload),
          .timing = config.offload.timing,
          .group = narrow<int>(config.offload.group),
          .limit = tier_limits(config.offload),
          .given = given_programs(config.run.program)};
}

}  // namespace strata
