// SPDX-License-Identifier: Apache-2.0
#include "core/program/action.h"

#include <fmt/format.h>

#include <array>

#include "core/base/check.h"
#include "core/program/words.h"

namespace strata {

Action free_of(const Value& value) {
  Action action;
  action.kind = Kind::free;
  action.block = value.block;
  action.micro_batch = value.micro_batch;
  action.cls = value.cls;
  action.tier = value.tier;
  action.level = value.level;
  return action;
}

Action move_of(const Value& value, Tier onto) {
  check(value.tier != onto, "[program] a move of `{}` to where it is", value);
  Action action = free_of(value);
  action.kind = onto < value.tier ? Kind::load : Kind::store;
  action.onto = onto;
  return action;
}

Value moved_from(const Action& action) { return freed_value(action); }

Value moved_to(const Action& action) {
  Value value = freed_value(action);
  value.tier = action.onto;
  return value;
}

Value freed_value(const Action& action) {
  return {action.cls, action.block, action.micro_batch, action.tier, action.level};
}

const KindInfo& info(Kind kind) {
  static constexpr std::array<KindInfo, kNumKinds> table{{
      {.name = "begin"},
      {.name = "gather", .block = true},
      {.name = "forward", .block = true, .micro_batch = true, .keep = true},
      {.name = "recompute", .block = true, .micro_batch = true},
      {.name = "backward_input", .block = true, .micro_batch = true},
      {.name = "backward_weight", .block = true, .micro_batch = true, .write = true, .slot = true},
      {.name = "loss", .block = true, .micro_batch = true, .write = true, .slot = true},
      {.name = "loss_only", .block = true, .micro_batch = true},
      {.name = "send", .block = true, .micro_batch = true, .cls = true, .peer = true},
      {.name = "receive", .block = true, .micro_batch = true, .cls = true, .peer = true},
      {.name = "reduce", .block = true, .write = true, .slot = true, .levels = true},
      {.name = "complete", .block = true},
      {.name = "fold", .block = true, .slot = true, .with = true},
      {.name = "tie", .block = true, .peer = true},
      {.name = "norm", .block = true},
      {.name = "total"},
      {.name = "clip"},
      {.name = "update", .block = true},
      {.name = "spread", .block = true},
      {.name = "pack", .block = true},
      {.name = "load", .block = true, .micro_batch = true, .value = true},
      {.name = "store", .block = true, .micro_batch = true, .value = true},
      {.name = "commit"},
      {.name = "free", .block = true, .micro_batch = true, .value = true},
  }};
  return table[static_cast<size_t>(kind)];
}

namespace {

std::string_view name(Keep keep) { return keep == Keep::save ? "save" : "discard"; }
std::string_view name(Write write) { return write == Write::overwrite ? "overwrite" : "accumulate"; }

}  // namespace

std::string to_string(const Action& action) {
  const KindInfo& kind = info(action.kind);
  std::string text(kind.name);
  if (action.kind == Kind::free) return fmt::format("{} {}", kind.name, to_string(freed_value(action)));
  if (is_move(action)) {
    Value value = freed_value(action);
    value.tier = Tier::device;  // told apart
    return fmt::format("{} {} from={} onto={}", kind.name, to_string(value), name(action.tier),
                       name(action.onto));
  }
  if (kind.cls) text.append(" ").append(name(action.cls));
  if (kind.block) text += fmt::format(" {}", action.block);
  if (kind.micro_batch) text += fmt::format(" mb={}", action.micro_batch);
  if (kind.levels) text += fmt::format(" level={} to={}", action.level, action.to);
  if (kind.peer && action.peer >= 0) text += fmt::format(" peer={}", action.peer);
  if (kind.slot && action.slot >= 0) text += fmt::format(" slot={}", action.slot);
  if (kind.with) text += fmt::format(" with={}", action.with);
  if (kind.keep) text.append(" ").append(name(action.keep));
  if (kind.write) text.append(" ").append(name(action.write));
  return text;
}

Value words::value(std::string_view line, const std::vector<std::string_view>& words, size_t first) {
  if (first >= words.size()) refuse(line, "", "a value class");
  const auto cls = enumerator<ValueClass>(words[first], kNumValueClasses);
  if (!cls) refuse(line, words[first], "a value class");
  Value value{.cls = *cls};
  for (size_t i = first + 1; i < words.size(); ++i) {
    const std::string_view word = words[i];
    if (const auto block = number<int16_t>(word); block && *block >= 0 && i == first + 1)
      value.block = *block;
    else if (const auto mb = field<int16_t>(word, "mb"); mb && *mb >= 0)
      value.micro_batch = *mb;
    else if (const auto level = field<uint8_t>(word, "level"))
      value.level = *level;
    else if (const auto tier = enumerator<Tier>(word.starts_with("tier=") ? word.substr(5) : "", kNumTiers))
      value.tier = *tier;
    else
      refuse(line, word, "a block, mb=, tier= or level=");
  }
  return value;
}

namespace {

Action parse_move(std::string_view text, Kind kind, std::vector<std::string_view> all) {
  const auto tier = [&](std::string_view key) {
    const std::string_view word = all.size() > 1 ? all.back() : std::string_view{};
    const auto found =
        word.starts_with(key) ? words::enumerator<Tier>(word.substr(key.size()), kNumTiers) : std::nullopt;
    if (!found) words::refuse(text, word, std::string(key) + "device, host or nvme");
    all.pop_back();
    return *found;
  };
  const Tier onto = tier("onto=");
  Value value{.tier = tier("from=")};
  const Tier from = value.tier;
  value = words::value(text, all, 1);
  value.tier = from;
  if (from == onto || (onto < from) != (kind == Kind::load))
    words::refuse(text, name(onto), kind == Kind::load ? "a faster tier" : "a slower tier");
  return move_of(value, onto);
}

}  // namespace

Action parse_action(std::string_view text) {
  using namespace words;
  const auto all = split(text);
  if (all.empty()) refuse(text, "", "a kind of action");
  const auto kind = enumerator<Kind>(all[0], kNumKinds);
  if (!kind) refuse(text, all[0], "a kind of action");
  if (*kind == Kind::free) return free_of(words::value(text, all, 1));
  if (info(*kind).value) return parse_move(text, *kind, all);

  Action action;
  action.kind = *kind;
  const KindInfo& fields = info(*kind);
  size_t at = 1;
  const auto next = [&] { return at < all.size() ? all[at++] : std::string_view{}; };
  // The number of "key=", which must be there.
  const auto required = [&]<typename Int>(std::string_view key, Int& into, std::string_view expected) {
    const std::string_view word = next();
    const auto value = field<Int>(word, key);
    if (!value || *value < 0) refuse(text, word, expected);
    into = *value;
  };
  const auto optional = [&](std::string_view key, int16_t& into) {
    if (at >= all.size()) return;
    const auto value = field<int16_t>(all[at], key);
    if (!value) return;
    if (*value < 0) refuse(text, all[at], "a number of at least 0");
    into = *value;
    ++at;
  };
  if (fields.cls) {
    const std::string_view word = next();
    const auto cls = enumerator<ValueClass>(word, 2);
    if (!cls) refuse(text, word, "x or dx");
    action.cls = *cls;
  }
  if (fields.block) {
    const std::string_view word = next();
    const auto block = number<int16_t>(word);
    if (!block || *block < 0) refuse(text, word, "a block number");
    action.block = *block;
  }
  if (fields.micro_batch) required("mb", action.micro_batch, "mb=<micro-batch>");
  if (fields.levels) {
    required("level", action.level, "level=<level>");
    required("to", action.to, "to=<level>");
  }
  if (fields.peer) {
    if (*kind == Kind::tie)
      optional("peer", action.peer);
    else
      required("peer", action.peer, "peer=<pipeline rank>");
  }
  if (fields.slot) optional("slot", action.slot);
  if (fields.with) required("with", action.with, "with=<micro-batch>");
  if (fields.keep) {
    const std::string_view word = next();
    if (word != name(Keep::save) && word != name(Keep::discard)) refuse(text, word, "save or discard");
    action.keep = word == name(Keep::save) ? Keep::save : Keep::discard;
  }
  if (fields.write) {
    const std::string_view word = next();
    if (word != name(Write::overwrite) && word != name(Write::accumulate))
      refuse(text, word, "overwrite or accumulate");
    action.write = word == name(Write::overwrite) ? Write::overwrite : Write::accumulate;
  }
  if (at < all.size()) refuse(text, all[at], "the end of the line");
  return action;
}

}  // namespace strata
