// SPDX-License-Identifier: Apache-2.0
// What the tests of core/data share: a folder that goes away, whole files as strings, small corpora.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/data/corpus.h"
#include "core/data/sampler.h"
#include "core/data/token_file.h"
#include "core/data/token_file_writer.h"

namespace strata {

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "strata-data-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  std::filesystem::path path_;
};

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::filesystem::path spit(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

using Documents = std::vector<std::vector<int32_t>>;

inline TokenFile write_tokens(const std::filesystem::path& prefix, const Documents& documents,
                              TokenFileWriter::Options options = {}) {
  TokenFileWriter writer(prefix, options);
  for (const auto& document : documents) {
    writer.append(document);
    writer.end_document();
  }
  writer.commit();
  return TokenFile(prefix);
}

// One file of these documents.
inline std::shared_ptr<const Corpus> corpus_of(const ScratchFolder& scratch, const Documents& documents) {
  std::vector<TokenFile> files;
  files.push_back(write_tokens(scratch / "corpus", documents, {.type = TokenType::i32}));
  return std::make_shared<const Corpus>(std::move(files));
}

inline Batch filled(const DataSource& source, int64_t cursor, int64_t rows) {
  Batch batch;
  source.fill(cursor, rows, batch);
  return batch;
}

// One file of one document: the tokens 0, 1, 2, ... so that a token is its own place.
inline std::shared_ptr<const Corpus> counting_corpus(const ScratchFolder& scratch, int32_t tokens) {
  std::vector<int32_t> document(static_cast<size_t>(tokens));
  for (int32_t i = 0; i < tokens; ++i) document[static_cast<size_t>(i)] = i;
  std::vector<TokenFile> files;
  files.push_back(write_tokens(scratch / "counting", {document}, {.type = TokenType::i32}));
  return std::make_shared<const Corpus>(std::move(files));
}

inline std::vector<int32_t> all_tokens(const TokenFile& file) {
  std::vector<int32_t> tokens(static_cast<size_t>(file.num_tokens()));
  file.read(0, tokens);
  return tokens;
}

// The Error that `body` throws; a test failure and an empty one when it throws none.
template <typename Body>
Error error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no Error was thrown";
  return Error(Fault::internal, {});
}

}  // namespace strata
