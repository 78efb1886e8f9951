// SPDX-License-Identifier: Apache-2.0
#include "core/data/packing.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {

PackedRows::PackedRows(const Corpus& corpus, TokenRange range, int64_t seq_len, Overlong overlong)
    : seq_len_(seq_len) {
  check(seq_len > 0 && range.begin >= 0 && range.begin <= range.end && range.end <= corpus.num_tokens(),
        "[packing] tokens [{}, {}) of {} in rows of {}", range.begin, range.end, corpus.num_tokens(),
        seq_len);
  find_pieces(corpus, range, seq_len, overlong);
  sort_by_row(place(seq_len));
}

PackedRows PackedRows::pairs(const Corpus& corpus, TokenRange range, int64_t seq_len) {
  PackedRows rows(seq_len);
  for (int64_t begin = range.begin; begin < range.end;) {
    const int64_t second = corpus.next_document(begin),
                  end = corpus.next_document(std::min(second, corpus.num_tokens() - 1));
    if (second >= range.end || end > range.end)
      throw Error(Fault::data, {.what = "a response has no partner to be compared with",
                                .where = corpus.where(begin),
                                .found = "an odd number of documents",
                                .expected = "records of preference: two responses each",
                                .fix = "tokenize records with \"chosen\" and \"rejected\" again"});
    const TokenRange chosen{begin, second - 1}, rejected{second, end - 1};
    begin = end;
    rows.documents_ += 2;
    if (chosen.size() < 1 || rejected.size() < 1 || chosen.size() + rejected.size() > seq_len) {
      rows.overlong_ += 2;
      continue;
    }
    rows.pieces_.push_back(chosen);
    rows.pieces_.push_back(rejected);
    rows.places_ += chosen.size() + rejected.size();
    rows.row_begin_.push_back(static_cast<int64_t>(rows.pieces_.size()));
  }
  return rows;
}

std::span<const TokenRange> PackedRows::row(int64_t row) const {
  check(row >= 0 && row < num_rows(), "[packing] row {} of {}", row, num_rows());
  const auto begin = row_begin_[static_cast<size_t>(row)], end = row_begin_[static_cast<size_t>(row) + 1];
  return std::span(pieces_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
}

double PackedRows::fill() const {
  const int64_t all = num_rows() * seq_len_;
  return all == 0 ? 1.0 : static_cast<double>(places_) / static_cast<double>(all);
}

void PackedRows::find_pieces(const Corpus& corpus, TokenRange range, int64_t seq_len, Overlong overlong) {
  for (int64_t begin = range.begin; begin < range.end;) {
    const int64_t next = std::min(corpus.next_document(begin), range.end), last = next - 1;
    const bool too_long = last - begin > seq_len;
    documents_ += last > begin;
    overlong_ += too_long;
    if (!too_long || overlong == Overlong::cut)
      for (int64_t at = begin; at < last; at += seq_len) {
        pieces_.push_back({at, std::min(at + seq_len, last)});
        places_ += pieces_.back().size();
      }
    begin = next;
  }
}

std::vector<int64_t> PackedRows::place(int64_t seq_len) const {
  // The longest first, the order of the text among equals: a counting sort.
  std::vector<int64_t> end_of_length(static_cast<size_t>(seq_len) + 1);  // index: seq_len - length
  for (const TokenRange& piece : pieces_) ++end_of_length[static_cast<size_t>(seq_len - piece.size())];
  int64_t sum = 0;
  for (int64_t& count : end_of_length) sum += std::exchange(count, sum);
  std::vector<int64_t> order(pieces_.size());
  for (size_t i = 0; i < pieces_.size(); ++i)
    order[static_cast<size_t>(end_of_length[static_cast<size_t>(seq_len - pieces_[i].size())]++)] =
        static_cast<int64_t>(i);

  std::vector<int64_t> row_of(pieces_.size());
  std::map<int64_t, std::vector<int64_t>> with_room;  // rows by the places they have left
  int64_t rows = 0;
  for (const int64_t i : order) {
    const int64_t length = pieces_[static_cast<size_t>(i)].size();
    int64_t row = rows, room = seq_len;
    if (const auto tightest = with_room.lower_bound(length); tightest != with_room.end()) {
      room = tightest->first;
      row = tightest->second.back();
      tightest->second.pop_back();
      if (tightest->second.empty()) with_room.erase(tightest);
    } else {
      ++rows;
    }
    row_of[static_cast<size_t>(i)] = row;
    if (room > length) with_room[room - length].push_back(row);
  }
  return row_of;
}

void PackedRows::sort_by_row(const std::vector<int64_t>& opened_row) {
  // Rows get new numbers in the order of their first pieces.
  std::vector<int64_t> number(opened_row.size(), -1);  // by the old number; there are at most as many
  std::vector<int64_t> row_of(opened_row.size());
  int64_t rows = 0;
  for (size_t i = 0; i < opened_row.size(); ++i) {
    int64_t& row = number[static_cast<size_t>(opened_row[i])];
    if (row < 0) row = rows++;
    row_of[i] = row;
  }
  row_begin_.assign(static_cast<size_t>(rows) + 1, 0);
  for (const int64_t row : row_of) ++row_begin_[static_cast<size_t>(row) + 1];
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) row_begin_[row + 1] += row_begin_[row];
  std::vector<int64_t> next(row_begin_.begin(), row_begin_.end() - 1);
  std::vector<TokenRange> sorted(pieces_.size());
  for (size_t i = 0; i < pieces_.size(); ++i)
    sorted[static_cast<size_t>(next[static_cast<size_t>(row_of[i])]++)] = pieces_[i];
  pieces_ = std::move(sorted);
}

}  // namespace strata
