// SPDX-License-Identifier: Apache-2.0
// Ties a key to a struct member: the member's type decides the key's kind, and getter and setter are made
// here. Used by key_table.cpp alone.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "launch/config/key_table.h"

namespace strata {

template <typename T>
struct MemberCodec;  // kind, encode(member) -> KeyValue, decode(KeyValue) -> member

template <typename T, KeyKind kKind>
struct PlainMemberCodec {
  static constexpr KeyKind kind = kKind;
  static constexpr size_t list_length = 0;
  static KeyValue encode(const T& member, const KeyTraits&) { return member; }
  static T decode(const KeyValue& value, const KeyTraits&) { return std::get<T>(value); }
};
template <>
struct MemberCodec<bool> : PlainMemberCodec<bool, KeyKind::boolean> {};
template <>
struct MemberCodec<int64_t> : PlainMemberCodec<int64_t, KeyKind::integer> {};
template <>
struct MemberCodec<double> : PlainMemberCodec<double, KeyKind::number> {};
template <>
struct MemberCodec<std::string> : PlainMemberCodec<std::string, KeyKind::text> {};
template <>
struct MemberCodec<std::vector<std::string>> : PlainMemberCodec<std::vector<std::string>, KeyKind::texts> {};
template <>
struct MemberCodec<Period> : PlainMemberCodec<Period, KeyKind::period> {};

template <>
struct MemberCodec<std::vector<double>> : PlainMemberCodec<std::vector<double>, KeyKind::numbers> {};

template <size_t N>
struct MemberCodec<std::array<double, N>> {
  static constexpr KeyKind kind = KeyKind::numbers;
  static constexpr size_t list_length = N;
  static KeyValue encode(const std::array<double, N>& member, const KeyTraits&) {
    return std::vector<double>(member.begin(), member.end());
  }
  static std::array<double, N> decode(const KeyValue& value, const KeyTraits&) {
    std::array<double, N> member;
    std::ranges::copy(std::get<std::vector<double>>(value), member.begin());
    return member;
  }
};

template <>
struct MemberCodec<std::optional<double>> {
  static constexpr KeyKind kind = KeyKind::number_or_off;
  static constexpr size_t list_length = 0;
  static KeyValue encode(const std::optional<double>& member, const KeyTraits&) {
    return member ? KeyValue(*member) : KeyValue(Off{});
  }
  static std::optional<double> decode(const KeyValue& value, const KeyTraits&) {
    const double* number = std::get_if<double>(&value);
    return number ? std::optional(*number) : std::nullopt;
  }
};

// An enum's choices are its enumerators in order.
template <typename T>
requires std::is_enum_v<T>
struct MemberCodec<T> {
  static constexpr KeyKind kind = KeyKind::choice;
  static constexpr size_t list_length = 0;
  static KeyValue encode(T member, const KeyTraits& traits) {
    return std::string(traits.choices.at(static_cast<size_t>(member)));
  }
  static T decode(const KeyValue& value, const KeyTraits& traits) {
    const auto at = std::ranges::find(traits.choices, std::get<std::string>(value));
    return static_cast<T>(at - traits.choices.begin());
  }
};

struct KeyRows {
  std::vector<KeySection> sections;
  std::vector<Key> keys;
};

// Adds the keys of one section, bound to the members of one struct of Config.
template <typename S>
class SectionRows {
 public:
  SectionRows(KeyRows& rows, S Config::*section, std::string_view name, std::string_view doc)
      : rows_(rows), section_(section), name_(name) {
    rows_.sections.push_back({name, doc});
  }

  template <typename T>
  SectionRows& key(std::string_view name, T S::*member, KeyTraits traits) {
    using C = MemberCodec<T>;
    const auto section = section_;
    Key key{.section = name_,
            .name = name,
            .path = std::string(name_) + "." + std::string(name),
            .kind = C::kind == KeyKind::text && !traits.choices.empty() ? KeyKind::choice : C::kind,
            .list_length = C::list_length,
            .traits = traits,
            .get = [section, member,
                    traits](const Config& config) { return C::encode(config.*section.*member, traits); },
            .set = [section, member, traits](
                       Config& config,
                       const KeyValue& value) { config.*section.*member = C::decode(value, traits); }};
    rows_.keys.push_back(std::move(key));
    return *this;
  }

 private:
  KeyRows& rows_;
  S Config::*section_;
  std::string_view name_;
};

}  // namespace strata
