// SPDX-License-Identifier: Apache-2.0
// The rules of a legal layout, in the order in which they are asked.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>
#include <string_view>
#include <tuple>
#include <utility>

#include "core/base/check.h"
#include "parallel/layout.h"
#include "parallel/schedules/schedule_table.h"

namespace strata {

namespace {

using Answer = std::optional<Report>;

std::string division(std::string_view whole_name, int64_t whole, std::string_view parts_name, int64_t parts) {
  return fmt::format("{} {} / {} = {} remainder {}", whole_name, whole, parts_name, whole / parts,
                     whole % parts);
}

// "96 or 104": the multiples of `step` around a number that is none; zero is not offered.
std::string multiples_around(int64_t number, int64_t step) {
  const int64_t below = number / step * step;
  return below == 0 ? fmt::format("{}", step) : fmt::format("{} or {}", below, below + step);
}

Answer sizes_are_positive(const MeshSizes& s) {
  for (const auto& [name, size, least] : {std::tuple{"pp", s.pp, 1},
                                          {"dp", s.dp, 0},
                                          {"cp", s.cp, 1},
                                          {"tp", s.tp, 1},
                                          {"ep", s.ep, 1},
                                          {"etp", s.etp, 1}})
    if (size < least)
      return Report{.what = fmt::format("{} is not a number of ranks", name),
                    .where = fmt::format("parallel.{}", name),
                    .found = std::to_string(size),
                    .expected = least == 0 ? "at least 1, or \"auto\"" : "at least 1"};
  return std::nullopt;
}

// The keys of the sizes that are at fault: those that do not divide the ranks by themselves, else all
// above 1.
std::string failing_sizes(const LayoutRequest& request) {
  const MeshSizes& s = request.sizes;
  std::vector<std::string> alone, together;
  for (const auto& [name, size] : {std::pair{"pp", s.pp}, {"dp", s.dp}, {"cp", s.cp}, {"tp", s.tp}}) {
    if (size > 1) together.push_back(fmt::format("parallel.{}", name));
    if (size > 1 && request.ranks % size != 0) alone.push_back(together.back());
  }
  if (alone.empty() && together.empty()) return "parallel.dp";
  return fmt::format("{}", fmt::join(alone.empty() ? together : alone, ", "));
}

Answer sizes_make_up_the_ranks(const LayoutRequest& request) {
  const MeshSizes& s = request.sizes;
  const double others = static_cast<double>(s.pp) * s.cp * s.tp, all = others * s.dp;
  if (s.dp > 0 && all != request.ranks)
    return Report{.what = fmt::format("the sizes make up {:.0f} ranks, there are {}", all, request.ranks),
                  .where = failing_sizes(request),
                  .found = fmt::format("pp {} x dp {} x cp {} x tp {} = {:.0f}", s.pp, s.dp, s.cp, s.tp, all),
                  .expected = fmt::format("pp x dp x cp x tp = ranks {}", request.ranks),
                  .fix = fmt::format("start {:.0f} ranks", all)};
  const std::string product = fmt::format("(pp {} x cp {} x tp {} = {:.0f})", s.pp, s.cp, s.tp, others);
  if (s.dp == 0 && others > request.ranks)
    return Report{.what = fmt::format("the sizes need {:.0f} ranks, there are {}", others, request.ranks),
                  .where = failing_sizes(request),
                  .found = fmt::format("ranks {} / {} is below 1", request.ranks, product),
                  .expected = "ranks = pp x cp x tp x dp",
                  .fix = fmt::format("start {:.0f} ranks", others)};
  const auto each = static_cast<int64_t>(others);
  if (s.dp == 0 && request.ranks % each != 0)
    return Report{.what = "the sizes do not divide the ranks",
                  .where = failing_sizes(request),
                  .found = division("ranks", request.ranks, product, each),
                  .expected = "ranks = pp x cp x tp x dp",
                  .fix = fmt::format("start {} ranks", multiples_around(request.ranks, each))};
  return std::nullopt;
}

Answer tp_divides_the_model(int tp, const ModelFacts& model) {
  const int common = std::gcd(std::gcd(model.heads, model.kv_heads), std::gcd(model.ffn, model.vocab));
  for (const auto& [name, size] : {std::pair{"heads", model.heads},
                                   {"kv_heads", model.kv_heads},
                                   {"ffn", model.ffn},
                                   {"vocab", model.vocab}}) {
    if (size % tp == 0) continue;
    std::vector<int> divisors;
    for (int d = 1; d <= common; ++d)
      if (common % d == 0) divisors.push_back(d);
    return Report{
        .what = fmt::format("tensor parallelism cannot split the model's {}", name),
        .where = "parallel.tp",
        .found = division(name, size, fmt::format("tp {}", tp), tp),
        .expected = fmt::format("tp that divides heads {}, kv_heads {}, ffn {} and vocab {}: {}", model.heads,
                                model.kv_heads, model.ffn, model.vocab, fmt::join(divisors, ", "))};
  }
  return std::nullopt;
}

Answer experts_fit(const MeshSizes& s, const ModelFacts& model) {
  if (model.experts == 0 && s.ep * s.etp > 1)
    return Report{.what = "expert parallelism needs a model with experts",
                  .where = s.ep > 1 ? "parallel.ep" : "parallel.etp",
                  .found = fmt::format("ep {} x etp {}, experts 0", s.ep, s.etp),
                  .expected = "ep = etp = 1"};
  if (model.experts > 0 && model.experts % s.ep != 0)
    return Report{.what = "expert parallelism cannot split the model's experts",
                  .where = "parallel.ep",
                  .found = division("experts", model.experts, fmt::format("ep {}", s.ep), s.ep),
                  .expected = fmt::format("ep that divides experts {}", model.experts)};
  if (model.experts > 0 && model.expert_ffn % s.etp != 0)
    return Report{.what = "tensor parallelism of experts cannot split their ffn",
                  .where = "parallel.etp",
                  .found = division("expert_ffn", model.expert_ffn, fmt::format("etp {}", s.etp), s.etp),
                  .expected = fmt::format("etp that divides expert_ffn {}", model.expert_ffn)};
  // Experts do not multiply the ranks: their groups are cut out of those that share a pipeline stage.
  const int64_t dense = int64_t{s.dp} * s.cp * s.tp, sparse = int64_t{s.ep} * s.etp;
  if (dense % sparse != 0)
    return Report{.what = "the expert groups do not fit into a pipeline stage's ranks",
                  .where = s.etp > 1 ? "parallel.ep, parallel.etp" : "parallel.ep",
                  .found = division(fmt::format("dp {} x cp {} x tp {} =", s.dp, s.cp, s.tp), dense,
                                    fmt::format("(ep {} x etp {} = {})", s.ep, s.etp, sparse), sparse),
                  .expected = "dp x cp x tp = ep x etp x whole number"};
  return std::nullopt;
}

Answer stages_divide_the_layers(const LayoutRequest& request, const ModelFacts& model) {
  const int pp = request.sizes.pp, v = request.virtual_stages;
  if (v < 1 || (pp == 1 && v > 1))
    return Report{
        .what = v < 1 ? "virtual_stages is not a number of stages" : "virtual stages need a pipeline",
        .where = "parallel.virtual_stages",
        .found = fmt::format("virtual_stages {}, pp {}", v, pp),
        .expected = v < 1 ? "at least 1" : "virtual_stages = 1 with pp = 1",
        .fix = "parallel.virtual_stages = 1"};
  const int64_t stages = int64_t{pp} * v;
  if (model.layers % stages != 0)
    return Report{.what = "the layers do not divide evenly among the pipeline's stages",
                  .where = v > 1 ? "parallel.pp, parallel.virtual_stages" : "parallel.pp",
                  .found = division("layers", model.layers,
                                    v > 1 ? fmt::format("(pp {} x virtual_stages {} = {})", pp, v, stages)
                                          : fmt::format("pp {}", pp),
                                    stages),
                  .expected = "layers = pp x virtual_stages x whole number"};
  return std::nullopt;
}

Answer sequence_divides(const LayoutRequest& request, const BatchFacts& batch) {
  const int64_t cp = request.sizes.cp, tp = request.sizes.tp, length = batch.seq_len;
  // Rank c of a ring takes pieces c and 2cp-1-c: under a causal mask all have equal work.
  if (cp > 1 && length % (2 * cp) != 0)
    return Report{.what = "context parallelism cannot split the sequence",
                  .where = "parallel.cp",
                  .found = division("seq_len", length, fmt::format("(2 x cp {} = {})", cp, 2 * cp), 2 * cp),
                  .expected = "seq_len = 2 x cp x whole number",
                  .fix = fmt::format("data.seq_len = {}", multiples_around(length, 2 * cp))};
  if (request.sequence_parallel && length / cp % tp != 0) {
    const int64_t step = std::lcm(cp > 1 ? 2 * cp : 1, cp * tp);
    return Report{.what = "sequence parallelism cannot split a rank's sequence",
                  .where = "parallel.tp",
                  .found = division(fmt::format("seq_len {} / cp {} =", length, cp), length / cp,
                                    fmt::format("tp {}", tp), tp),
                  .expected = "seq_len = cp x tp x whole number",
                  .fix = fmt::format("data.seq_len = {}, or parallel.sequence_parallel = false",
                                     multiples_around(length, step))};
  }
  return std::nullopt;
}

Answer batch_divides(const LayoutRequest& request, const BatchFacts& batch) {
  const int64_t dp = request.sizes.dp, one = batch.micro_batch * batch.seq_len * dp;
  if (batch.tokens_per_step % one != 0)
    return Report{
        .what = "the step's tokens are not whole micro-batches for every data-parallel rank",
        .where = "batch.tokens_per_step",
        .found = division("tokens_per_step", batch.tokens_per_step,
                          fmt::format("(micro_batch {} x seq_len {} x dp {} = {})", batch.micro_batch,
                                      batch.seq_len, dp, one),
                          one),
        .expected = "tokens_per_step = micro_batch x seq_len x dp x whole number",
        .fix = fmt::format("batch.tokens_per_step = {}", multiples_around(batch.tokens_per_step, one))};
  if (request.sizes.pp == 1 || request.schedule.empty()) return std::nullopt;
  const ScheduleShape shape{.ranks = request.sizes.pp,
                            .virtual_stages = request.virtual_stages,
                            .micro_batches = narrow<int>(batch.tokens_per_step / one)};
  Answer fault = shape_fault(find_schedule(request.schedule), shape);
  // A schedule speaks of micro-batches; a user has tokens.
  if (fault && fault->where == "batch.micro_batch") {
    const int64_t whole = one * shape.ranks;
    fault->found = fmt::format(
        "tokens_per_step {} / (micro_batch {} x seq_len {} x dp {}) = micro-batches {}, pp {}",
        batch.tokens_per_step, batch.micro_batch, batch.seq_len, dp, shape.micro_batches, shape.ranks);
    fault->fix = fmt::format("batch.tokens_per_step = {}", multiples_around(batch.tokens_per_step, whole));
  }
  return fault;
}

}  // namespace

std::optional<Report> layout_fault(const LayoutRequest& request, const ModelFacts& model,
                                   const BatchFacts& batch) {
  check(request.ranks >= 1 && model.layers >= 1 && model.heads >= 1 && model.kv_heads >= 1 &&
            model.ffn >= 1 && model.vocab >= 1 && batch.tokens_per_step >= 1 && batch.micro_batch >= 1 &&
            batch.seq_len >= 1,
        "[layout_fault] ranks and facts must be at least 1");
  if (!request.schedule.empty()) find_schedule(request.schedule);
  if (Answer fault = sizes_are_positive(request.sizes)) return fault;
  if (Answer fault = sizes_make_up_the_ranks(request)) return fault;
  LayoutRequest whole = request;
  if (whole.sizes.dp == 0)
    whole.sizes.dp = request.ranks / (request.sizes.pp * request.sizes.cp * request.sizes.tp);
  if (Answer fault = tp_divides_the_model(whole.sizes.tp, model)) return fault;
  if (Answer fault = experts_fit(whole.sizes, model)) return fault;
  if (Answer fault = stages_divide_the_layers(whole, model)) return fault;
  if (Answer fault = sequence_divides(whole, batch)) return fault;
  return batch_divides(whole, batch);
}

}  // namespace strata
