// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "launch/bisect/record.h"

namespace strata {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kFirst = "{\"strata_record\":";
constexpr int kVersion = 1;

// JSON has no infinities; the extremes of nothing are null.
double number(const Json& json, double otherwise) { return json.is_null() ? otherwise : json.get<double>(); }

Json to_json(const RecordPart& part) {
  const Summary& s = part.summary;
  return {{"ranks", part.ranks},        {"action", part.action}, {"count", s.count},
          {"non_finite", s.non_finite}, {"where", s.where},      {"bits", s.bits},
          {"squares", s.squares},       {"min", s.min},          {"max", s.max},
          {"sketch", s.sketch}};
}

RecordPart part_of(const Json& json) {
  const double infinity = std::numeric_limits<double>::infinity();
  return {.ranks = json.at("ranks").get<std::vector<int>>(),
          .action = json.at("action"),
          .summary = {.count = json.at("count"),
                      .non_finite = json.at("non_finite"),
                      .where = json.at("where"),
                      .bits = json.at("bits"),
                      .squares = number(json.at("squares"), infinity),
                      .min = number(json.at("min"), infinity),
                      .max = number(json.at("max"), -infinity),
                      .sketch = json.at("sketch").get<std::array<double, Summary::kSketches>>()}};
}

void add_line(const Json& json, Record& record) {
  const auto quantity = quantity_named(json.at("of").get<std::string>());
  if (!quantity) throw Error(Fault::usage, {.what = "an unknown quantity", .found = json.at("of").dump()});
  RecordEntry entry{
      .count = json.at("count"), .width = json.at("width"), .integer = json.at("integer"), .parts = {}};
  for (const Json& part : json.at("parts")) entry.parts.push_back(part_of(part));
  record.add({.step = json.at("step"),
              .quantity = *quantity,
              .block = json.at("block"),
              .sequence = json.at("sequence"),
              .tensor = json.at("tensor")},
             entry);
}

RunHeader header_of(const Json& json) {
  return {.name = json.at("name"),
          .layout = json.at("layout"),
          .batch = json.at("batch"),
          .ordered = json.at("ordered"),
          .compute = json.at("compute"),
          .isa = json.at("isa"),
          .blocks = json.at("blocks").get<std::vector<std::string>>(),
          .ranks = json.at("ranks").get<std::vector<std::string>>()};
}

// Calls visit(line, number, complete) for each line; the last may lack its end.
template <typename Visit>
void each_line(std::string_view text, int first_number, Visit visit) {
  for (int number = first_number; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    visit(text.substr(0, end), number, end != std::string_view::npos);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

template <typename Parse>
void parsing(const std::string& where, int line, Parse parse) {
  std::string found;
  try {
    return parse();
  } catch (const Json::exception& error) {
    found = error.what();
  } catch (const Error& error) {
    found = error.report().found;
  }
  throw Error(Fault::usage, {.what = "this is not the record of a run",
                             .where = fmt::format("{}:{}", where, line),
                             .found = found,
                             .expected = "a file that log.record of this version wrote",
                             .fix = "record the run again"});
}

}  // namespace

std::string to_line(const RunHeader& header) {
  const Json json{{"name", header.name},     {"layout", header.layout},   {"batch", header.batch},
                  {"isa", header.isa},       {"ordered", header.ordered}, {"compute", header.compute},
                  {"blocks", header.blocks}, {"ranks", header.ranks}};
  // The key that tells records from other files stands first, whatever the order of the others.
  return fmt::format("{}{},{}\n", kFirst, kVersion, json.dump().substr(1));
}

std::string to_line(const RecordKey& key, const RecordEntry& entry) {
  Json json{{"step", key.step},         {"of", name(key.quantity)}, {"block", key.block},
            {"sequence", key.sequence}, {"tensor", key.tensor},     {"count", entry.count},
            {"width", entry.width},     {"integer", entry.integer}, {"parts", Json::array()}};
  for (const RecordPart& part : entry.parts) json["parts"].push_back(to_json(part));
  return json.dump() + "\n";
}

bool is_record(std::string_view text) { return text.starts_with(kFirst); }

void parse_entries(std::string_view lines, const std::string& where, Record& record) {
  each_line(lines, 2, [&](std::string_view line, int number, bool complete) {
    if (complete) parsing(where, number, [&] { add_line(Json::parse(line), record); });
  });
}

Record parse_record(std::string_view text, const std::string& where) {
  Record record;
  const std::string_view first = text.substr(0, text.find('\n'));
  parsing(where, 1, [&] {
    const Json json = Json::parse(first);
    if (json.at("strata_record") != kVersion)
      throw Error(Fault::usage, {.what = "version", .found = json.at("strata_record").dump()});
    record.header = header_of(json);
  });
  text.remove_prefix(std::min(first.size() + 1, text.size()));
  parse_entries(text, where, record);
  return record;
}

}  // namespace strata
