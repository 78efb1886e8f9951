// SPDX-License-Identifier: Apache-2.0
#include "launch/convert/name_map.h"

#include <fmt/ranges.h>

#include <toml++/toml.h>
#include <algorithm>
#include <map>
#include <set>

#include "core/base/error.h"

namespace strata {
namespace {

struct Rule {
  uint32_t line = 0;
  std::string to, role, drop;
  std::vector<std::string> from;  // several: joined along `dim`
  int64_t dim = 0, groups = 1;
  std::optional<std::pair<int64_t, int64_t>> part, range;
  bool transpose = false, unstack = false;
};

// What '*' stands for when `name` is of this form.
std::optional<std::string> match(const std::string& pattern, const std::string& name) {
  const size_t star = pattern.find('*');
  if (star == std::string::npos) return name == pattern ? std::optional<std::string>("") : std::nullopt;
  const std::string_view before = std::string_view(pattern).substr(0, star),
                         after = std::string_view(pattern).substr(star + 1);
  if (name.size() <= before.size() + after.size() || !name.starts_with(before) || !name.ends_with(after))
    return std::nullopt;
  std::string text = name.substr(before.size(), name.size() - before.size() - after.size());
  return text.find('.') == std::string::npos ? std::optional(std::move(text)) : std::nullopt;
}
std::string with(std::string pattern, const std::string& text) {
  if (const size_t star = pattern.find('*'); star != std::string::npos) pattern.replace(star, 1, text);
  return pattern;
}

class Mapper {
 public:
  Mapper(const TensorSource& source, std::string path) : source_(source), path_(std::move(path)) {}

  [[noreturn]] void refuse(uint32_t line, std::string found, std::string expected = {}) const {
    throw Error(Fault::usage, {.what = "a rule of the map does not fit",
                               .where = fmt::format("{}:{}", path_, line),
                               .found = std::move(found),
                               .expected = std::move(expected),
                               .fix = "checkpoint/map.md says what a rule may be"});
  }

  Rule read(const toml::table& table) const {
    Rule rule{.line = table.source().begin.line};
    for (const auto& [key, node] : table) {
      const std::string_view name = key.str();
      const uint32_t line = node.source().begin.line;
      const auto text = [&](std::string& into) {
        if (!node.is_string()) refuse(line, fmt::format("'{}'", name), "a text");
        into = node.as_string()->get();
        if (std::count(into.begin(), into.end(), '*') > 1) refuse(line, into, "at most one '*'");
      };
      const auto number = [&](int64_t& into) {
        if (!node.is_integer() || node.as_integer()->get() < 0)
          refuse(line, fmt::format("'{}'", name), "a number");
        into = node.as_integer()->get();
      };
      const auto pair = [&](std::optional<std::pair<int64_t, int64_t>>& into) {
        const toml::array* const both = node.as_array();
        if (!both || both->size() != 2 || !(*both)[0].is_integer() || !(*both)[1].is_integer())
          refuse(line, fmt::format("'{}'", name), "[number, number]");
        into = {(*both)[0].as_integer()->get(), (*both)[1].as_integer()->get()};
      };
      const auto flag = [&](bool& into) {
        if (!node.is_boolean()) refuse(line, fmt::format("'{}'", name), "true or false");
        into = node.as_boolean()->get();
      };
      if (name == "to")
        text(rule.to);
      else if (name == "role")
        text(rule.role);
      else if (name == "drop")
        text(rule.drop);
      else if (name == "dim")
        number(rule.dim);
      else if (name == "groups")
        number(rule.groups);
      else if (name == "part")
        pair(rule.part);
      else if (name == "range")
        pair(rule.range);
      else if (name == "transpose")
        flag(rule.transpose);
      else if (name == "unstack")
        flag(rule.unstack);
      else if (name == "from" && node.is_string())
        text(rule.from.emplace_back());
      else if (name == "from" && node.is_array())
        for (const toml::node& one : *node.as_array()) {
          if (!one.is_string()) refuse(line, "'from'", "texts");
          rule.from.push_back(one.as_string()->get());
        }
      else
        refuse(line, fmt::format("'{}'", name),
               "to, from, drop, part, range, dim, groups, transpose, unstack or role");
    }
    if (rule.drop.empty() ? rule.to.empty() || rule.from.empty() : !rule.to.empty() || !rule.from.empty())
      refuse(rule.line, "neither to and from, nor drop alone");
    if (rule.part && rule.range) refuse(rule.line, "part and range");
    if (rule.part && (rule.part->second < 1 || rule.part->first < 0 || rule.part->first >= rule.part->second))
      refuse(rule.line, fmt::format("part {} of {}", rule.part->first, rule.part->second));
    if (rule.groups < 1 ||
        (rule.from.size() > 1 && (rule.part || rule.range || rule.groups > 1 || rule.unstack)))
      refuse(rule.line, "several 'from' that are cut as well", "a rule for each");
    if (rule.unstack && rule.to.find('*') == std::string::npos)
      refuse(rule.line, rule.to, "a '*' for the layer");
    return rule;
  }

  void apply(const Rule& rule, std::vector<std::string>& dropped) {
    bool any = false;
    const std::span<const TensorSpec> stored = source_.tensors();
    for (size_t t = 0; t < stored.size(); ++t) {
      const auto text = match(rule.drop.empty() ? rule.from.front() : rule.drop, stored[t].name);
      if (!text) continue;
      any = true;
      used_[t] = true;
      if (!rule.drop.empty()) {
        dropped.push_back(to_string(stored[t]) + ": the map says so");
      } else if (rule.unstack) {
        if (stored[t].shape.rank() < 1) refuse(rule.line, to_string(stored[t]), "layers in dim 0");
        for (int64_t layer = 0; layer < stored[t].shape[0]; ++layer)
          add(rule, with(rule.to, std::to_string(layer)), {t}, layer);
      } else {
        std::vector<size_t> parts{t};
        for (size_t f = 1; f < rule.from.size(); ++f) {
          const std::string name = with(rule.from[f], *text);
          const auto other = known_.find({name, stored[t].state});
          if (other == known_.end()) refuse(rule.line, fmt::format("no '{}' ({})", name, stored[t].state));
          used_[other->second] = true;
          parts.push_back(other->second);
        }
        add(rule, with(rule.to, *text), parts, std::nullopt);
      }
    }
    if (!any)
      refuse(rule.line, fmt::format("no tensor '{}'", rule.drop.empty() ? rule.from.front() : rule.drop));
  }

  // What to is made of: along `dim` of the target (before it is transposed), one stretch after another.
  void add(const Rule& rule, std::string name, const std::vector<size_t>& from,
           std::optional<int64_t> layer) {
    const TensorSpec& first = source_.tensors()[from.front()];
    MappedTensor made{
        .logical = {.name = std::move(name), .state = first.state, .type = first.type, .role = rule.role},
        .pieces = {}};
    const int skip = layer ? 1 : 0, rank = first.shape.rank() - skip;
    const int dim = static_cast<int>(std::min<int64_t>(rule.dim, Shape::kMaxRank));
    const bool cut = rule.part || rule.range || rule.groups > 1 || from.size() > 1;
    if ((cut && dim >= rank) || (rule.transpose && rank != 2))
      refuse(rule.line, to_string(first),
             rule.transpose ? "a matrix to transpose" : fmt::format("a dim {}", dim));
    Shape shape;  // as stored, without the layers
    for (int d = 0; d < rank; ++d) shape.append(first.shape[d + skip]);
    struct Stretch {
      size_t from;
      int64_t begin, count;
    };
    std::vector<Stretch> stretches;
    int64_t total = 0;
    for (const size_t f : from) {
      const TensorSpec& one = source_.tensors()[f];
      bool same = one.shape.rank() == first.shape.rank();
      for (int d = 0; same && d < one.shape.rank(); ++d) same = d == dim || one.shape[d] == first.shape[d];
      if (!same) refuse(rule.line, fmt::format("{} beside {}", to_string(one), to_string(first)));
      const int64_t extent = rank > 0 && dim < rank ? one.shape[dim + skip] : 1;
      if (extent % rule.groups != 0)
        refuse(rule.line, to_string(one), fmt::format("{} equal groups", rule.groups));
      const int64_t group = extent / rule.groups;
      int64_t begin = 0, count = group;
      if (rule.range) std::tie(begin, count) = *rule.range;
      if (rule.part) {
        if (group % rule.part->second != 0)
          refuse(rule.line, to_string(one), fmt::format("{} equal parts", rule.part->second));
        count = group / rule.part->second;
        begin = rule.part->first * count;
      }
      if (begin < 0 || count < 0 || begin > group || count > group - begin)
        refuse(rule.line, fmt::format("{} from {} on, of {}", count, begin, group));
      for (int64_t g = 0; g < rule.groups; ++g) stretches.push_back({f, g * group + begin, count});
      total += rule.groups * count;
    }
    if (cut) shape.set(dim, total);
    made.logical.shape = shape;
    if (rule.transpose) made.logical.shape = {shape[1], shape[0]};
    int64_t at = 0;
    for (const Stretch& stretch : stretches) {
      MappedPiece piece{
          .from = stretch.from, .begin = first.shape, .target = Rect::whole(made.logical.shape)};
      for (int d = 0; d < first.shape.rank(); ++d) piece.begin.set(d, 0);
      if (layer) piece.begin.set(0, *layer);
      for (int d = 0; d < rank; ++d)
        piece.axes[static_cast<size_t>(d)] = static_cast<int8_t>((rule.transpose ? 1 - d : d) + skip);
      if (cut) {
        const int target = rule.transpose ? 1 - dim : dim;
        piece.begin.set(dim + skip, stretch.begin);
        piece.target.begin.set(target, at);
        piece.target.extent.set(target, stretch.count);
      }
      at += stretch.count;
      made.pieces.push_back(piece);
    }
    if (!made_.emplace(made.logical.name, made.logical.state).second)
      refuse(rule.line, fmt::format("'{}' ({}) is made by two rules", made.logical.name, made.logical.state));
    tensors_.push_back(std::move(made));
  }

  std::vector<MappedTensor> run(const toml::table& root, std::vector<std::string>& dropped) {
    const std::span<const TensorSpec> stored = source_.tensors();
    for (size_t t = 0; t < stored.size(); ++t) known_.emplace(std::pair(stored[t].name, stored[t].state), t);
    used_.resize(stored.size());
    const toml::array* const rules = root["rule"].as_array();
    if (!rules || root.size() != 1) refuse(1, "no list of rules alone", "[[rule]] tables");
    for (const toml::node& node : *rules) {
      if (!node.is_table()) refuse(node.source().begin.line, "no table", "[[rule]]");
      apply(read(*node.as_table()), dropped);
    }
    std::vector<std::string> left;
    for (size_t t = 0; t < stored.size(); ++t)
      if (!used_[t]) left.push_back(to_string(stored[t]));
    if (!left.empty())
      throw Error(Fault::usage, {.what = "tensors that no rule of the map takes",
                                 .where = path_,
                                 .found = fmt::format("{}\n    {}", left.size(), fmt::join(left, "\n    ")),
                                 .fix = "a [[rule]] with to and from, or with drop"});
    return std::move(tensors_);
  }

 private:
  const TensorSource& source_;
  std::string path_;
  std::map<std::pair<std::string, std::string>, size_t> known_;
  std::set<std::pair<std::string, std::string>> made_;
  std::vector<char> used_;
  std::vector<MappedTensor> tensors_;
};

}  // namespace

std::unique_ptr<MappedSource> map_names(const TensorSource& source, FileSystem& files,
                                        const std::string& path, std::vector<Asset> assets,
                                        std::vector<std::string>& dropped) {
  Mapper mapper(source, path);
  toml::table root;
  try {
    root = toml::parse(read_file(files, path));
  } catch (const toml::parse_error& error) {
    mapper.refuse(error.source().begin.line, std::string(error.description()), "TOML");
  }
  return std::make_unique<MappedSource>(source, mapper.run(root, dropped), source.metadata(),
                                        std::move(assets));
}

}  // namespace strata
