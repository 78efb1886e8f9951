// SPDX-License-Identifier: Apache-2.0
// The stack machine that reads a pickle as data (pickle.h): its stack, its memo and what opcodes do to them.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "checkpoint/adapters/pickle.h"
#include "core/base/error.h"

namespace strata {

class PickleMachine {
 public:
  PickleMachine(FileBytes& bytes, const std::string& where, const PickleLimits& limits)
      : bytes_(bytes), where_(where), limits_(limits) {}

  Pickle run() {
    while (!step(byte())) {
    }
    pickle_.root = pop();
    return std::move(pickle_);
  }

 private:
  using Kind = PickleNode::Kind;
  static constexpr uint32_t kMark = UINT32_MAX;

  [[noreturn]] void refuse(std::string found) const {
    throw Error(Fault::model, {.what = "a pickle cannot be read",
                               .where = where_,
                               .found = std::move(found),
                               .expected = "what torch.save writes"});
  }

  uint8_t byte() {
    if (bytes_.done()) refuse("its end too early");
    const auto value = static_cast<uint8_t>(bytes_.peek());
    bytes_.advance();
    return value;
  }
  uint64_t number(int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; ++i) value |= static_cast<uint64_t>(byte()) << (8 * i);
    return value;
  }
  std::string text(uint64_t count) {
    if (count > limits_.text_bytes - text_bytes_)
      refuse(fmt::format("more than {} bytes of text", limits_.text_bytes));
    text_bytes_ += count;
    std::string value;
    for (uint64_t i = 0; i < count; ++i) value += static_cast<char>(byte());  // grows with what is there
    return value;
  }
  std::string line() {
    std::string value;
    for (char c; (c = static_cast<char>(byte())) != '\n'; value += c)
      if (++text_bytes_ > limits_.text_bytes || value.size() > 1000) refuse("a line of more than 1000 bytes");
    return value;
  }

  PickleNode& node(uint32_t index) { return pickle_.nodes[index]; }
  void push(uint32_t index) {
    if (stack_.size() >= limits_.stack) refuse(fmt::format("more than {} values open", limits_.stack));
    stack_.push_back(index);
  }
  uint32_t make(PickleNode made) {
    if (pickle_.nodes.size() >= limits_.nodes) refuse(fmt::format("more than {} values", limits_.nodes));
    pickle_.nodes.push_back(std::move(made));
    return static_cast<uint32_t>(pickle_.nodes.size() - 1);
  }
  void push(PickleNode made) { push(make(std::move(made))); }
  void push_text(Kind kind, std::string value) { push(PickleNode{.kind = kind, .text = std::move(value)}); }
  uint32_t top() const {
    if (stack_.empty() || stack_.back() == kMark) refuse("a value missing");
    return stack_.back();
  }
  uint32_t pop() {
    const uint32_t index = top();
    stack_.pop_back();
    return index;
  }
  std::vector<uint32_t> pop_to_mark() {
    size_t mark = stack_.size();
    while (mark > 0 && stack_[mark - 1] != kMark) --mark;
    if (mark == 0) refuse("a mark missing");
    std::vector<uint32_t> items(stack_.begin() + static_cast<std::ptrdiff_t>(mark), stack_.end());
    stack_.resize(mark - 1);
    return items;
  }
  void append(uint32_t to, const std::vector<uint32_t>& items) {
    if ((items_ += items.size()) > limits_.items) refuse(fmt::format("more than {} items", limits_.items));
    auto& there = node(to).items;
    there.insert(there.end(), items.begin(), items.end());
  }
  void push_with(Kind kind, const std::vector<uint32_t>& items) {
    push(PickleNode{.kind = kind});
    append(stack_.back(), items);
  }
  void add_items(std::initializer_list<Kind> kinds, const std::vector<uint32_t>& items) {
    const uint32_t to = top();
    bool fits = node(to).kind == Kind::call;  // an inert record of some class
    for (const Kind kind : kinds) fits = fits || node(to).kind == kind;
    if (!fits) refuse("items for what holds none");
    append(to, items);
  }
  void set_items(const std::vector<uint32_t>& items) {
    if (items.size() % 2 != 0) refuse("a key without a value");
    add_items({Kind::dict}, items);
  }
  void call(uint32_t callable, uint32_t arguments) {
    const PickleNode& named = node(callable);
    // The one class that is data with an order, which ours has anyway.
    if (named.kind == Kind::global && named.text == "collections.OrderedDict" &&
        node(arguments).kind == Kind::tuple && node(arguments).items.empty())
      return push(PickleNode{.kind = Kind::dict});
    push_with(Kind::call, {callable, arguments});
  }
  void put(uint64_t slot) {
    if (slot >= limits_.nodes) refuse(fmt::format("memo {}", slot));
    memo_[static_cast<uint32_t>(slot)] = top();
  }
  void get(uint64_t slot) {
    const auto known = memo_.find(static_cast<uint32_t>(slot));
    if (slot >= limits_.nodes || known == memo_.end())
      refuse(fmt::format("memo {}, which was not set", slot));
    push(known->second);
  }
  void push_long(uint64_t count) {
    const std::string digits = text(count);
    if (count > 8) {
      std::string hex;
      for (size_t i = digits.size(); i-- > 0;) hex += fmt::format("{:02x}", static_cast<uint8_t>(digits[i]));
      return push_text(Kind::integer, std::move(hex));
    }
    uint64_t value = 0;
    for (size_t i = 0; i < digits.size(); ++i)
      value |= static_cast<uint64_t>(static_cast<uint8_t>(digits[i])) << (8 * i);
    if (!digits.empty() && digits.size() < 8 && (digits.back() & 0x80))
      value |= ~uint64_t{0} << (8 * digits.size());
    push(PickleNode{.kind = Kind::integer, .integer = static_cast<int64_t>(value)});
  }
  void push_integer(int64_t value) { push(PickleNode{.kind = Kind::integer, .integer = value}); }

  // True when the pickle ends.
  bool step(uint8_t code);
  bool step_value(uint8_t code);      // numbers, texts and constants; false: another opcode
  bool step_container(uint8_t code);  // what makes containers and fills them; alike

  FileBytes& bytes_;
  const std::string& where_;
  const PickleLimits& limits_;
  Pickle pickle_;
  std::vector<uint32_t> stack_;
  std::map<uint32_t, uint32_t> memo_;
  size_t items_ = 0, text_bytes_ = 0;
};

}  // namespace strata
