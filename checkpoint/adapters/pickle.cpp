// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/pickle.h"

#include <fmt/format.h>

#include <bit>
#include <map>

#include "core/base/error.h"

namespace strata {
namespace {

using Kind = PickleNode::Kind;

class Machine {
 public:
  Machine(FileBytes& bytes, const std::string& where, const PickleLimits& limits)
      : bytes_(bytes), where_(where), limits_(limits) {}

  Pickle run() {
    while (!step(byte())) {
    }
    pickle_.root = pop();
    return std::move(pickle_);
  }

 private:
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
  bool step(uint8_t code) {
    switch (code) {
      case '.':
        return true;
      case 0x80:
        if (const int protocol = byte(); protocol > 5) refuse(fmt::format("protocol {}", protocol));
        break;
      case 0x95:
        number(8);
        break;  // a frame's length
      case '(':
        push(kMark);
        break;
      case '0':
        pop();
        break;
      case '1':
        pop_to_mark();
        break;
      case '2':
        push(top());
        break;
      case 'N':
        push(PickleNode{});
        break;
      case 0x88:
        push(PickleNode{.kind = Kind::boolean, .integer = 1});
        break;
      case 0x89:
        push(PickleNode{.kind = Kind::boolean});
        break;
      case 'J':
        push_integer(static_cast<int32_t>(number(4)));
        break;
      case 'K':
        push_integer(static_cast<int64_t>(number(1)));
        break;
      case 'M':
        push_integer(static_cast<int64_t>(number(2)));
        break;
      case 0x8a:
        push_long(number(1));
        break;
      case 0x8b:
        push_long(number(4));
        break;
      case 'G': {
        uint64_t bits = 0;
        for (int i = 0; i < 8; ++i) bits = bits << 8 | byte();
        push(PickleNode{.kind = Kind::real, .real = std::bit_cast<double>(bits)});
        break;
      }
      case 'U':
        push_text(Kind::text, text(number(1)));
        break;
      case 'T':
        push_text(Kind::text, text(number(4)));
        break;
      case 0x8c:
        push_text(Kind::text, text(number(1)));
        break;
      case 'X':
        push_text(Kind::text, text(number(4)));
        break;
      case 0x8d:
        push_text(Kind::text, text(number(8)));
        break;
      case 'C':
        push_text(Kind::bytes, text(number(1)));
        break;
      case 'B':
        push_text(Kind::bytes, text(number(4)));
        break;
      case 0x8e:
        push_text(Kind::bytes, text(number(8)));
        break;
      case ']':
        push(PickleNode{.kind = Kind::list});
        break;
      case ')':
        push(PickleNode{.kind = Kind::tuple});
        break;
      case '}':
        push(PickleNode{.kind = Kind::dict});
        break;
      case 0x8f:
        push(PickleNode{.kind = Kind::set});
        break;
      case 'l':
        push_with(Kind::list, pop_to_mark());
        break;
      case 't':
        push_with(Kind::tuple, pop_to_mark());
        break;
      case 0x91:
        push_with(Kind::set, pop_to_mark());
        break;
      case 'd': {
        const auto items = pop_to_mark();
        push(PickleNode{.kind = Kind::dict});
        set_items(items);
        break;
      }
      case 0x85:
      case 0x86:
      case 0x87: {
        std::vector<uint32_t> items(code - 0x84u);
        for (size_t i = items.size(); i-- > 0;) items[i] = pop();
        push_with(Kind::tuple, items);
        break;
      }
      case 'a': {
        const uint32_t item = pop();
        add_items({Kind::list}, {item});
        break;
      }
      case 'e':
        add_items({Kind::list}, pop_to_mark());
        break;
      case 0x90:
        add_items({Kind::set}, pop_to_mark());
        break;
      case 's': {
        const uint32_t value = pop(), key = pop();
        set_items({key, value});
        break;
      }
      case 'u':
        set_items(pop_to_mark());
        break;
      case 'c': {
        const std::string module = line();
        push_text(Kind::global, module + "." + line());
        break;
      }
      case 0x93: {
        const uint32_t name = pop(), module = pop();
        if (node(name).kind != Kind::text || node(module).kind != Kind::text)
          refuse("a class without a name");
        if ((text_bytes_ += node(name).text.size() + node(module).text.size()) > limits_.text_bytes)
          refuse("too much text");
        push_text(Kind::global, node(module).text + "." + node(name).text);
        break;
      }
      case 'R':
      case 0x81: {
        const uint32_t arguments = pop(), callable = pop();
        call(callable, arguments);
        break;
      }
      case 0x92: {
        const uint32_t named = pop(), arguments = pop(), callable = pop();
        push_with(Kind::call, {callable, arguments, named});
        break;
      }
      case 'b': {
        const uint32_t state = pop();
        if (node(top()).kind == Kind::call)
          append(top(), {state});  // of a dict: attributes, which are no items
        break;
      }
      case 'Q':
        push_with(Kind::persistent, {pop()});
        break;
      case 'q':
        put(number(1));
        break;
      case 'r':
        put(number(4));
        break;
      case 0x94:
        put(memo_.size());
        break;
      case 'h':
        get(number(1));
        break;
      case 'j':
        get(number(4));
        break;
      default:
        refuse(fmt::format("opcode 0x{:02x}", code));
    }
    return false;
  }

  FileBytes& bytes_;
  const std::string& where_;
  const PickleLimits& limits_;
  Pickle pickle_;
  std::vector<uint32_t> stack_;
  std::map<uint32_t, uint32_t> memo_;
  size_t items_ = 0, text_bytes_ = 0;
};

}  // namespace

const PickleNode* Pickle::find(const PickleNode& dict, std::string_view key) const {
  if (dict.kind != Kind::dict) return nullptr;
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2)
    if (const PickleNode& name = nodes[dict.items[i]]; name.kind == Kind::text && name.text == key)
      return &nodes[dict.items[i + 1]];
  return nullptr;
}

Pickle read_pickle(FileBytes& bytes, const std::string& where, const PickleLimits& limits) {
  return Machine(bytes, where, limits).run();
}

}  // namespace strata
