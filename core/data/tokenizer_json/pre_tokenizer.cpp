// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer_json/pre_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "core/data/tokenizer_json/metaspace.h"
#include "core/data/tokenizer_json/split_behavior.h"

namespace strata {
namespace {

// GPT-2's (encoder.py of openai/gpt-2).
constexpr const char* kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Patterns known to end a match at the start of a line: a lone line feed ends one (alone, after punctuation,
// or by the last alternative), nothing that begins before it takes a letter behind it, and nothing looks
// back.
constexpr std::string_view kEndsAtLineStarts[] = {
    kByteLevelPattern,
    // Llama 3
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    // Qwen 2, 2.5, 3
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    // DeepSeek 3, its last; the line ends are characters, not escapes
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^)"
    "\r\n"
    R"(\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[)"
    "\r\n"
    R"(]*|\s*[)"
    "\r\n"
    R"(]+|\s+(?!\S)|\s+)",
};
// Patterns that match neither a line feed nor a letter of ASCII.
constexpr std::string_view kPassOverLineStarts[] = {"\\p{N}", R"(\p{N}{1,3})", "[一-龥\u3040-ゟ゠-ヿ]+"};

bool is_one_of(std::string_view pattern, std::span<const std::string_view> known) {
  return std::find(known.begin(), known.end(), pattern) != known.end();
}

class Split final : public PreTokenizer {
 public:
  Split(Pattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void split(std::string_view text, bool at_start, const PieceSink& sink) const override {
    split_at(pattern_, behavior_, invert_, text, at_start, sink);
  }
  LineStart line_start() const override {
    if (!pattern_.is_regex() || invert_) return LineStart::unknown;
    if (is_one_of(pattern_.source(), kPassOverLineStarts) &&
        (behavior_ == SplitBehavior::isolated || behavior_ == SplitBehavior::contiguous))
      return LineStart::passed_over;
    const bool ends = is_one_of(pattern_.source(), kEndsAtLineStarts) && behavior_ == SplitBehavior::isolated;
    return ends ? LineStart::ends_a_piece : LineStart::unknown;
  }

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex, const std::string& place) : prefix_(add_prefix_space) {
    if (use_regex) words_.emplace(Regex(kByteLevelPattern, place), kByteLevelPattern);
  }
  void split(std::string_view text, bool at_start, const PieceSink& sink) const override {
    std::string prefixed;
    if (prefix_ && !text.starts_with(' ')) text = prefixed.append(" ").append(text);
    if (words_) return split_at(*words_, SplitBehavior::isolated, false, text, at_start, sink);
    sink(text, at_start);
  }
  bool is_byte_level() const override { return true; }
  LineStart line_start() const override {
    if (prefix_) return LineStart::unknown;
    return words_ ? LineStart::ends_a_piece : LineStart::passed_over;
  }

 private:
  bool prefix_;
  std::optional<Pattern> words_;
};

class MetaspaceSplit final : public PreTokenizer {
 public:
  explicit MetaspaceSplit(Metaspace metaspace) : metaspace_(std::move(metaspace)) {}
  void split(std::string_view text, bool at_start, const PieceSink& sink) const override {
    metaspace_.split(text, at_start, sink);
  }
  LineStart line_start() const override { return LineStart::unknown; }

 private:
  Metaspace metaspace_;
};

class PreTokenizerSequence final : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<PreTokenizer>> steps)
      : steps_(std::move(steps)) {}
  void split(std::string_view text, bool at_start, const PieceSink& sink) const override {
    run(0, text, at_start, sink);
  }
  bool is_byte_level() const override { return !steps_.empty() && steps_.back()->is_byte_level(); }
  LineStart line_start() const override {
    LineStart all = LineStart::passed_over;
    for (const auto& step : steps_) {
      if (step->line_start() == LineStart::unknown) return LineStart::unknown;
      if (step->line_start() == LineStart::ends_a_piece) all = LineStart::ends_a_piece;
    }
    return all;
  }

 private:
  void run(size_t step, std::string_view text, bool at_start, const PieceSink& sink) const {
    if (step == steps_.size()) return sink(text, at_start);
    if (step + 1 == steps_.size()) return steps_[step]->split(text, at_start, sink);
    steps_[step]->split(text, at_start,
                        [&](std::string_view piece, bool start) { run(step + 1, piece, start, sink); });
  }

  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

std::unique_ptr<PreTokenizer> at_matches(const JsonPart& part, const char* pattern, SplitBehavior behavior,
                                         bool invert = false) {
  return std::make_unique<Split>(Pattern(Regex(pattern, part.place()), pattern), behavior, invert);
}

std::unique_ptr<PreTokenizer> sequence(JsonPart& part) {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  for (const JsonPart& step : part.parts("pretokenizers")) {
    if (!steps.empty() && steps.back()->is_byte_level())
      step.refuse("a pre-tokenizer stands behind ByteLevel", step.value().value("type", ""),
                  "ByteLevel as the last of the sequence");
    steps.push_back(make_pre_tokenizer(step));
  }
  return std::make_unique<PreTokenizerSequence>(std::move(steps));
}

std::unique_ptr<PreTokenizer> pre_tokenizer_of(JsonPart& part) {
  const std::string type = part.text("type");
  if (type == "ByteLevel") {
    part.ignore("trim_offsets");
    const bool prefix = part.flag("add_prefix_space", true);
    return std::make_unique<ByteLevel>(prefix, part.flag("use_regex", true), part.place());
  }
  if (type == "Split") {
    Pattern pattern(part.part("pattern"));
    const SplitBehavior behavior = parse_split_behavior(part, part.text("behavior"));
    return std::make_unique<Split>(std::move(pattern), behavior, part.flag("invert", false));
  }
  if (type == "Digits") {
    if (part.flag("individual_digits", false)) return at_matches(part, "\\p{N}", SplitBehavior::isolated);
    return at_matches(part, "\\p{N}", SplitBehavior::contiguous);
  }
  if (type == "Punctuation") {
    const SplitBehavior behavior = parse_split_behavior(part, part.text("behavior", "Isolated"));
    return at_matches(part, "[\\p{P}!-/:-@\\[-`{-~]", behavior);
  }
  if (type == "Whitespace") return at_matches(part, "\\w+|[^\\w\\s]+", SplitBehavior::removed, true);
  if (type == "WhitespaceSplit") return at_matches(part, "\\s", SplitBehavior::removed);
  if (type == "Metaspace") return std::make_unique<MetaspaceSplit>(Metaspace(part));
  if (type == "Sequence") return sequence(part);
  part.refuse("a pre-tokenizer is not known", fmt::format("\"{}\"", type),
              "ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, Metaspace, Sequence");
}

}  // namespace

std::unique_ptr<PreTokenizer> make_pre_tokenizer(JsonPart part) {
  auto pre_tokenizer = pre_tokenizer_of(part);
  part.done();
  return pre_tokenizer;
}

}  // namespace strata
