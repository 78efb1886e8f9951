// SPDX-License-Identifier: Apache-2.0
// Writes a Python pickle, protocol 2, opcode by opcode: what torch.load and torch.distributed.checkpoint
// expect to find. Opcodes: Python's Lib/pickletools.py. Values go onto a stack, containers take them off it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace strata {

class PickleWriter {
 public:
  PickleWriter();

  PickleWriter& none() { return op('N'); }
  PickleWriter& boolean(bool value) { return op(value ? '\x88' : '\x89'); }
  PickleWriter& integer(int64_t value);
  PickleWriter& real(double value);
  // Texts and globals that come again refer to the first.
  PickleWriter& text(std::string_view value);
  PickleWriter& global(std::string_view module, std::string_view name);

  PickleWriter& mark() { return op('('); }
  PickleWriter& empty_tuple() { return op(')'); }
  PickleWriter& empty_list() { return op(']'); }
  PickleWriter& empty_dict() { return op('}'); }
  PickleWriter& tuple() { return op('t'); }  // of what follows the mark
  PickleWriter& tuple1() { return op('\x85'); }
  PickleWriter& tuple2() { return op('\x86'); }
  PickleWriter& append() { return op('e'); }  // what follows the mark, to the list below it
  PickleWriter& items() { return op('u'); }   // keys and values that follow the mark, to the dict below it

  PickleWriter& call() { return op('R'); }           // function, tuple of arguments
  PickleWriter& make() { return op('\x81'); }        // class, tuple of arguments: __new__
  PickleWriter& build() { return op('b'); }          // object, its state
  PickleWriter& persistent_id() { return op('Q'); }  // the id

  // Puts what was once remembered under `key` onto the stack; false when nothing was.
  bool recall(const std::string& key);
  // Remembers the top of the stack.
  PickleWriter& remember(const std::string& key);

  std::string finish();  // once, last: the root is on the stack

 private:
  PickleWriter& op(char code) {
    bytes_ += code;
    return *this;
  }
  void number(uint64_t value, int bytes);

  std::string bytes_;
  std::map<std::string, uint32_t, std::less<>> memo_;
};

}  // namespace strata
