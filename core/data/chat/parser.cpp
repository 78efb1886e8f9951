// SPDX-License-Identifier: Apache-2.0
// The grammar of Jinja (jinja.palletsprojects.com/templates), by recursive descent: one function a level of
// precedence.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/data/chat/lexer.h"
#include "core/data/chat/syntax.h"

namespace strata::chat {
namespace {

using Kind = Token::Kind;

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize_template(source)) {}

  // Statements up to a block that begins with one of the words (which stays unread), or to the end.
  Body body(std::initializer_list<std::string_view> until) {
    Body body;
    while (true) {
      const Token& token = peek();
      if (token.kind == Kind::end) {
        if (until.size() > 0) fail(fmt::format("the template ends before {{% {} %}}", *(until.end() - 1)));
        return body;
      }
      if (token.kind == Kind::text) {
        body.push_back({.kind = Statement::Kind::text, .line = token.line, .text = token.text});
        ++at_;
      } else if (token.kind == Kind::print_begin) {
        ++at_;
        Statement print{.kind = Statement::Kind::print, .line = token.line};
        print.value = tuple();
        body.push_back(std::move(print));
        expect(Kind::print_end, "}}");
      } else {
        ++at_;
        if (std::find(until.begin(), until.end(), peek().text) != until.end()) return body;
        body.push_back(block());
      }
    }
  }

 private:
  [[noreturn]] void fail(std::string what) const { throw TemplateError{peek().line, std::move(what)}; }
  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  bool is_sign(std::string_view sign) const { return peek().kind == Kind::sign && peek().text == sign; }
  bool is_name(std::string_view name) const { return peek().kind == Kind::name && peek().text == name; }
  bool take_sign(std::string_view sign) { return is_sign(sign) && ++at_; }
  bool take_name(std::string_view name) { return is_name(name) && ++at_; }
  std::string found() const {
    switch (peek().kind) {
      case Kind::end:
        return "the end of the template";
      case Kind::block_end:
        return "%}";
      case Kind::print_end:
        return "}}";
      default:
        return fmt::format("\"{}\"", peek().text);
    }
  }
  void expect(Kind kind, const char* what) {
    if (peek().kind != kind) fail(fmt::format("{} where {} should be", found(), what));
    ++at_;
  }
  void expect_sign(const char* sign) {
    if (!take_sign(sign)) fail(fmt::format("{} where {} should be", found(), sign));
  }
  std::string name(const char* what) {
    if (peek().kind != Kind::name) fail(fmt::format("{} where {} should be", found(), what));
    return tokens_[at_++].text;
  }
  // Behind the word that ends a body.
  void end_block(const char* word) {
    if (!take_name(word)) fail(fmt::format("{} where {} should be", found(), word));
    expect(Kind::block_end, "%}");
  }

  Statement block() {
    const Nesting nesting(*this);
    Statement s{.line = peek().line};
    const std::string word = name("the name of a block");
    if (word == "if") return if_block(std::move(s));
    if (word == "for") return for_block(std::move(s));
    if (word == "set") return set_block(std::move(s));
    if (word == "macro") return macro(std::move(s));
    if (word == "break" || word == "continue") {
      s.kind = word == "break" ? Statement::Kind::break_ : Statement::Kind::continue_;
      expect(Kind::block_end, "%}");
      return s;
    }
    if (word == "generation") {
      s.kind = Statement::Kind::generation;
      expect(Kind::block_end, "%}");
      s.body = body({"endgeneration"});
      end_block("endgeneration");
      return s;
    }
    --at_;
    fail(fmt::format(
        "the block {{% {} %}} is not known; known are if, for, set, macro, generation, break, continue",
        word));
  }

  Statement if_block(Statement s) {
    s.kind = Statement::Kind::if_;
    while (true) {
      Statement::Branch branch;
      branch.condition = tuple();
      expect(Kind::block_end, "%}");
      branch.body = body({"elif", "else", "endif"});
      s.branches.push_back(std::move(branch));
      if (!take_name("elif")) break;
    }
    if (take_name("else")) {
      expect(Kind::block_end, "%}");
      s.branches.push_back({nullptr, body({"endif"})});
    }
    end_block("endif");
    return s;
  }

  Statement for_block(Statement s) {
    s.kind = Statement::Kind::for_;
    do s.targets.push_back(name("a variable"));
    while (take_sign(","));
    if (!take_name("in")) fail(fmt::format("{} where in should be", found()));
    s.value = or_expression();  // "a if b" would be the loop's filter
    if (take_name("if")) s.condition = expression();
    if (is_name("recursive")) fail("a recursive loop is not known");
    expect(Kind::block_end, "%}");
    s.body = body({"else", "endfor"});
    if (take_name("else")) {
      expect(Kind::block_end, "%}");
      s.otherwise = body({"endfor"});
    }
    end_block("endfor");
    return s;
  }

  Statement set_block(Statement s) {
    s.kind = Statement::Kind::set;
    do s.targets.push_back(name("a variable"));
    while (take_sign(","));
    if (take_sign(".")) {
      s.text = s.targets[0];
      s.targets = {name("a field of the namespace")};
    }
    if (take_sign("=")) {
      s.value = tuple();
      expect(Kind::block_end, "%}");
      return s;
    }
    if (peek().kind != Kind::block_end) fail(fmt::format("{} where = should be", found()));
    ++at_;
    s.kind = Statement::Kind::set_block;
    s.body = body({"endset"});
    end_block("endset");
    return s;
  }

  Statement macro(Statement s) {
    s.kind = Statement::Kind::macro;
    s.text = name("the name of the macro");
    expect_sign("(");
    while (!take_sign(")")) {
      s.targets.push_back(name("a parameter"));
      if (take_sign("="))
        s.defaults.push_back(expression());
      else if (!s.defaults.empty())
        fail("a parameter without a default stands behind one that has one");
      if (!is_sign(")")) expect_sign(",");
    }
    expect(Kind::block_end, "%}");
    s.body = body({"endmacro"});
    end_block("endmacro");
    return s;
  }

  ExpressionPtr make(Expression::Kind kind, std::string name = {}) const {
    auto e = std::make_unique<Expression>();
    e->kind = kind, e->line = peek().line, e->name = std::move(name);
    return e;
  }
  template <typename... Children>
  ExpressionPtr make(Expression::Kind kind, std::string name, Children... children) const {
    auto e = make(kind, std::move(name));
    (e->children.push_back(std::move(children)), ...);
    for (const auto& child : e->children)
      if (child) e->depth = std::max(e->depth, child->depth + 1);
    if (e->depth > 1000) fail("an expression is chained too long");
    return e;
  }
  ExpressionPtr constant(Value value) {
    auto e = make(Expression::Kind::constant);
    e->constant = std::move(value);
    return e;
  }

  ExpressionPtr tuple() {  // "a, b" is a list
    auto first = expression();
    if (!is_sign(",")) return first;
    auto list = make(Expression::Kind::list, "", std::move(first));
    while (take_sign(",")) list->children.push_back(expression());
    return list;
  }

  ExpressionPtr expression() {
    const Nesting nesting(*this);
    auto value = or_expression();
    while (take_name("if")) {
      auto condition = or_expression();
      ExpressionPtr otherwise;
      if (take_name("else")) otherwise = expression();
      value = make(Expression::Kind::conditional, "", std::move(value), std::move(condition),
                   std::move(otherwise));
    }
    return value;
  }

  ExpressionPtr or_expression() {
    auto left = and_expression();
    while (take_name("or")) left = make(Expression::Kind::or_, "", std::move(left), and_expression());
    return left;
  }

  ExpressionPtr and_expression() {
    auto left = not_expression();
    while (take_name("and")) left = make(Expression::Kind::and_, "", std::move(left), not_expression());
    return left;
  }

  ExpressionPtr not_expression() {
    const Nesting nesting(*this);
    if (take_name("not")) return make(Expression::Kind::not_, "", not_expression());
    return comparison();
  }

  ExpressionPtr comparison() {
    auto left = sum();
    bool compared = false;
    while (true) {
      std::string op;
      if (peek().kind == Kind::sign)
        for (const char* sign : {"==", "!=", "<=", ">=", "<", ">"})
          if (is_sign(sign)) op = sign;
      if (is_name("in")) op = "in";
      if (is_name("not") && peek(1).kind == Kind::name && peek(1).text == "in") op = "not in", ++at_;
      if (op.empty()) return left;
      if (compared) fail("a chain of comparisons is not known; write a < b and b < c");
      compared = true;
      ++at_;
      left = make(Expression::Kind::binary, op, std::move(left), sum());
    }
  }

  template <typename Next>
  ExpressionPtr binary(std::initializer_list<const char*> signs, Next next) {
    auto left = next();
    while (true) {
      std::string op;
      for (const char* sign : signs)
        if (is_sign(sign)) op = sign;
      if (op.empty()) return left;
      ++at_;
      left = make(Expression::Kind::binary, op, std::move(left), next());
    }
  }
  ExpressionPtr sum() {
    return binary({"+", "-"}, [&] { return binary({"~"}, [&] { return product(); }); });
  }
  ExpressionPtr product() {
    return binary({"*", "/", "//", "%"}, [&] { return binary({"**"}, [&] { return unary(true); }); });
  }

  ExpressionPtr unary(bool filters) {
    const Nesting nesting(*this);
    if (take_sign("-")) return filtered(make(Expression::Kind::unary, "-", unary(false)), filters);
    if (take_sign("+")) return filtered(make(Expression::Kind::unary, "+", unary(false)), filters);
    return filtered(postfix(primary()), filters);
  }

  ExpressionPtr primary() {
    const Token token = peek();
    if (token.kind == Kind::name) {
      ++at_;
      if (token.text == "true" || token.text == "True") return constant(true);
      if (token.text == "false" || token.text == "False") return constant(false);
      if (token.text == "none" || token.text == "None") return constant(nullptr);
      return make(Expression::Kind::name, token.text);
    }
    if (token.kind == Kind::string) {
      std::string text;
      while (peek().kind == Kind::string) text += tokens_[at_++].text;  // neighbours are one text
      return constant(text);
    }
    if (token.kind == Kind::integer) return ++at_, constant(whole_number(token));
    if (token.kind == Kind::number) return ++at_, constant(std::stod(token.text));
    if (take_sign("(")) {
      if (take_sign(")")) return make(Expression::Kind::list);
      auto inner = tuple();
      expect_sign(")");
      return inner;
    }
    if (take_sign("[")) {
      auto list = make(Expression::Kind::list);
      while (!take_sign("]")) {
        list->children.push_back(expression());
        if (!is_sign("]")) expect_sign(",");
      }
      return list;
    }
    if (take_sign("{")) {
      auto dict = make(Expression::Kind::dict);
      while (!take_sign("}")) {
        dict->children.push_back(expression());
        expect_sign(":");
        dict->children.push_back(expression());
        if (!is_sign("}")) expect_sign(",");
      }
      return dict;
    }
    fail(fmt::format("{} where a value should be", found()));
  }

  Value whole_number(const Token& token) const {
    int64_t value = 0;
    const auto [end, error] =
        std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
    if (error != std::errc())
      throw TemplateError{token.line, fmt::format("the number {} is too large", token.text)};
    return value;
  }

  ExpressionPtr postfix(ExpressionPtr e) {
    while (true) {
      if (take_sign(".")) {
        if (peek().kind == Kind::integer) {
          auto index = constant(whole_number(peek()));
          ++at_;
          e = make(Expression::Kind::item, "", std::move(e), std::move(index));
        } else {
          e = make(Expression::Kind::attribute, name("an attribute"), std::move(e));
        }
      } else if (take_sign("[")) {
        e = subscript(std::move(e));
      } else if (is_sign("(")) {
        e = make(Expression::Kind::call, "", std::move(e));
        e->arguments = arguments();
      } else {
        return e;
      }
    }
  }

  ExpressionPtr subscript(ExpressionPtr e) {
    ExpressionPtr bounds[3];
    int colons = 0;
    while (!is_sign("]")) {
      if (take_sign(":"))
        ++colons;
      else
        bounds[colons] = expression();
      if (colons > 2) fail("a slice has two colons at most");
    }
    expect_sign("]");
    if (colons == 0 && !bounds[0]) fail("nothing stands between [ and ]");
    if (colons == 0) return make(Expression::Kind::item, "", std::move(e), std::move(bounds[0]));
    return make(Expression::Kind::slice, "", std::move(e), std::move(bounds[0]), std::move(bounds[1]),
                std::move(bounds[2]));
  }

  CallArguments arguments() {
    CallArguments arguments;
    expect_sign("(");
    while (!take_sign(")")) {
      if (is_sign("*") || is_sign("**")) fail("* and ** among arguments are not known");
      if (peek().kind == Kind::name && peek(1).kind == Kind::sign && peek(1).text == "=") {
        std::string key = name("a name");
        ++at_;
        arguments.named.emplace_back(std::move(key), expression());
      } else {
        arguments.positional.push_back(expression());
      }
      if (!is_sign(")")) expect_sign(",");
    }
    return arguments;
  }

  ExpressionPtr filtered(ExpressionPtr e, bool filters) {
    while (true) {
      if (filters && take_sign("|")) {
        e = make(Expression::Kind::filter, name("a filter"), std::move(e));
        if (is_sign("(")) e->arguments = arguments();
      } else if (filters && take_name("is")) {
        const bool negated = take_name("not");
        e = make(Expression::Kind::test, name("a test"), std::move(e));
        if (is_sign("("))
          e->arguments = arguments();
        else if (begins_operand())
          e->arguments.positional.push_back(postfix(primary()));  // "is divisibleby 2"
        if (negated) e = make(Expression::Kind::not_, "", std::move(e));
      } else {
        return e;
      }
    }
  }
  bool begins_operand() const {
    if (peek().kind == Kind::string || peek().kind == Kind::integer || peek().kind == Kind::number)
      return true;
    if (is_sign("[") || is_sign("{")) return true;
    if (peek().kind != Kind::name) return false;
    for (const char* word : {"else", "or", "and", "is", "if", "in", "not", "recursive"})
      if (peek().text == word) return false;
    return true;
  }

  // What nests deeper than any template does would end the program's stack.
  struct Nesting {
    explicit Nesting(Parser& parser) : depth(parser.depth_) {
      if (++depth > 300) parser.fail("blocks or brackets are nested too deep");
    }
    ~Nesting() { --depth; }
    int& depth;
  };

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Body parse_template(std::string_view source) { return Parser(source).body({}); }

}  // namespace strata::chat
