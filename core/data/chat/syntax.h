// SPDX-License-Identifier: Apache-2.0
// A parsed chat template.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/data/chat/value.h"

namespace strata::chat {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
};

struct Expression {
  enum class Kind {
    constant,
    name,
    list,
    dict,       // children: key, value, key, value, ...
    attribute,  // child.name
    item,       // child[child]
    slice,      // child[child:child:child], null where nothing is written
    call,       // child(arguments)
    filter,     // child | name(arguments)
    test,       // child is name(arguments)
    not_,       // not child
    and_,
    or_,
    conditional,  // child if child else child (null: nothing)
    binary,       // name is the operator
    unary,
  };
  Kind kind = Kind::constant;
  int line = 0;
  int depth = 1;  // of the tree: chains like a.b.c grow without brackets
  std::string name;
  Value constant;
  std::vector<ExpressionPtr> children;
  CallArguments arguments;
};

struct Statement;
using Body = std::vector<Statement>;

struct Statement {
  enum class Kind { text, print, if_, for_, set, set_block, macro, generation, break_, continue_ };
  struct Branch {
    ExpressionPtr condition;  // null: else
    Body body;
  };
  Kind kind = Kind::text;
  int line = 0;
  std::string text;                     // of text; the name of a macro; the namespace of {% set ns.x %}
  ExpressionPtr value;                  // of print and set; what for_ goes over
  ExpressionPtr condition;              // of for_: which items count
  std::vector<std::string> targets;     // of set and for_; parameters of a macro
  std::vector<ExpressionPtr> defaults;  // of the last parameters of a macro
  std::vector<Branch> branches;         // of if_
  Body body, otherwise;                 // otherwise: of for_ without items
};

Body parse_template(std::string_view source);  // throws TemplateError

}  // namespace strata::chat
