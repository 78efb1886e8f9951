// SPDX-License-Identifier: Apache-2.0
#include "core/data/chat/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/data/code_point.h"

namespace strata::chat {
namespace {

using Kind = Token::Kind;

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool begins_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) {
    for (size_t i = 0; i < source.size(); ++i) {  // every line end as \n
      if (source[i] == '\r' && source.substr(i, 2) == "\r\n") continue;
      source_ += source[i] == '\r' ? '\n' : source[i];
    }
    if (source_.ends_with('\n')) source_.pop_back();  // Jinja drops one
  }

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t tag = next_tag();
      std::string text = source_.substr(at_, tag - at_);
      if (tag < source_.size())
        strip_before_tag(text, source_[tag + 1], source_[std::min(tag + 2, source_.size() - 1)]);
      if (!text.empty()) tokens_.push_back({Kind::text, text, line_});
      advance(tag);
      if (at_ < source_.size()) read_tag();
    }
    tokens_.push_back({Kind::end, "", line_});
    return std::move(tokens_);
  }

 private:
  size_t next_tag() const {
    for (size_t i = at_; (i = source_.find('{', i)) != source_.npos; ++i)
      if (i + 1 < source_.size() && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#'))
        return i;
    return source_.size();
  }

  // lstrip_blocks: a block or comment alone on its line so far takes the blanks before it with it.
  void strip_before_tag(std::string& text, char kind, char control) const {
    if (control == '-') {
      while (!text.empty() && is_space(text.back())) text.pop_back();
    } else if (kind != '{' && control != '+') {
      const size_t line = text.rfind('\n') == text.npos ? 0 : text.rfind('\n') + 1;
      if ((line > 0 || line_starts_) &&
          std::all_of(text.begin() + static_cast<ptrdiff_t>(line), text.end(), is_space))
        text.resize(line);
    }
  }

  void read_tag() {
    const char kind = source_[at_ + 1];
    advance(at_ + 2);
    if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) advance(at_ + 1);
    if (kind == '#') {
      const size_t end = source_.find("#}", at_);
      if (end == source_.npos) throw TemplateError{line_, "a comment {# does not end"};
      const char control = source_[end - 1];
      advance(end);
      end_tag(control, true);
      return;
    }
    const char close = kind == '{' ? '}' : '%';
    tokens_.push_back({kind == '{' ? Kind::print_begin : Kind::block_begin, "", line_});
    const int begin = line_;
    int brackets = 0;  // }} inside of a dict ends no tag
    while (true) {
      while (at_ < source_.size() && is_space(source_[at_])) advance(at_ + 1);
      if (at_ >= source_.size()) throw TemplateError{begin, fmt::format("a tag {{{} does not end", kind)};
      const char c = source_[at_];
      const size_t control = c == '-' || c == '+' ? 1 : 0;
      if (brackets == 0 && source_.compare(at_ + control, 2, std::string{close, '}'}) == 0) {
        tokens_.push_back({kind == '{' ? Kind::print_end : Kind::block_end, "", line_});
        advance(at_ + control);
        end_tag(control ? c : ' ', kind == '%');
        return;
      }
      read_token();
      if (tokens_.back().kind != Kind::sign) continue;
      const std::string& sign = tokens_.back().text;
      if (sign == "{" || sign == "(" || sign == "[") ++brackets;
      if (sign == "}" || sign == ")" || sign == "]") --brackets;
    }
  }

  // at_ is at the two closing characters. trim_blocks: the line end behind a block goes.
  void end_tag(char control, bool block) {
    advance(at_ + 2);
    const size_t behind = at_;
    if (control == '-')
      while (at_ < source_.size() && is_space(source_[at_])) advance(at_ + 1);
    else if (block && control != '+' && at_ < source_.size() && source_[at_] == '\n')
      advance(at_ + 1);
    line_starts_ = at_ > behind && source_[at_ - 1] == '\n';
  }

  void read_token() {
    const char c = source_[at_];
    const size_t begin = at_;
    if (begins_name(c)) {
      while (at_ < source_.size() && (begins_name(source_[at_]) || is_digit(source_[at_]))) ++at_;
      tokens_.push_back({Kind::name, source_.substr(begin, at_ - begin), line_});
    } else if (is_digit(c)) {
      bool fraction = false;
      while (at_ < source_.size() &&
             (is_digit(source_[at_]) ||
              (source_[at_] == '.' && !fraction && at_ + 1 < source_.size() && is_digit(source_[at_ + 1])))) {
        fraction = fraction || source_[at_] == '.';
        ++at_;
      }
      tokens_.push_back({fraction ? Kind::number : Kind::integer, source_.substr(begin, at_ - begin), line_});
    } else if (c == '"' || c == '\'') {
      read_string(c);
    } else {
      for (const std::string_view sign :
           {"//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<",
            ">",  "=",  "(",  ")",  "[",  "]",  "{", "}", ",", ".", ":", "|"})
        if (source_.compare(at_, sign.size(), sign) == 0) {
          tokens_.push_back({Kind::sign, std::string(sign), line_});
          at_ += sign.size();
          return;
        }
      throw TemplateError{line_, fmt::format("the character {} is not expected here", c)};
    }
  }

  void read_string(char quote) {
    const int line = line_;
    std::string value;
    advance(at_ + 1);
    while (true) {
      if (at_ >= source_.size()) throw TemplateError{line, "a text in quotes does not end"};
      const char c = source_[at_];
      if (c == quote) break;
      if (c != '\\') {
        value += c;
        advance(at_ + 1);
        continue;
      }
      read_escape(value);
    }
    advance(at_ + 1);
    tokens_.push_back({Kind::string, value, line});
  }

  void read_escape(std::string& value) {
    static constexpr std::string_view kNames = "nrtbfva0\\'\"", kMeanings("\n\r\t\b\f\v\a\0\\'\"", 11);
    const char c = at_ + 1 < source_.size() ? source_[at_ + 1] : ' ';
    if (const size_t place = kNames.find(c); place != kNames.npos) {
      value += kMeanings[place];
      return advance(at_ + 2);
    }
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) {  // stays as it is written
      value += '\\';
      return advance(at_ + 1);
    }
    const std::string hex = source_.substr(at_ + 2, digits);
    if (hex.size() != digits ||
        !std::all_of(hex.begin(), hex.end(), [](unsigned char h) { return std::isxdigit(h); }))
      throw TemplateError{line_, fmt::format("\\{} wants {} hexadecimal digits", c, digits)};
    append_code_point(static_cast<char32_t>(std::stoul(hex, nullptr, 16)), value);
    advance(at_ + 2 + digits);
  }

  void advance(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                         source_.begin() + static_cast<ptrdiff_t>(to), '\n'));
    at_ = to;
  }

  std::string source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starts_ = true;
};

}  // namespace

std::vector<Token> tokenize_template(std::string_view source) { return Lexer(source).run(); }

}  // namespace strata::chat
