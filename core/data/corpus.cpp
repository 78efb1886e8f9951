// SPDX-License-Identifier: Apache-2.0
#include "core/data/corpus.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/check.h"
#include "core/base/hash.h"

namespace strata {

Corpus::Corpus(std::vector<TokenFile> files) : files_(std::move(files)), begins_{0} {
  for (const TokenFile& file : files_) begins_.push_back(begins_.back() + file.num_tokens());
}

int64_t Corpus::num_documents() const {
  int64_t documents = 0;
  for (const TokenFile& file : files_) documents += file.num_documents();
  return documents;
}

size_t Corpus::file_of(int64_t token) const {
  check(token >= 0 && token < num_tokens(), "[corpus] token {} of {}", token, num_tokens());
  return static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end(), token) - begins_.begin()) - 1;
}

void Corpus::read(int64_t begin, std::span<int32_t> out) const {
  while (!out.empty()) {
    const size_t file = file_of(begin);
    const int64_t count = std::min<int64_t>(static_cast<int64_t>(out.size()), begins_[file + 1] - begin);
    files_[file].read(begin - begins_[file], out.first(static_cast<size_t>(count)));
    out = out.subspan(static_cast<size_t>(count));
    begin += count;
  }
}

bool Corpus::has_mask() const {
  return std::any_of(files_.begin(), files_.end(), [](const TokenFile& file) { return file.has_mask(); });
}

void Corpus::hide_unlearned(int64_t begin, std::span<int32_t> ids, int32_t hidden) const {
  while (!ids.empty()) {
    const size_t file = file_of(begin);
    const int64_t count = std::min<int64_t>(static_cast<int64_t>(ids.size()), begins_[file + 1] - begin);
    files_[file].hide_unlearned(begin - begins_[file], ids.first(static_cast<size_t>(count)), hidden);
    ids = ids.subspan(static_cast<size_t>(count));
    begin += count;
  }
}

int64_t Corpus::count_learned(int64_t begin, int64_t end) const {
  int64_t learned = 0;
  while (begin < end) {
    const size_t file = file_of(begin);
    const int64_t until = std::min(end, begins_[file + 1]);
    learned += files_[file].count_learned(begin - begins_[file], until - begins_[file]);
    begin = until;
  }
  return learned;
}

int64_t Corpus::next_document(int64_t token) const {
  const size_t file = file_of(token);
  return begins_[file] + files_[file].next_document(token - begins_[file]);
}

std::string Corpus::where(int64_t token) const {
  const size_t file = file_of(token);
  return fmt::format("{}, token {}", files_[file].bin_path().string(), token - begins_[file]);
}

uint64_t Corpus::fingerprint() const {
  uint64_t hash = hash_name("corpus");
  for (const TokenFile& file : files_) hash = hash_combine(hash, file.fingerprint());
  return hash;
}

}  // namespace strata
