// SPDX-License-Identifier: Apache-2.0
// Reads a Python pickle as data. Nothing is ever called, imported or looked up: what a pickle says about
// classes and functions becomes inert records that can be printed. Opcodes: Python's Lib/pickletools.py,
// those that pickle protocols 2 to 5 and torch.save write; others are refused.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "checkpoint/adapters/file_bytes.h"

namespace strata {

struct PickleNode {
  enum class Kind : uint8_t {
    none,
    boolean,  // integer
    integer,  // beyond 64 bits: text, in hexadecimal
    real,
    text,        // str
    bytes,       // text
    list,        // items
    tuple,       // items
    set,         // items
    dict,        // items: key, value, key, value, ...
    global,      // text: "module.name"
    call,        // items: what would be called, its arguments, then whatever state it would be given
    persistent,  // items: the id
  };
  Kind kind = Kind::none;
  int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<uint32_t> items;  // indices of nodes; a pickle may refer to a node twice, and to one around it
};

struct Pickle {
  std::deque<PickleNode> nodes;
  uint32_t root = 0;

  const PickleNode& operator[](uint32_t index) const { return nodes[index]; }
  // What a dict has under a text; null when `dict` is none, or has none.
  const PickleNode* find(const PickleNode& dict, std::string_view key) const;
};

// Together they keep any pickle below 64 MiB of memory.
struct PickleLimits {
  size_t nodes = 200'000, items = 2'000'000, text_bytes = size_t{12} << 20, stack = 100'000;
};

// The pickle that `bytes` begins with. Throws Error(model); `where` is the file.
Pickle read_pickle(FileBytes& bytes, const std::string& where, const PickleLimits& limits = {});

// Python's way of writing it, roughly, at most about `longest` characters: for people.
std::string to_string(const Pickle& pickle, uint32_t node, size_t longest = 200);

}  // namespace strata
