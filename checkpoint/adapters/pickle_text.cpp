// SPDX-License-Identifier: Apache-2.0
// A pickle as text, for people.
#include <fmt/format.h>

#include "checkpoint/adapters/pickle.h"

namespace strata {
namespace {

using Kind = PickleNode::Kind;

// Depth is bounded, so a pickle that holds itself ends.
void print(const Pickle& pickle, uint32_t index, size_t longest, int depth, std::string& out) {
  const PickleNode& node = pickle[index];
  const auto list = [&](const char* open, const char* close) {
    out += open;
    for (size_t i = 0; i < node.items.size() && out.size() < longest; ++i) {
      if (i > 0) out += node.kind == Kind::dict && i % 2 == 1 ? ": " : ", ";
      print(pickle, node.items[i], longest, depth + 1, out);
    }
    out += close;
  };
  if (depth > 20 || out.size() >= longest) {
    if (!out.ends_with("...")) out += "...";
    return;
  }
  switch (node.kind) {
    case Kind::none:
      out += "None";
      break;
    case Kind::boolean:
      out += node.integer ? "True" : "False";
      break;
    case Kind::integer:
      out += node.text.empty() ? fmt::format("{}", node.integer) : "0x" + node.text.substr(0, 40);
      break;
    case Kind::real:
      out += fmt::format("{}", node.real);
      break;
    case Kind::text:
    case Kind::bytes:
      out += '\'';
      for (const char c : node.text.substr(0, 80)) out += c >= ' ' && c < 127 ? c : '?';
      out += '\'';
      break;
    case Kind::list:
      list("[", "]");
      break;
    case Kind::tuple:
      list("(", ")");
      break;
    case Kind::set:
      list("{", "}");
      break;
    case Kind::dict:
      list("{", "}");
      break;
    case Kind::global:
      for (const char c : node.text.substr(0, 120)) out += c >= ' ' && c < 127 ? c : '?';
      break;
    case Kind::call:
      list("<", ">");
      break;
    case Kind::persistent:
      list("<id ", ">");
      break;
  }
}

}  // namespace

std::string to_string(const Pickle& pickle, uint32_t node, size_t longest) {
  std::string out;
  print(pickle, node, longest, 0, out);
  return out;
}

}  // namespace strata
