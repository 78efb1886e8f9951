// SPDX-License-Identifier: Apache-2.0
// Text and jsonl files to token files: once and for all (`strata tokenize`), or into the cache of a run that
// was given text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "core/data/document_splitter.h"
#include "core/data/records/record_file.h"
#include "core/data/token_file.h"
#include "core/data/token_file_writer.h"
#include "core/data/tokenizer.h"

namespace strata {

struct TokenizeProgress {
  std::filesystem::path file;  // being read
  int64_t bytes = 0;           // of text read so far
  int64_t total_bytes = 0;     // of all files; pipes count as 0
  int64_t tokens = 0;          // written so far: these two follow the bytes at the distance of a batch
  int64_t documents = 0;
  int64_t learned = 0;  // of the tokens
  RecordCounts records;
};

struct TokenizeOptions {
  DocumentSplit document;  // of plain text
  RecordOptions records;   // of files that hold records, each a document
  Existing existing = Existing::refuse;
  int64_t chunk_bytes = 1 << 20;  // read at a time; memory does not grow with the files
  int threads = 0;  // that encode, 0: one per core of this process; the files' bytes do not depend on it
  std::function<void(const TokenizeProgress&)> progress;  // called after every chunk, from the calling thread
};

// Writes PREFIX.bin and PREFIX.idx with the documents of all files in order; every document ends with the
// tokenizer's end-of-document id when it has one and begins with its begin-of-document id, empty documents
// are dropped. Memory: a chunk, a few MiB per thread and, where text cannot be cut safely, up to one
// document. Error(data) for a file that is missing or not UTF-8 (file, line, byte), and when there is no text
// at all, and for a record that is bad (records/record.h); then nothing is left behind. PREFIX.mask is
// written as well when some tokens are not learned.
TokenizeProgress tokenize_files(std::span<const std::filesystem::path> files,
                                const std::filesystem::path& prefix, const Tokenizer& tokenizer,
                                const TokenizeOptions& options);

// A run's data: token files (a path ending in .bin or .idx, or a prefix whose .idx exists) are opened, text
// files are tokenized into CACHE/<hash>.bin and .idx first. The hash is over the text, the tokenizer and the
// split, so a cache is never out of date; one that is damaged is made again.
std::vector<TokenFile> open_data(std::span<const std::filesystem::path> paths,
                                 const std::filesystem::path& cache, const Tokenizer& tokenizer,
                                 const TokenizeOptions& options);

}  // namespace strata
