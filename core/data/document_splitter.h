// SPDX-License-Identifier: Apache-2.0
// Where one document of a text file ends and the next begins, for text that arrives in chunks.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace strata {

struct DocumentSplit {
  enum class Kind { file, blank_line, separator };
  Kind kind = Kind::file;
  std::string separator;  // not empty for Kind::separator

  friend bool operator==(const DocumentSplit&, const DocumentSplit&) = default;
};

// As written in a configuration: "file" (a file is a document), "blank_line" (documents stand between lines
// that hold nothing but spaces, tabs or carriage returns), anything else is the text between documents.
// Error(usage) when empty.
DocumentSplit parse_document_split(std::string_view text);
std::string to_string(const DocumentSplit& split);

// Cuts the text of one file. Separators and blank lines belong to no document; documents may be empty. Holds
// back at most a separator, or the white space a line begins with.
class DocumentSplitter {
 public:
  // `piece` gets the next part of the open document, then `end` closes it.
  struct Sink {
    std::function<void(std::string_view)> piece;
    std::function<void()> end;
  };
  DocumentSplitter(DocumentSplit split, Sink sink);

  void feed(std::string_view chunk);
  void finish();  // the file ends, and with it the open document

 private:
  void feed_lines(std::string_view chunk);
  void feed_separated(std::string_view chunk);

  DocumentSplit split_;
  Sink sink_;
  std::string held_;            // text of which the next chunk decides whether it separates documents
  bool line_has_text_ = false;  // blank_line: the open line is known not to be blank
};

}  // namespace strata
