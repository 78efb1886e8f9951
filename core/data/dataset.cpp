// SPDX-License-Identifier: Apache-2.0
#include "core/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {

TailSplit split_tail(int64_t num_tokens, double valid_fraction) {
  check(num_tokens >= 0 && valid_fraction >= 0 && valid_fraction < 1, "[split_tail] {} of {} tokens",
        valid_fraction, num_tokens);
  const auto valid = static_cast<int64_t>(std::llround(static_cast<double>(num_tokens) * valid_fraction));
  return {.train = {0, num_tokens - valid}, .valid = {num_tokens - valid, num_tokens}};
}

TailSplit split_tail_documents(const Corpus& corpus, double valid_fraction) {
  TailSplit split = split_tail(corpus.num_tokens(), valid_fraction);
  if (split.valid.size() == 0 || split.valid.begin == 0) return split;
  const int64_t border = corpus.next_document(split.valid.begin - 1);
  if (border < corpus.num_tokens()) split.train.end = split.valid.begin = border;
  return split;
}

TailSplit split_tail_pairs(const Corpus& corpus, double valid_fraction) {
  TailSplit split = split_tail(corpus.num_tokens(), valid_fraction);
  if (split.valid.size() == 0) return split;
  int64_t border = 0;
  while (border < split.valid.begin) {
    border = corpus.next_document(border);
    if (border < corpus.num_tokens()) border = corpus.next_document(border);
  }
  split.train.end = split.valid.begin = std::min(border, corpus.num_tokens());
  split.valid.end = corpus.num_tokens();
  return split;
}

namespace {

[[noreturn]] void too_short(const Dataset::Desc& desc, std::string expected, std::string fix) {
  throw Error(Fault::data,
              {.what = fmt::format("the {} is shorter than one sample", desc.name),
               .where = desc.name,
               .found = fmt::format("{} of {} tokens", desc.range.size(), desc.corpus->num_tokens()),
               .expected = std::move(expected),
               .fix = std::move(fix)});
}

}  // namespace

Dataset::Dataset(Desc desc) : desc_(std::move(desc)) {
  const auto& [corpus, range, seq_len, packing, overlong, name] = desc_;
  check(corpus != nullptr && seq_len > 0, "[dataset] a corpus and a sample length are needed, got {}",
        seq_len);
  check(range.begin >= 0 && range.begin <= range.end && range.end <= corpus->num_tokens(),
        "[dataset] tokens [{}, {}) of {}", range.begin, range.end, corpus->num_tokens());
  if (packing == Packing::pairs) {
    packed_ = std::make_shared<const PackedRows>(PackedRows::pairs(*corpus, range, seq_len));
    if (packed_->num_rows() == 0)
      too_short(desc_, fmt::format("a pair of responses of together at most {} tokens", seq_len),
                packed_->overlong() > 0
                    ? "raise data.seq_len: a row holds both"
                    : "add records, or give this part a larger share (data.valid_fraction)");
  } else if (packing == Packing::best_fit) {
    packed_ = std::make_shared<const PackedRows>(*corpus, range, seq_len, overlong);
    if (packed_->num_rows() == 0)
      too_short(desc_,
                overlong == Overlong::drop ? fmt::format("a document of 2 to {} tokens", seq_len + 1)
                                           : "a document of at least 2 tokens",
                packed_->overlong() > 0 ? "raise data.seq_len, or set data.overlong = \"cut\""
                                        : "add text, or give this part a larger share (data.valid_fraction)");
  } else if (range.size() <= seq_len) {
    too_short(desc_, fmt::format("at least {}: data.seq_len = {} and one target", seq_len + 1, seq_len),
              "add text, give this part a larger share (data.valid_fraction), lower data.seq_len, or set "
              "data.packing = \"best_fit\", which fills up short rows");
  }
}

int64_t Dataset::num_places() const { return packed_ ? packed_->places() : num_samples() * desc_.seq_len; }

int64_t Dataset::sample_begin(int64_t sample) const {
  check(!packed_ && sample >= 0 && sample < num_samples(), "[dataset] sample {} of {}", sample,
        num_samples());
  return desc_.range.begin + sample * desc_.seq_len;
}

}  // namespace strata
