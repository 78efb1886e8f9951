// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer_json/normalizer.h"

#include <fmt/format.h>

#include "core/data/code_point.h"
#include "core/data/tokenizer_json/pattern.h"
#include "core/data/tokenizer_json/unicode.h"

namespace strata {
namespace {

class FormNormalizer final : public Normalizer {
 public:
  explicit FormNormalizer(NormalForm form) : form_(form) {}
  std::string apply(std::string_view text) const override { return normal_form(form_, text); }
  bool keeps_line_starts() const override { return true; }

 private:
  NormalForm form_;
};

class Lowercase final : public Normalizer {
 public:
  std::string apply(std::string_view text) const override { return lower_case(text); }
  bool keeps_line_starts() const override { return true; }
};

class StripAccents final : public Normalizer {
 public:
  std::string apply(std::string_view text) const override { return without_marks(text); }
  bool keeps_line_starts() const override { return true; }
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  std::string apply(std::string_view text) const override {
    return text.empty() ? std::string() : prefix_ + std::string(text);
  }
  bool keeps_line_starts() const override { return prefix_.empty(); }

 private:
  std::string prefix_;
};

class Replace final : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  std::string apply(std::string_view text) const override {
    std::string result;
    size_t copied = 0;
    pattern_.find(text, [&](size_t begin, size_t end) {
      result.append(text.substr(copied, begin - copied)).append(content_);
      copied = end;
    });
    return result.append(text.substr(copied));
  }
  bool keeps_line_starts() const override {
    return !pattern_.is_regex() && pattern_.source().find('\n') == std::string::npos;
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class StripSpaces final : public Normalizer {
 public:
  StripSpaces(bool left, bool right) : left_(left), right_(right) {}
  std::string apply(std::string_view text) const override {
    while (left_ && !text.empty() && is_white_space(first_code_point(text).value))
      text.remove_prefix(first_code_point(text).bytes);
    while (right_ && !text.empty() && is_white_space(last_code_point(text).value))
      text.remove_suffix(last_code_point(text).bytes);
    return std::string(text);
  }
  bool keeps_line_starts() const override { return false; }

 private:
  bool left_, right_;
};

class NormalizerSequence final : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  std::string apply(std::string_view text) const override {
    std::string result(text);
    for (const auto& step : steps_) result = step->apply(result);
    return result;
  }
  bool keeps_line_starts() const override {
    for (const auto& step : steps_)
      if (!step->keeps_line_starts()) return false;
    return true;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

std::unique_ptr<Normalizer> normalizer_of(JsonPart& part) {
  const std::string type = part.text("type");
  const std::string place = part.place();
  const auto form = [&](NormalForm form) {
    require_unicode_tables(place);
    return std::make_unique<FormNormalizer>(form);
  };
  if (type == "NFC") return form(NormalForm::nfc);
  if (type == "NFD") return form(NormalForm::nfd);
  if (type == "NFKC") return form(NormalForm::nfkc);
  if (type == "NFKD") return form(NormalForm::nfkd);
  if (type == "Lowercase") return require_unicode_tables(place), std::make_unique<Lowercase>();
  if (type == "StripAccents") return require_unicode_tables(place), std::make_unique<StripAccents>();
  if (type == "Prepend") return std::make_unique<Prepend>(part.text("prepend"));
  if (type == "Replace")
    return std::make_unique<Replace>(Pattern(part.part("pattern")), part.text("content"));
  if (type == "Strip")
    return std::make_unique<StripSpaces>(part.flag("strip_left"), part.flag("strip_right"));
  if (type == "Sequence") {
    std::vector<std::unique_ptr<Normalizer>> steps;
    for (JsonPart& step : part.parts("normalizers")) steps.push_back(make_normalizer(step));
    return std::make_unique<NormalizerSequence>(std::move(steps));
  }
  part.refuse("a normalizer is not known", fmt::format("\"{}\"", type),
              "NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Prepend, Replace, Strip, Sequence");
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(JsonPart part) {
  auto normalizer = normalizer_of(part);
  part.done();
  return normalizer;
}

}  // namespace strata
