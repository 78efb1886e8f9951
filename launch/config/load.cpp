// SPDX-License-Identifier: Apache-2.0
#include "launch/config/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "launch/config/key_match.h"
#include "launch/config/key_table.h"
#include "launch/config/refused.h"
#include "launch/config/resolve.h"
#include "launch/config/toml_value.h"

namespace strata {
namespace {

constexpr std::string_view kCommandLine = "command line";

class Loader {
 public:
  explicit Loader(std::string file) : file_(std::move(file)) {}

  void file(std::string_view text) {
    const toml::table root = parse(text);
    for (const Entry& entry : entries(root)) {
      const toml::key& name = *entry.name;
      if (!entry.section.empty())
        from_file(entry.section, name, *entry.node);
      else if (key_table().section(name.str()))
        fault({.what = fmt::format("{} is a section, not a key", name.str()),
               .where = position(entry.node->source()),
               .found = describe(*entry.node),
               .expected = fmt::format("[{}] and its keys below", name.str()),
               .fix = fmt::format("write [{}] on a line of its own", name.str())});
      else if (entry.node->is_table())
        fault(at(unknown_section(name.str()), position(name.source())));
      else
        from_file("", name, *entry.node);
    }
  }

  // One word of the command line. Later words win over earlier ones and over the file.
  void override_with(const std::string& word) {
    const std::string where = fmt::format("{}: {}", kCommandLine, word);
    const size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      fault({.what = "an override is not of the form key=value",
             .where = where,
             .found = word,
             .expected = "section.key=value",
             .fix = "for example optimizer.lr=1e-3"});
      return;
    }
    const std::string path = word.substr(0, equals);
    const size_t dot = path.find('.');
    const KeyMatch match =
        dot == std::string::npos ? match_key("", path) : match_key(path.substr(0, dot), path.substr(dot + 1));
    if (!match.key) {
      fault(at(match.fault, where));
      return;
    }
    if (const auto value = parse_word(word.substr(equals + 1), *match.key, where))
      assign(match, *value->get("value"), where, std::string(kCommandLine));
  }

  LoadedConfig finish() {
    for (const Key& key : key_table().keys()) {
      if (!key.traits.required || loaded_.origins.contains(key.path) || faulty_.contains(key.path)) continue;
      faulty_.insert(key.path);
      fault({.what = fmt::format("{} is missing", key.path),
             .where = file_,
             .found = "no such key",
             .expected = fmt::format("{} ({})", accepted(key), key.traits.doc),
             .fix = fmt::format("add \"{} = ...\" to [{}]", key.name, key.section)});
    }
    loaded_.config = resolve(loaded_.given);
    for (const CrossFault& broken : cross_check(loaded_.config)) {
      const bool known =
          std::ranges::any_of(broken.keys, [&](std::string_view key) { return faulty_.contains(key); });
      if (known) continue;  // one of its numbers is already being complained about
      fault({.what = broken.what,
             .where = origins(broken.keys),
             .found = broken.found,
             .expected = broken.expected,
             .fix = broken.fix});
    }
    if (!faults_.empty()) throw ConfigFaults(std::move(faults_));
    return std::move(loaded_);
  }

 private:
  // A key of a section, or what stands at the top of the file and is no known section (section "").
  struct Entry {
    std::string_view section;
    const toml::key* name;
    const toml::node* node;
  };

  // In the order of the file; the tree itself is sorted by name.
  static std::vector<Entry> entries(const toml::table& root) {
    std::vector<Entry> all;
    for (const auto& [name, node] : root) {
      if (key_table().section(name.str()) && node.is_table())
        for (const auto& [key, value] : *node.as_table()) all.push_back({name.str(), &key, &value});
      else
        all.push_back({"", &name, &node});
    }
    std::ranges::sort(all, {}, [](const Entry& entry) {
      const toml::source_position begin = entry.name->source().begin;
      return std::pair(begin.line, begin.column);
    });
    return all;
  }

  void fault(Report report) { faults_.push_back(std::move(report)); }

  static Report at(Report report, std::string where) {
    report.where = std::move(where);
    return report;
  }

  std::string position(const toml::source_region& source) const {
    return fmt::format("{}:{}:{}", file_, source.begin.line, source.begin.column);
  }

  // The syntax tree; a syntax fault ends everything, as nothing after it can be trusted.
  toml::table parse(std::string_view text) const {
    try {
      return toml::parse(text, file_);
    } catch (const toml::parse_error& error) {
      const std::string_view why = error.description();
      const bool twice = why.find("redefine") != std::string_view::npos;
      throw ConfigFaults(
          {{.what = twice ? "a key or section is given twice" : "the file is not valid TOML",
            .where = position(error.source()),
            .found = std::string(why),
            .expected = twice ? "every key and section once" : "TOML: [section] and key = value lines",
            .fix = twice ? "remove one of the two" : repair_syntax(text, error.source().begin.line)}});
    }
  }

  static std::string repair_syntax(std::string_view text, size_t line) {
    for (; line > 1 && !text.empty(); --line)
      text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
    const std::string_view source = text.substr(0, text.find('\n'));
    const size_t equals = source.find('=');
    if (equals == std::string_view::npos && source.find(':') != std::string_view::npos)
      return "this looks like YAML: write key = value below [section]";
    if (equals != std::string_view::npos && source.find_first_of("\"'[{", equals) == std::string_view::npos)
      return "put text in double quotes, lists in [brackets]";
    return "check quotes, brackets and commas of this line";
  }

  void from_file(std::string_view section, const toml::key& name, const toml::node& node) {
    const toml::source_region& source = name.source();
    const KeyMatch match = match_key(section, name.str());
    if (!match.key) {
      fault(at(match.fault, position(source)));
      return;
    }
    if (const auto [first, fresh] = written_.emplace(match.key->path, position(source)); !fresh) {
      fault({.what = fmt::format("{} is given twice, under two names", match.key->path),
             .where = position(source),
             .found = fmt::format("{}, and the same key at {}", name.str(), first->second),
             .expected = "every key once",
             .fix = "remove one of the two"});
      return;
    }
    assign(match, node, position(node.source()), fmt::format("{}:{}", file_, source.begin.line));
  }

  void assign(const KeyMatch& match, const toml::node& node, const std::string& where, std::string origin) {
    const Key& key = *match.key;
    if (!match.note.empty()) loaded_.notes.push_back(fmt::format("{} ({})", match.note, origin));
    Report report{.what = "", .where = where, .found = describe(node), .expected = accepted(key), .fix = ""};
    const auto value = to_value(node, key.kind);
    const RefusedKey* later = node.is_string() ? refused_value(key.path, node.as_string()->get()) : nullptr;
    if (later) {
      report.what = fmt::format("{}: {}", key.path, later->why);
      report.fix = std::string(later->fix);
    } else if (!value) {
      report.what = fmt::format("{} has the wrong type", key.path);
      report.fix = repair(node, key);
    } else if (const std::string why = refusal(key, *value); !why.empty()) {
      report.what = fmt::format("{}: {}", key.path, why);
      report.fix = repair(node, key);
    } else {
      key.set(loaded_.given, *value);
      loaded_.origins[key.path] = std::move(origin);
      faulty_.erase(key.path);
      return;
    }
    faulty_.insert(key.path);
    fault(std::move(report));
  }

  // The right side of key=value under the name "value". A bare word is a text; for a key that holds text
  // everything is, unless it is quoted or a list.
  std::optional<toml::table> parse_word(const std::string& word, const Key& key, const std::string& where) {
    const bool textual =
        key.kind == KeyKind::text || key.kind == KeyKind::choice || key.kind == KeyKind::texts;
    const bool marked = word.find_first_of("\"'[{") == 0;
    if (word.find('\n') != std::string::npos) {  // would be a second line of TOML
      bad_word(key, where, "a line break");
      return std::nullopt;
    }
    try {
      if (!textual || marked) return toml::parse("value = " + word);
    } catch (const toml::parse_error& error) {
      if (marked) {
        bad_word(key, where, std::string(error.description()));
        return std::nullopt;
      }
    }
    try {
      return toml::parse("value = " + quote(word));
    } catch (const toml::parse_error& error) {
      bad_word(key, where, std::string(error.description()));
      return std::nullopt;
    }
  }

  void bad_word(const Key& key, const std::string& where, std::string why) {
    faulty_.insert(key.path);
    fault({.what = fmt::format("the value of {} cannot be read", key.path),
           .where = where,
           .found = std::move(why),
           .expected = accepted(key),
           .fix = "quote it for the shell, as in 'optimizer.betas=[0.9, 0.95]'"});
  }

  std::string origins(const std::vector<std::string_view>& keys) const {
    std::string text;
    for (const std::string_view key : keys) {
      const KeyValue value = key_table().find(key)->get(loaded_.given);
      text +=
          fmt::format("{}{} = {} ({})", text.empty() ? "" : ", ", key, to_toml(value), loaded_.origin(key));
    }
    return text;
  }

  std::string file_;
  LoadedConfig loaded_;
  std::vector<Report> faults_;
  std::set<std::string, std::less<>> faulty_;                // keys that have been complained about
  std::map<std::string, std::string, std::less<>> written_;  // keys of the file and where
};

std::string read_file(const std::string& path) {
  const auto refuse = [&](std::string found) {
    throw ConfigFaults({{.what = "the configuration cannot be read",
                         .where = path,
                         .found = std::move(found),
                         .expected = "a TOML file",
                         .fix = "check the path, or write a new file with 'strata init tiny'"}});
  };
  if (std::filesystem::is_directory(path)) refuse("a folder");
  std::ifstream stream(path, std::ios::binary);
  if (!stream) refuse(std::strerror(errno));
  std::string text((std::istreambuf_iterator<char>(stream)), {});
  if (stream.bad()) refuse("reading failed");
  return text;
}

}  // namespace

std::string_view LoadedConfig::origin(std::string_view path) const {
  const auto found = origins.find(path);
  return found == origins.end() ? "default" : std::string_view(found->second);
}

LoadedConfig parse_config(std::string_view text, const std::string& file,
                          const std::vector<std::string>& overrides) {
  Loader loader(file);
  loader.file(text);
  for (const std::string& word : overrides) loader.override_with(word);
  return loader.finish();
}

LoadedConfig load_config(const std::string& path, const std::vector<std::string>& overrides) {
  return parse_config(read_file(path), path, overrides);
}

}  // namespace strata
