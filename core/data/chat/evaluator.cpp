// SPDX-License-Identifier: Apache-2.0
#include "core/data/chat/evaluator.h"

#include <fmt/format.h>

#include <cmath>
#include <ctime>
#include <optional>
#include <stdexcept>

#include "core/data/chat/filters.h"
#include "core/data/chat/lexer.h"

namespace strata::chat {
namespace {

using Misfit = std::invalid_argument;

struct Raised {  // raise_exception(...)
  std::string message;
};

// Variables of a block. What a loop or a macro sets is gone when it ends; what lies around can be read.
struct Scope {
  Dict variables;
  const Scope* around = nullptr;
  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope; scope = scope->around)
      if (const Value* value = chat::find(scope->variables, name)) return value;
    return nullptr;
  }
};

enum class Flow { on, break_, continue_ };

int64_t floor_mod(int64_t a, int64_t b) { return (a % b + b) % b; }

class Evaluator {
 public:
  Flow run(const Body& body, Scope& scope, Output& out) {
    for (const Statement& statement : body)
      if (const Flow flow = at_line(statement.line, [&] { return run(statement, scope, out); });
          flow != Flow::on)
        return flow;
    return Flow::on;
  }

 private:
  // Faults of values get the line of what is evaluated; the innermost line stays.
  template <typename Do>
  auto at_line(int line, Do do_it) -> decltype(do_it()) {
    try {
      return do_it();
    } catch (const Misfit& misfit) {
      throw TemplateError{line, misfit.what()};
    } catch (const Raised& raised) {
      throw TemplateError{line, raised.message, true};
    }
  }

  Flow run(const Statement& s, Scope& scope, Output& out) {
    using Kind = Statement::Kind;
    switch (s.kind) {
      case Kind::text:
        out.text += s.text;
        break;
      case Kind::print:
        out.text += value_of(*s.value, scope).text();
        break;
      case Kind::if_:
        for (const auto& branch : s.branches)
          if (!branch.condition || value_of(*branch.condition, scope).truth())
            return run(branch.body, scope, out);
        break;
      case Kind::for_:
        loop(s, scope, out);
        break;
      case Kind::set:
        set(s, scope);
        break;
      case Kind::set_block: {
        Output block;
        run(s.body, scope, block);
        assign(scope.variables, s.targets[0], block.text);
        break;
      }
      case Kind::macro:
        assign(scope.variables, s.text, macro(s, scope));
        break;
      case Kind::generation: {
        const size_t begin = out.text.size();
        const Flow flow = run(s.body, scope, out);
        out.generation.push_back({begin, out.text.size()});
        return flow;
      }
      case Kind::break_:
        return Flow::break_;
      case Kind::continue_:
        return Flow::continue_;
    }
    return Flow::on;
  }

  void unpack(const std::vector<std::string>& targets, const Value& value, Dict& into) {
    if (targets.size() == 1) return assign(into, targets[0], value);
    const List items = items_of(value);
    if (items.size() != targets.size())
      throw Misfit(fmt::format("{} values for {} variables", items.size(), targets.size()));
    for (size_t i = 0; i < items.size(); ++i) assign(into, targets[i], items[i]);
  }

  void set(const Statement& s, Scope& scope) {
    const Value value = value_of(*s.value, scope);
    if (s.text.empty()) return unpack(s.targets, value, scope.variables);
    const Value* owner = scope.find(s.text);
    if (!owner || !owner->fields())
      throw Misfit(fmt::format("\"{}\" is no namespace, so its fields cannot be set", s.text));
    assign(owner->fields()->fields, s.targets[0], value);
  }

  void loop(const Statement& s, Scope& scope, Output& out) {
    List items = items_of(value_of(*s.value, scope));
    if (s.condition)
      std::erase_if(items, [&](const Value& item) {
        Scope inner{.around = &scope};
        unpack(s.targets, item, inner.variables);
        return !value_of(*s.condition, inner).truth();
      });
    if (items.empty()) {
      run(s.otherwise, scope, out);
      return;
    }
    const auto count = static_cast<int64_t>(items.size());
    for (int64_t i = 0; i < count; ++i) {
      Scope inner{.around = &scope};
      unpack(s.targets, items[static_cast<size_t>(i)], inner.variables);
      const auto neighbour = [&](int64_t at) {
        return at < 0 || at >= count ? Value(Undefined{"a neighbour in the loop"})
                                     : items[static_cast<size_t>(at)];
      };
      const Function cycle = [i](const Arguments& a) {
        if (a.positional.empty()) throw Misfit("loop.cycle() of nothing");
        return a.positional[static_cast<size_t>(i) % a.positional.size()];
      };
      assign(inner.variables, "loop",
             Dict{{"index", i + 1},
                  {"index0", i},
                  {"first", i == 0},
                  {"last", i + 1 == count},
                  {"length", count},
                  {"revindex", count - i},
                  {"revindex0", count - i - 1},
                  {"previtem", neighbour(i - 1)},
                  {"nextitem", neighbour(i + 1)},
                  {"cycle", cycle}});
      if (run(s.body, inner, out) == Flow::break_) break;
    }
  }

  // Lives as long as the template's outermost scope, which it sees.
  Value macro(const Statement& s, const Scope& scope) {
    return Function([this, &s, &scope](const Arguments& arguments) {
      Scope inner{.around = &scope};
      if (arguments.positional.size() > s.targets.size())
        throw Misfit(fmt::format("the macro {} got too many arguments", s.text));
      for (const auto& [name, unused] : arguments.named)
        if (std::find(s.targets.begin(), s.targets.end(), name) == s.targets.end())
          throw Misfit(fmt::format("the macro {} has no parameter \"{}\"", s.text, name));
      for (size_t i = 0; i < s.targets.size(); ++i) {
        Value value = arguments.get(i, s.targets[i]);
        const size_t without = s.targets.size() - s.defaults.size();
        if (value.is_undefined() && i >= without) value = value_of(*s.defaults[i - without], inner);
        if (value.is_undefined()) value = Undefined{s.targets[i]};
        assign(inner.variables, s.targets[i], value);
      }
      Output out;
      run(s.body, inner, out);
      return Value(out.text);
    });
  }

  Arguments arguments_of(const CallArguments& written, const Scope& scope) {
    Arguments arguments;
    for (const auto& e : written.positional) arguments.positional.push_back(value_of(*e, scope));
    for (const auto& [name, e] : written.named) arguments.named.emplace_back(name, value_of(*e, scope));
    return arguments;
  }

  Value value_of(const Expression& e, const Scope& scope) {
    return at_line(e.line, [&] { return evaluate(e, scope); });
  }

  Value evaluate(const Expression& e, const Scope& scope) {
    using Kind = Expression::Kind;
    const auto child = [&](size_t i) { return e.children[i] ? value_of(*e.children[i], scope) : Value(); };
    switch (e.kind) {
      case Kind::constant:
        return e.constant;
      case Kind::name: {
        const Value* value = scope.find(e.name);
        return value ? *value : Value(Undefined{e.name});
      }
      case Kind::list: {
        List list;
        for (size_t i = 0; i < e.children.size(); ++i) list.push_back(child(i));
        return list;
      }
      case Kind::dict: {
        Dict dict;
        for (size_t i = 0; i + 1 < e.children.size(); i += 2) {
          const Value key = child(i);
          if (!key.string()) throw Misfit(fmt::format("{} as the key of a dict is not known", key.type()));
          assign(dict, *key.string(), child(i + 1));
        }
        return dict;
      }
      case Kind::attribute:
        return attribute_of(child(0), e.name);
      case Kind::item:
        return attribute_of(child(0), child(1));
      case Kind::slice:
        return slice_of(child(0), child(1), child(2), child(3));
      case Kind::call:
        return call(e, scope);
      case Kind::filter:
        return apply_filter(e.name, child(0), arguments_of(e.arguments, scope));
      case Kind::test:
        return apply_test(e.name, child(0), arguments_of(e.arguments, scope));
      case Kind::not_:
        return !child(0).truth();
      case Kind::and_: {
        Value left = child(0);
        return left.truth() ? child(1) : left;
      }
      case Kind::or_: {
        Value left = child(0);
        return left.truth() ? left : child(1);
      }
      case Kind::conditional:
        return child(1).truth() ? child(0) : child(2);
      case Kind::binary:
        return binary(e.name, child(0), child(1));
      case Kind::unary: {
        const Value value = child(0);
        if (!value.is_number()) throw Misfit(fmt::format("{}{} is no number", e.name, value.type()));
        if (e.name == "+") return value;
        return value.is_integer() ? Value(-*value.get_if<int64_t>()) : Value(-value.number());
      }
    }
    return {};
  }

  Value call(const Expression& e, const Scope& scope) {
    const Expression& callee = *e.children[0];
    if (callee.kind == Expression::Kind::attribute) {
      const Value owner = value_of(*callee.children[0], scope);
      const Value field = attribute_of(owner, callee.name);
      if (field.function()) return (*field.function())(arguments_of(e.arguments, scope));
      return call_method(callee.name, owner, arguments_of(e.arguments, scope));
    }
    const Value function = value_of(callee, scope);
    if (function.function()) return (*function.function())(arguments_of(e.arguments, scope));
    throw Misfit(fmt::format("\"{}\" is {} and cannot be called", callee.name, function.type()));
  }

  static Value binary(const std::string& op, const Value& a, const Value& b) {
    if (op == "==") return a == b;
    if (op == "!=") return !(a == b);
    if (op == "<") return is_less(a, b);
    if (op == ">") return is_less(b, a);
    if (op == "<=") return !is_less(b, a);
    if (op == ">=") return !is_less(a, b);
    if (op == "in") return contains(b, a);
    if (op == "not in") return !contains(b, a);
    if (op == "~") return a.text() + b.text();
    if (op == "+" && a.string() && b.string()) return *a.string() + *b.string();
    if (op == "+" && a.list() && b.list()) {
      List both = *a.list();
      both.insert(both.end(), b.list()->begin(), b.list()->end());
      return both;
    }
    if (op == "*" && a.string() && b.is_integer()) {
      std::string text;
      for (int64_t i = 0; i < *b.get_if<int64_t>(); ++i) text += *a.string();
      return text;
    }
    if (!a.is_number() || !b.is_number())
      throw Misfit(fmt::format("{} {} {} is not known", a.type(), op, b.type()));
    return arithmetic(op, a, b);
  }

  static Value arithmetic(const std::string& op, const Value& a, const Value& b) {
    const double x = a.number(), y = b.number();
    if ((op == "/" || op == "//" || op == "%") && y == 0) throw Misfit("a division by zero");
    if (op == "/") return x / y;
    if (op == "**") {
      const double power = std::pow(x, y);
      return a.is_integer() && b.is_integer() && y >= 0 ? Value(static_cast<int64_t>(power)) : Value(power);
    }
    if (a.get_if<double>() || b.get_if<double>()) {
      if (op == "+") return x + y;
      if (op == "-") return x - y;
      if (op == "*") return x * y;
      if (op == "//") return std::floor(x / y);
      return x - y * std::floor(x / y);
    }
    const auto i = static_cast<int64_t>(x), j = static_cast<int64_t>(y);
    if (op == "+") return i + j;
    if (op == "-") return i - j;
    if (op == "*") return i * j;
    if (op == "//") return (i - floor_mod(i, j)) / j;
    return floor_mod(i, j);
  }
};

Value range(const Arguments& a) {
  int64_t bounds[3] = {0, 0, 1};
  for (size_t i = 0; i < std::min<size_t>(3, a.positional.size()); ++i) {
    if (!a.positional[i].is_integer()) throw Misfit(fmt::format("range() of {}", a.positional[i].type()));
    bounds[i] = *a.positional[i].get_if<int64_t>();
  }
  if (a.positional.size() == 1) bounds[1] = std::exchange(bounds[0], 0);
  if (bounds[2] == 0 || std::abs(bounds[1] - bounds[0]) > 100'000) throw Misfit("range() without an end");
  List list;
  for (int64_t i = bounds[0]; bounds[2] > 0 ? i < bounds[1] : i > bounds[1]; i += bounds[2])
    list.emplace_back(i);
  return list;
}

Value formatted_now(const Arguments& a) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[256];
  return std::string(text, std::strftime(text, sizeof text, a.get(0, "format").text().c_str(), &local));
}

Dict globals() {
  return {{"raise_exception",
           Function([](const Arguments& a) -> Value { throw Raised{a.get(0, "message").text()}; })},
          {"range", Function(range)},
          {"strftime_now", Function(formatted_now)},
          {"dict", Function([](const Arguments& a) -> Value { return a.named; })},
          {"namespace", Function([](const Arguments& a) -> Value {
             auto fields = std::make_shared<Namespace>();
             if (!a.positional.empty() && a.positional[0].dict()) fields->fields = *a.positional[0].dict();
             for (const auto& [name, value] : a.named) assign(fields->fields, name, value);
             return fields;
           })}};
}

}  // namespace

Output evaluate(const Body& body, Dict variables) {
  const Scope outermost{.variables = globals()};
  Scope scope{.variables = std::move(variables), .around = &outermost};
  Output out;
  Evaluator().run(body, scope, out);
  return out;
}

}  // namespace strata::chat
