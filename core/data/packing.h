// SPDX-License-Identifier: Apache-2.0
// How documents share the rows of a batch. Two ways cut the text as it lies into rows (Dataset does); the
// third, best fit, fills rows with whole documents and is worked out here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/data/corpus.h"

namespace strata {

struct TokenRange {
  int64_t begin = 0, end = 0;  // [begin, end)
  int64_t size() const { return end - begin; }
  friend bool operator==(const TokenRange&, const TokenRange&) = default;
};

enum class Packing {
  isolated,  // rows follow one another in the text; a document in a row is a segment of its own
  concat,    // the same, and a row is one segment
  best_fit,  // rows of whole documents, each a segment; what is left of a row is padding
  pairs,     // a row for each two documents that follow one another: a chosen response and a rejected one
};

// What best fit does with a document that is longer than a row.
enum class Overlong { cut, drop };

// Best-fit-decreasing bin packing (Ding et al., "Fewer Truncations Improve Language Modeling", ICML 2024,
// section 3): documents, the longest first, each go to the row with the least room that still takes them. A
// document of n tokens takes n - 1 places: its last token is a target only. One of a single token has nothing
// to predict and is in no row; one of more than seq_len + 1 is cut into rows of its own and a rest that is
// packed like a document, or dropped.
//
// The rows depend on the corpus, the range, seq_len and `overlong` alone - not on seed, epoch or ranks - and
// are numbered by the first document they hold, so that a cursor means the same row in every run. Memory: 16
// bytes a piece and 8 a row; time: n log(seq_len) for n documents. Immutable.
class PackedRows {
 public:
  // Rows of pairs: documents 2i and 2i + 1 of `range`, which begins and ends between pairs. Pairs that are
  // longer than a row are left out: they count as overlong. Throws Error(data) for a document without its
  // partner.
  static PackedRows pairs(const Corpus& corpus, TokenRange range, int64_t seq_len);

  // A border of `range` inside a document cuts it there.
  PackedRows(const Corpus& corpus, TokenRange range, int64_t seq_len, Overlong overlong);

  int64_t num_rows() const { return static_cast<int64_t>(row_begin_.size()) - 1; }
  // The inputs of a row, in the order of the text: piece [b, e) reads the tokens [b, e) and predicts those of
  // [b + 1, e + 1). Together at most seq_len.
  std::span<const TokenRange> row(int64_t row) const;

  int64_t places() const { return places_; }        // taken in all rows; the rest is padding
  int64_t documents() const { return documents_; }  // of the range, those of one token left out
  int64_t overlong() const { return overlong_; }    // of them: cut or dropped
  double fill() const;                              // part of all places that is taken; 1 without rows

 private:
  explicit PackedRows(int64_t seq_len) : seq_len_(seq_len) {}
  void find_pieces(const Corpus& corpus, TokenRange range, int64_t seq_len, Overlong overlong);
  // The row of each piece, by the order in which rows were opened.
  std::vector<int64_t> place(int64_t seq_len) const;
  void sort_by_row(const std::vector<int64_t>& opened_row);

  int64_t seq_len_;
  std::vector<TokenRange> pieces_;     // row after row
  std::vector<int64_t> row_begin_{0};  // first piece of each row, and the number of pieces
  int64_t places_ = 0, documents_ = 0, overlong_ = 0;
};

}  // namespace strata
