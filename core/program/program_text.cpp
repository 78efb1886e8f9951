// SPDX-License-Identifier: Apache-2.0
// The text form of a program:
//   program train micro_batches=2 ranks=8
//   block 0 parameters trainable packed saves_weight weight_level=1 state_level=1
//   block 1 ...
//   initial weight 0
//   begin
//   forward 0 mb=0 save
#include <array>

#include "core/base/error.h"
#include "core/program/program.h"
#include "core/program/words.h"

namespace strata {

namespace {

struct Property {
  std::string_view name;
  bool BlockInfo::*field;
};
constexpr std::array<Property, 11> kProperties{{{"parameters", &BlockInfo::has_parameters},
                                                {"trainable", &BlockInfo::trainable},
                                                {"packed", &BlockInfo::packed},
                                                {"saves_input", &BlockInfo::saves_input},
                                                {"saves_weight", &BlockInfo::saves_weight},
                                                {"defers", &BlockInfo::defers},
                                                {"master", &BlockInfo::has_master},
                                                {"moments", &BlockInfo::has_moments},
                                                {"replicated", &BlockInfo::replicated},
                                                {"partial", &BlockInfo::partial},
                                                {"x_quantized", &BlockInfo::x_quantized}}};

struct Level {
  std::string_view name;
  uint8_t BlockInfo::*field;
};
constexpr std::array<Level, 3> kLevels{{{"weight_level", &BlockInfo::weight_level},
                                        {"grad_level", &BlockInfo::grad_level},
                                        {"state_level", &BlockInfo::state_level}}};

struct Home {
  std::string_view name;
  Tier BlockInfo::*field;
};
constexpr std::array<Home, 5> kHomes{{{"weight_home", &BlockInfo::weight_home},
                                      {"grad_home", &BlockInfo::grad_home},
                                      {"master_home", &BlockInfo::master_home},
                                      {"moments_home", &BlockInfo::moments_home},
                                      {"x_home", &BlockInfo::x_home}}};

void parse_header(std::string_view line, const std::vector<std::string_view>& all, Program& program) {
  if (all.size() < 2) words::refuse(line, "", "train or evaluate");
  const auto goal = words::enumerator<Goal>(all[1], 2);
  if (!goal) words::refuse(line, all[1], "train or evaluate");
  const auto micro_batches = all.size() >= 3 ? words::field<int>(all[2], "micro_batches") : std::nullopt;
  if (!micro_batches) words::refuse(line, all.size() < 3 ? "" : all[2], "micro_batches=<count>");
  program.goal = *goal;
  program.micro_batches = *micro_batches;
  if (all.size() == 3) return;
  const auto ranks = words::field<int>(all[3], "ranks");
  if (!ranks || *ranks < 2 || all.size() > 4)
    words::refuse(line, all.back(), "ranks=<count>, or the end of the line");
  program.ranks = *ranks;
}

void parse_block(std::string_view line, const std::vector<std::string_view>& all, Program& program) {
  const auto index = all.size() > 1 ? words::number<int>(all[1]) : std::nullopt;
  if (!index || *index != program.num_blocks())
    words::refuse(line, all.size() > 1 ? all[1] : "", "block " + std::to_string(program.num_blocks()));
  BlockInfo block;
  for (const Property& property : kProperties) block.*property.field = false;
  for (size_t i = 2; i < all.size(); ++i) {
    bool known = false;
    for (const Property& property : kProperties) {
      if (all[i] != property.name) continue;
      block.*property.field = known = true;
    }
    for (const Level& level : kLevels)
      if (const auto value = words::field<uint8_t>(all[i], level.name)) {
        block.*level.field = *value;
        known = true;
      }
    for (const Home& home : kHomes) {
      if (!all[i].starts_with(home.name) || all[i].size() <= home.name.size()) continue;
      const auto tier = words::enumerator<Tier>(all[i].substr(home.name.size() + 1), kNumTiers);
      if (!tier || all[i][home.name.size()] != '=') continue;
      block.*home.field = *tier;
      known = true;
    }
    for (auto [name, field] :
         {std::pair{"tied_to", &BlockInfo::tied_to}, std::pair{"twin", &BlockInfo::twin}})
      if (const auto other = words::field<int16_t>(all[i], name); other && *other >= 0) {
        block.*field = *other;
        known = true;
      }
    if (all[i] == "elsewhere") {
      block.here = false;
      known = true;
    }
    if (!known) words::refuse(line, all[i], "a property of a block");
  }
  program.blocks.push_back(block);
}

}  // namespace

std::string_view name(Goal goal) { return goal == Goal::train ? "train" : "evaluate"; }

std::string to_string(const Program& program) {
  std::string text = "program ";
  text.append(name(program.goal)).append(" micro_batches=" + std::to_string(program.micro_batches));
  if (program.ranks > 1) text += fmt::format(" ranks={}", program.ranks);
  text += "\n";
  for (int b = 0; b < program.num_blocks(); ++b) {
    const BlockInfo& block = program.blocks[static_cast<size_t>(b)];
    text += "block " + std::to_string(b);
    for (const Property& property : kProperties)
      if (block.*property.field) text.append(" ").append(property.name);
    for (const Level& level : kLevels)
      if (block.*level.field > 0) text += fmt::format(" {}={}", level.name, block.*level.field);
    for (const Home& home : kHomes)
      if (block.*home.field != Tier::device)
        text += fmt::format(" {}={}", home.name, name(block.*home.field));
    if (block.tied_to >= 0) text += fmt::format(" tied_to={}", block.tied_to);
    if (block.twin >= 0) text += fmt::format(" twin={}", block.twin);
    if (!block.here) text += " elsewhere";
    text += "\n";
  }
  for (const Value& value : program.initial) text += "initial " + to_string(value) + "\n";
  for (const Action& action : program.list) text += to_string(action) + "\n";
  return text;
}

std::string to_string(std::span<const Program> job) {
  std::string text;
  for (size_t rank = 0; rank < job.size(); ++rank)
    text += fmt::format("# pipeline rank {}\n", rank) + to_string(job[rank]);
  return text;
}

std::vector<Program> parse_programs(std::string_view text) {
  std::vector<Program> job;
  int line_number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line_number;
    line = line.substr(0, line.find('#'));
    const auto all = words::split(line);
    if (all.empty()) continue;
    try {
      if (all[0] == "program") {
        parse_header(line, all, job.emplace_back());
      } else if (job.empty()) {
        words::refuse(line, all[0], "program train|evaluate micro_batches=<count>");
      } else if (all[0] == "block") {
        parse_block(line, all, job.back());
      } else if (all[0] == "initial") {
        job.back().initial.push_back(words::value(line, all, 1));
      } else {
        job.back().list.push_back(parse_action(line));
      }
    } catch (const Error& error) {
      Report report = error.report();
      report.where = "line " + std::to_string(line_number) + ": " + std::string(line);
      throw Error(error.fault(), report);
    }
  }
  if (job.empty())
    throw Error(Fault::usage, {.what = "this is not a program",
                               .found = "an empty text",
                               .expected = "a first line: program train|evaluate micro_batches=<count>"});
  return job;
}

Program parse_program(std::string_view text) {
  std::vector<Program> job = parse_programs(text);
  if (job.size() > 1)
    throw Error(Fault::usage, {.what = "this is not one program",
                               .found = fmt::format("{} of them", job.size()),
                               .expected = "the program of one rank"});
  return std::move(job.front());
}

}  // namespace strata
