// SPDX-License-Identifier: Apache-2.0
#include "optim/optimizer_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "optim/muon.h"
#include "optim/state_fp32.h"
#include "optim/state_master.h"
#include "optim/state_split.h"
#include "optim/state_split8.h"
#include "optim/state_sr8.h"

namespace strata {
namespace {

constexpr OptimizerRow kOptimizers[] = {
    {"adamw", "fp32", DType::f32, "the weight is the master; f32 moments: 12 bytes per parameter",
     make_adamw<Fp32State>},
    {"adamw", "fp32", DType::bf16, "f32 master and moments beside a bf16 weight: 14 bytes per parameter",
     make_adamw<MasterState>},
    {"adamw", "split", DType::bf16,
     "the weight is the high half of its master; bf16 moments: 8 bytes per parameter",
     make_adamw<SplitState>},
    {"adamw", "split8", DType::bf16,
     "as split, moments in 8 bits with an exponent for each 128: 6 bytes per parameter",
     make_adamw<Split8State>},
    {"adamw", "sr8", DType::bf16,
     "a bf16 weight that is rounded stochastically, moments as in split8: 4 bytes per parameter",
     make_adamw<Sr8State>},
    {"muon", "fp32", DType::f32, "AdamW's bytes; matrices of layers leave the second moment zero",
     make_muon<Fp32State>},
    {"muon", "fp32", DType::bf16, "AdamW's bytes; matrices of layers leave the second moment zero",
     make_muon<MasterState>},
};

// As configuration files spell it.
std::string_view compute_name(DType dtype) { return dtype == DType::f32 ? "fp32" : name(dtype); }

// The distinct values of a column, in the order of the table, of the rows that fit.
template <typename Fits, typename Column>
std::string choices(Fits fits, Column column) {
  std::vector<std::string_view> found;
  for (const OptimizerRow& row : kOptimizers)
    if (fits(row) && std::ranges::find(found, column(row)) == found.end()) found.push_back(column(row));
  return fmt::format("{}", fmt::join(found, " or "));
}

}  // namespace

std::span<const OptimizerRow> optimizer_table() { return kOptimizers; }

std::unique_ptr<UpdateRule> make_update_rule(std::string_view type, std::string_view state, DType compute,
                                             const AdamwOptions& options) {
  const auto is_type = [&](const OptimizerRow& row) { return row.type == type; };
  const auto has_state = [&](const OptimizerRow& row) { return is_type(row) && row.state == state; };
  const auto type_of = [](const OptimizerRow& row) { return row.type; };
  const auto state_of = [](const OptimizerRow& row) { return row.state; };
  const auto compute_of = [](const OptimizerRow& row) { return compute_name(row.compute); };

  if (std::ranges::none_of(kOptimizers, is_type))
    throw Error(Fault::usage, {.what = "there is no such optimizer",
                               .where = "optimizer.type",
                               .found = std::string(type),
                               .expected = choices([](const OptimizerRow&) { return true; }, type_of)});
  if (std::ranges::none_of(kOptimizers, has_state))
    throw Error(Fault::usage, {.what = fmt::format("{} has no such state format", type),
                               .where = "precision.state",
                               .found = std::string(state),
                               .expected = choices(is_type, state_of)});
  for (const OptimizerRow& row : kOptimizers)
    if (has_state(row) && row.compute == compute) return row.make(options);
  throw Error(Fault::usage,
              {.what = fmt::format("state format {} does not go with the compute type", state),
               .where = "precision.state",
               .found = fmt::format("state = \"{}\" with compute = \"{}\"", state, compute_name(compute)),
               .expected = fmt::format("compute = {} for this state", choices(has_state, compute_of)),
               .fix = fmt::format(
                   "precision.state = \"{}\", or the other compute type",
                   choices([&](const OptimizerRow& row) { return is_type(row) && row.compute == compute; },
                           state_of))});
}

}  // namespace strata
