// SPDX-License-Identifier: Apache-2.0
#include "launch/commands/plan_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/data/tokenizer.h"
#include "core/program/simulate.h"
#include "launch/metrics/humanize.h"
#include "launch/metrics/text_table.h"
#include "launch/train/build.h"
#include "launch/train/memory_advice.h"
#include "launch/train/offload.h"
#include "launch/train/place.h"
#include "launch/train/run_device.h"
#include "launch/train/step_load.h"
#include "parallel/comm/plan_world.h"
#include "parallel/schedules/schedule_timeline.h"

namespace strata {
namespace {

// A GPU can be planned for where there is none, as long as its operations were built.
DeviceKind device_of(DeviceChoice choice) {
  if (choice == DeviceChoice::cuda && has_cuda()) return DeviceKind::cuda;
  return choose_device(choice, 0).kind;
}

// One rank's place, model and plan.
struct Planned {
  Planned(const Config& config, const PlaceOptions& options, DeviceKind device, int64_t tokenizer_vocab,
          int rank, int ranks, const Rates& rates)
      : world(make_plan_world(rank, ranks, planned_gpu_transport(config.run.mode == RunMode::ordered))),
        place(*world, options, config.model.tied),
        model(build_model(config, tokenizer_vocab, place.split())),
        rule(build_update_rule(config)),
        prefetch(find_prefetch(config, device, rates)),
        plan(plan_within_limits(config, model, planning(device, rates))) {}

  StepPlanOptions options(const Config& config, DeviceKind device, const Rates& rates) const {
    StepPlanOptions options = plan_options(config, *rule, place, model, {device, 0});
    options.rates = rates;
    return options;
  }
  PlanOptionsOf planning(DeviceKind device, const Rates& rates) const {
    return [this, device, rates](const Config& config) {
      StepPlanOptions wanted = options(config, device, rates);
      if (config.offload.prefetch < 0) wanted.tiers.prefetch = prefetch;
      return wanted;
    };
  }
  int find_prefetch(const Config& config, DeviceKind device, const Rates& rates) const {
    if (config.offload.prefetch >= 0) return narrow<int>(config.offload.prefetch);
    const StepPlanOptions wanted = options(config, device, rates);
    return wanted.tiers.offloads() && wanted.given.empty() ? choose_prefetch(model, wanted) : 0;
  }

  std::unique_ptr<World> world;
  RankPlace place;
  Model model;
  std::unique_ptr<UpdateRule> rule;
  int prefetch;
  StepPlan plan;
};

PipelineRankFigures figures_of(const Planned& planned) {
  const LinkedProgram& linked = planned.plan.train();
  PipelineRankFigures figures{.memory = linked.memory};
  for (int block = 0; block < planned.model.num_blocks(); ++block)
    if (planned.plan.holds(block))
      for (const Parameter& parameter : planned.model.parameters(block))
        figures.parameters += parameter.shape.numel();
  for (const StoredValue& value : planned.plan.stored_values()) figures.stored += value.bytes;
  for (size_t i = 0; i < linked.actions.size(); ++i) {
    if (!linked.actions[i].runs) continue;
    ++figures.actions;
    const Action& action = linked.program.list[i];
    if (is_move(action))
      figures.moved[static_cast<size_t>(linked.actions[i].lane)] += planned.plan.costs().moved_bytes(action);
    const WorkCount work = planned.plan.costs().work(action);
    for (size_t level = 0; level < kNumLinkLevels; ++level) figures.received[level] += work.wire_bytes[level];
  }
  return figures;
}

// Fills in what the same step needs in bf16. Its plan may be beyond limits that 8 bits keep.
void compare_with_bf16(PlanFigures& figures, Config config, const Rates& rates) {
  config.precision.compute = ComputeType::bf16;
  try {
    const PlanFigures plain = plan_figures(config, figures.ranks, rates);
    for (size_t rank = 0; rank < figures.pipeline.size(); ++rank)
      figures.pipeline[rank].in_bf16 = plain.pipeline[rank].memory;
  } catch (const Error& error) {
    if (error.fault() != Fault::memory) throw;
  }
}

}  // namespace

PlanFigures plan_figures(const Config& config, int ranks, const Rates& rates) {
  if (ranks == 0) ranks = least_ranks(config.parallel);
  const int64_t tokenizer_vocab = make_tokenizer(config.data.tokenizer)->vocab_size();
  const PlaceOptions options =
      place_options(config, ranks, config.model.vocab ? config.model.vocab : tokenizer_vocab);
  PlanFigures figures{.ranks = ranks,
                      .device = device_of(config.run.device),
                      .mesh = options.mesh,
                      .sequence = options.sequence,
                      .partition = options.partition,
                      .micro_batches = options.micro_batches,
                      .micro_batch = config.batch.micro_batch,
                      .seq_len = config.data.seq_len};
  if (options.schedule.num_stages() > 1) {
    figures.schedule = config.parallel.schedule;
    figures.picture = picture(options.schedule, 26);
  }
  for (int stage = 0; stage < options.mesh.pp; ++stage) {
    const Planned planned(config, options, figures.device, tokenizer_vocab, stage * (ranks / options.mesh.pp),
                          ranks, rates);
    figures.pipeline.push_back(figures_of(planned));
    if (planned.plan.offloads()) {
      const StreamRoofline own = roofline(step_load(planned.plan), stream_rates(rates));
      if (!figures.roofline || own.step_s > figures.roofline->step_s) figures.roofline = own;
    }
    if (stage > 0) continue;
    figures.parameters = planned.model.num_parameters();
    figures.trained = planned.model.num_trained();
    figures.prefetch = planned.prefetch;
    figures.endurance_bytes = drive_endurance(config.offload);
    figures.flops = static_cast<double>(planned.plan.costs().model_flops()) * (ranks / options.mesh.pp);
    for (const LinkedProgram& linked : planned.plan.train_job()) figures.programs.push_back(linked.program);
    // The second step begins as the first ends: its time is the steady one.
    const JobTimeline job = simulate_job(planned.plan.train_job(), planned.plan.costs(), 2);
    figures.step_seconds = job.step_seconds;
    for (size_t lane = 0; lane < kNumLanes; ++lane) figures.busy[lane] = job.ranks[0].busy[lane] / 2;
    for (const Timeline& rank : job.ranks)
      figures.bubble += rank.bubble(Lane::compute) / static_cast<double>(job.ranks.size());
  }
  if (config.precision.compute == ComputeType::fp8) compare_with_bf16(figures, config, rates);
  return figures;
}

namespace {

std::string bytes_or_nothing(int64_t bytes) { return bytes == 0 ? "" : human_bytes(bytes); }

std::string memory_table(const PlanFigures& figures) {
  std::vector<std::string> header{"memory of a rank", "arena"};
  for (int cls = 0; cls < kNumValueClasses; ++cls)
    if (static_cast<ValueClass>(cls) != ValueClass::scalars)
      header.emplace_back(name(static_cast<ValueClass>(cls)));
  header.emplace_back("working");
  TextTable table(std::move(header));
  for (size_t rank = 0; rank < figures.pipeline.size(); ++rank)
    for (int t = 0; t < kNumTiers; ++t) {
      const auto tier = static_cast<Tier>(t);
      const MemoryReport::TierUse& use = figures.pipeline[rank].memory[tier];
      if (use.arena == 0) continue;
      std::vector<std::string> row{fmt::format("  pipeline {} {}", rank, name(tier)), human_bytes(use.arena)};
      for (int cls = 0; cls < kNumValueClasses; ++cls)
        if (static_cast<ValueClass>(cls) != ValueClass::scalars)
          row.push_back(bytes_or_nothing(use.by_class[static_cast<size_t>(cls)]));
      row.push_back(bytes_or_nothing(use.scratch));
      table.add(std::move(row));
    }
  return table.text();
}

// Of each pipeline rank that 8 bits make another: its device, and what is kept for the weight gradients.
std::string comparison(const PlanFigures& figures) {
  TextTable table({"8 bits beside bf16", "arena", "in bf16", "for weight gradients", "in bf16"});
  bool any = false;
  for (size_t rank = 0; rank < figures.pipeline.size(); ++rank) {
    const PipelineRankFigures& of = figures.pipeline[rank];
    if (!of.in_bf16) continue;
    any = true;
    const auto kept = [](const MemoryReport& memory) {
      return human_bytes(memory[Tier::device].by_class[static_cast<size_t>(ValueClass::saved_weight)]);
    };
    table.add({fmt::format("  pipeline {}", rank), human_bytes(of.memory[Tier::device].arena),
               human_bytes((*of.in_bf16)[Tier::device].arena), kept(of.memory), kept(*of.in_bf16)});
  }
  return any ? fmt::format("\n{}", table.text()) : "";
}

std::string traffic_table(const PlanFigures& figures) {
  std::vector<std::string> header{"received in a step"};
  for (int level = 0; level < kNumLinkLevels; ++level)
    header.emplace_back(name(static_cast<LinkLevel>(level)));
  TextTable table(std::move(header));
  for (size_t rank = 0; rank < figures.pipeline.size(); ++rank) {
    std::vector<std::string> row{fmt::format("  pipeline {}", rank)};
    for (const int64_t bytes : figures.pipeline[rank].received) row.push_back(bytes_or_nothing(bytes));
    table.add(std::move(row));
  }
  return table.text();
}

std::string moves_table(const PlanFigures& figures) {
  std::vector<std::string> header{"moved in a step"};
  for (int lane = 0; lane < kNumLanes; ++lane) header.emplace_back(name(static_cast<Lane>(lane)));
  TextTable table(std::move(header));
  bool any = false;
  for (size_t rank = 0; rank < figures.pipeline.size(); ++rank) {
    std::vector<std::string> row{fmt::format("  pipeline {}", rank)};
    for (const int64_t bytes : figures.pipeline[rank].moved) {
      row.push_back(bytes_or_nothing(bytes));
      any |= bytes > 0;
    }
    table.add(std::move(row));
  }
  return any ? "\n" + table.text() : "";
}

// "341 to 352", or one number.
template <typename Of>
std::string range(const PlanFigures& figures, Of of) {
  const auto [least, most] = std::minmax_element(figures.pipeline.begin(), figures.pipeline.end(),
                                                 [&](const auto& a, const auto& b) { return of(a) < of(b); });
  const auto text = [](int64_t n) {
    return n < 10000 ? fmt::format("{}", n) : human_count(static_cast<double>(n));
  };
  const std::string first = text(of(*least)), last = text(of(*most));
  return first == last ? first : fmt::format("{} to {}", first, last);
}

}  // namespace

std::string to_string(const PlanFigures& f) {
  const MeshSizes& m = f.mesh;
  const int64_t sequences = f.micro_batch * f.micro_batches * m.dp;
  std::string text;
  const auto line = [&](std::string_view what, const std::string& figures) {
    text += fmt::format("{:<11}{}\n", what, figures);
  };
  line("ranks", fmt::format("{} = pp {} x dp {} x cp {} x tp {}{}", f.ranks, m.pp, m.dp, m.cp, m.tp,
                            f.sequence && m.tp > 1 ? ", sequence parallel" : ""));
  if (f.device == DeviceKind::cuda) line("device", "a GPU for every rank");
  line("tokens", fmt::format("{} a step = dp {} x {} micro-batches x {} sequences x {}",
                             sequences * f.seq_len, m.dp, f.micro_batches, f.micro_batch, f.seq_len));
  line("model", f.trained == f.parameters
                    ? fmt::format("{} parameters", f.parameters)
                    : fmt::format("{} parameters, {} of them trained", f.parameters, f.trained));
  if (f.ranks > 1) {
    line("part",
         fmt::format("{} parameters of a rank", range(f, [](const auto& r) { return r.parameters; })));
    line("partition",
         fmt::format("weights over {}, gradients over {}, state over {} of {} data ranks",
                     f.partition.weights, f.partition.gradients, f.partition.state, m.dp * m.cp));
  }
  line("step",
       fmt::format("{} actions of a rank, verified", range(f, [](const auto& r) { return r.actions; })));
  line("work", fmt::format("{:.2f} GFLOP", f.flops * 1e-9));
  line("time", fmt::format("about {} at assumed rates, of which compute idles {:.1f}%",
                           human_duration(f.step_seconds), 100 * f.bubble));
  if (f.roofline) {
    line("prefetch", fmt::format("{} blocks", f.prefetch));
    line("roofline", to_text(*f.roofline, f.endurance_bytes));
  }
  if (!f.picture.empty()) text += fmt::format("\nschedule {}\n{}", f.schedule, f.picture);
  text += fmt::format("\n{}", memory_table(f));
  text += comparison(f);
  text += moves_table(f);
  if (f.ranks > 1) text += fmt::format("\n{}", traffic_table(f));
  return text;
}

nlohmann::json to_json(const PlanFigures& f) {
  nlohmann::json pipeline = nlohmann::json::array();
  for (const PipelineRankFigures& rank : f.pipeline) {
    nlohmann::json memory = nlohmann::json::object(), received = nlohmann::json::object(),
                   moved = nlohmann::json::object();
    for (int t = 0; t < kNumTiers; ++t) {
      const auto tier = static_cast<Tier>(t);
      const MemoryReport::TierUse& use = rank.memory[tier];
      nlohmann::json classes = nlohmann::json::object();
      for (int cls = 0; cls < kNumValueClasses; ++cls)
        classes[std::string(name(static_cast<ValueClass>(cls)))] = use.by_class[static_cast<size_t>(cls)];
      memory[std::string(name(tier))] = {
          {"arena", use.arena}, {"live", use.live_peak}, {"scratch", use.scratch}, {"at_peak", classes}};
    }
    for (int level = 0; level < kNumLinkLevels; ++level)
      received[std::string(name(static_cast<LinkLevel>(level)))] = rank.received[static_cast<size_t>(level)];
    for (int lane = 0; lane < kNumLanes; ++lane)
      if (const int64_t bytes = rank.moved[static_cast<size_t>(lane)]; bytes > 0)
        moved[std::string(name(static_cast<Lane>(lane)))] = bytes;
    if (rank.in_bf16) {
      const MemoryReport::TierUse& device = (*rank.in_bf16)[Tier::device];
      memory["device_in_bf16"] = {
          {"arena", device.arena},
          {"saved_weight", device.by_class[static_cast<size_t>(ValueClass::saved_weight)]}};
    }
    pipeline.push_back({{"parameters", rank.parameters},
                        {"actions", rank.actions},
                        {"memory", memory},
                        {"received", received},
                        {"moved", moved}});
  }
  nlohmann::json roofline;
  if (f.roofline) {
    const DriveWear wear = drive_wear(f.roofline->bytes_written, f.roofline->step_s, f.endurance_bytes);
    roofline = {{"binds", name(f.roofline->binds)},
                {"step_seconds", f.roofline->step_s},
                {"free_tokens", f.roofline->free_tokens},
                {"bytes_written_per_day", wear.bytes_per_day},
                {"prefetch", f.prefetch}};
    for (int part = 0; part < kNumParts; ++part)
      roofline["seconds"][std::string(name(static_cast<StepPart>(part)))] =
          f.roofline->seconds[static_cast<size_t>(part)];
    if (f.endurance_bytes > 0) roofline["drives_last_days"] = wear.days;
  }
  nlohmann::json json = {
      {"ranks", f.ranks},
      {"device", f.device == DeviceKind::cuda ? "cuda" : "cpu"},
      {"mesh", {{"pp", f.mesh.pp}, {"dp", f.mesh.dp}, {"cp", f.mesh.cp}, {"tp", f.mesh.tp}}},
      {"sequence_parallel", f.sequence},
      {"partition",
       {{"weights", f.partition.weights},
        {"gradients", f.partition.gradients},
        {"state", f.partition.state}}},
      {"schedule", f.schedule},
      {"micro_batches", f.micro_batches},
      {"micro_batch", f.micro_batch},
      {"seq_len", f.seq_len},
      {"parameters", f.parameters},
      {"trained", f.trained},
      {"flops", f.flops},
      {"step_seconds", f.step_seconds},
      {"bubble", f.bubble},
      {"pipeline", pipeline}};
  if (f.roofline) json["roofline"] = roofline;
  return json;
}

}  // namespace strata
