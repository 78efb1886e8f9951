// SPDX-License-Identifier: Apache-2.0
// Opcodes: Python's Lib/pickletools.py.
#include "checkpoint/adapters/pickle_machine.h"

#include <bit>

namespace strata {

bool PickleMachine::step_value(uint8_t code) {
  switch (code) {
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
    default:
      return false;
  }
  return true;
}

bool PickleMachine::step_container(uint8_t code) {
  switch (code) {
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
    default:
      return false;
  }
  return true;
}

bool PickleMachine::step(uint8_t code) {
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
    case 'c': {
      const std::string module = line();
      push_text(Kind::global, module + "." + line());
      break;
    }
    case 0x93: {
      const uint32_t name = pop(), module = pop();
      if (node(name).kind != Kind::text || node(module).kind != Kind::text) refuse("a class without a name");
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
      if (!step_value(code) && !step_container(code)) refuse(fmt::format("opcode 0x{:02x}", code));
  }
  return false;
}

}  // namespace strata
