// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer_json/split_behavior.h"

#include <fmt/format.h>

namespace strata {
namespace {

// Joins the stretches of the text, which come one after another and cover it, into pieces.
class Joiner {
 public:
  Joiner(SplitBehavior behavior, std::string_view text, bool at_start, const PieceSink& sink)
      : behavior_(behavior), text_(text), at_start_(at_start), sink_(sink) {}

  void stretch(size_t begin, size_t end, bool is_match) {
    switch (behavior_) {
      case SplitBehavior::isolated:
        return emit(begin, end);
      case SplitBehavior::removed:
        if (!is_match) emit(begin, end);
        return;
      case SplitBehavior::contiguous:
        if (open_ && is_match == last_is_match_)
          end_ = end;
        else
          start(begin, end);
        break;
      case SplitBehavior::merged_with_previous:
        if (open_ && is_match && !last_is_match_)
          end_ = end;
        else
          start(begin, end);
        break;
      case SplitBehavior::merged_with_next:
        if (open_ && last_is_match_ && !is_match)
          end_ = end;
        else
          start(begin, end);
        break;
    }
    last_is_match_ = is_match;
  }
  void finish() {
    if (open_) emit(begin_, end_);
  }

 private:
  void start(size_t begin, size_t end) {
    finish();
    open_ = true, begin_ = begin, end_ = end;
  }
  void emit(size_t begin, size_t end) {
    if (begin < end) sink_(text_.substr(begin, end - begin), at_start_ && begin == 0);
  }

  SplitBehavior behavior_;
  std::string_view text_;
  bool at_start_;
  const PieceSink& sink_;
  bool open_ = false, last_is_match_ = false;
  size_t begin_ = 0, end_ = 0;
};

}  // namespace

SplitBehavior parse_split_behavior(const JsonPart& part, std::string_view name) {
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  part.refuse("a split behavior is not known", fmt::format("\"{}\"", name),
              "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

void split_at(const Pattern& pattern, SplitBehavior behavior, bool invert, std::string_view text,
              bool at_start, const PieceSink& sink) {
  Joiner joiner(behavior, text, at_start, sink);
  size_t done = 0;
  pattern.find(text, [&](size_t begin, size_t end) {
    if (done != begin) joiner.stretch(done, begin, invert);
    joiner.stretch(begin, end, !invert);
    done = end;
  });
  if (done != text.size()) joiner.stretch(done, text.size(), invert);
  joiner.finish();
}

}  // namespace strata
