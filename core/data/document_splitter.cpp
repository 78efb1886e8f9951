// SPDX-License-Identifier: Apache-2.0
#include "core/data/document_splitter.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {

DocumentSplit parse_document_split(std::string_view text) {
  if (text == "file") return {DocumentSplit::Kind::file, {}};
  if (text == "blank_line") return {DocumentSplit::Kind::blank_line, {}};
  if (text.empty())
    throw Error(Fault::usage, {.what = "documents cannot be separated by an empty text",
                               .where = "data.document",
                               .found = "\"\"",
                               .expected = "\"file\", \"blank_line\" or the text between documents",
                               .fix = "data.document = \"file\""});
  return {DocumentSplit::Kind::separator, std::string(text)};
}

std::string to_string(const DocumentSplit& split) {
  switch (split.kind) {
    case DocumentSplit::Kind::file:
      return "file";
    case DocumentSplit::Kind::blank_line:
      return "blank_line";
    case DocumentSplit::Kind::separator:
      break;
  }
  return split.separator;
}

DocumentSplitter::DocumentSplitter(DocumentSplit split, Sink sink)
    : split_(std::move(split)), sink_(std::move(sink)) {
  check(split_.kind != DocumentSplit::Kind::separator || !split_.separator.empty(),
        "[document_splitter] no separator");
}

void DocumentSplitter::feed(std::string_view chunk) {
  if (chunk.empty()) return;
  switch (split_.kind) {
    case DocumentSplit::Kind::file:
      return sink_.piece(chunk);
    case DocumentSplit::Kind::blank_line:
      return feed_lines(chunk);
    case DocumentSplit::Kind::separator:
      return feed_separated(chunk);
  }
}

void DocumentSplitter::finish() {
  if (split_.kind == DocumentSplit::Kind::separator && !held_.empty()) sink_.piece(held_);
  held_.clear();
  line_has_text_ = false;
  sink_.end();
}

void DocumentSplitter::feed_lines(std::string_view chunk) {
  while (!chunk.empty()) {
    const size_t newline = chunk.find('\n');
    const std::string_view part = chunk.substr(0, newline == chunk.npos ? chunk.npos : newline + 1);
    chunk.remove_prefix(part.size());
    if (!line_has_text_ && part.find_first_not_of(" \t\r\n") != part.npos) {
      if (!held_.empty()) sink_.piece(held_);
      held_.clear();
      line_has_text_ = true;
    }
    if (line_has_text_)
      sink_.piece(part);
    else
      held_ += part;
    if (newline == std::string_view::npos) return;
    if (!line_has_text_) sink_.end();
    held_.clear();
    line_has_text_ = false;
  }
}

void DocumentSplitter::feed_separated(std::string_view chunk) {
  held_ += chunk;
  std::string_view text = held_;
  const std::string& separator = split_.separator;
  for (size_t at; (at = text.find(separator)) != text.npos; text.remove_prefix(at + separator.size())) {
    if (at > 0) sink_.piece(text.substr(0, at));
    sink_.end();
  }
  // Only a proper prefix of the separator at the very end can still become one.
  const size_t keep = std::min(text.size(), separator.size() - 1);
  if (text.size() > keep) sink_.piece(text.substr(0, text.size() - keep));
  held_.erase(0, held_.size() - keep);
}

}  // namespace strata
