// SPDX-License-Identifier: Apache-2.0
// A jsonl file that arrives in chunks, encoded on several threads and written in order with its loss mask.
// What is written depends neither on the threads nor on the chunks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/worker_pool.h"
#include "core/data/records/data_format.h"
#include "core/data/records/record_encoder.h"
#include "core/data/token_file_writer.h"

namespace strata {

struct RecordOptions {
  DataFormat format = DataFormat::automatic;
  std::string chat_template;  // these two as for open_chat_format
  std::string tokenizer;
};

bool holds_records(const std::filesystem::path& file, DataFormat format);

// What the records of a file have in common.
struct RecordScheme {
  RecordFormat format = RecordFormat::text;
  std::optional<ChatFormat> chat;  // of chats, and preferences among them
  uint64_t fingerprint() const;
};
// `line` is the first record, `where` its "file:line"; Error(data) as parse_data_record, or Error(usage) for
// the template.
RecordScheme open_record_scheme(std::string_view line, const std::string& where,
                                const RecordOptions& options);
// The same of a file's text; nothing when it has no record.
std::optional<RecordScheme> record_scheme_of(std::string_view text, const std::filesystem::path& file,
                                             const RecordOptions& options);

struct RecordCounts {
  int64_t records = 0;
  int64_t unlearned = 0;        // records of which nothing is learned
  std::string first_unlearned;  // "file:line" of the first of them
};

class RecordFileEncoder {
 public:
  // `threads` as WorkerPool counts them. Everything given must outlive it; `counts` is added to.
  RecordFileEncoder(const std::filesystem::path& file, const RecordOptions& options,
                    const Tokenizer& tokenizer, TokenFileWriter& writer, int threads, RecordCounts& counts);

  void feed(std::string_view chunk);  // Error(data) with file and line for the first record that is bad
  void finish();                      // the file ends

 private:
  struct Line {
    std::string text;
    int64_t number = 0;
    MarkedTokens tokens;
    std::optional<MarkedTokens> rejected;  // of a preference: a document behind the other
  };
  std::string where(int64_t line) const;
  void end_line();
  void encode_batch();
  void write(const Line& line);
  void write_document(const MarkedTokens& tokens);

  const std::filesystem::path& file_;
  const RecordOptions& options_;
  const Tokenizer& tokenizer_;
  TokenFileWriter& writer_;
  RecordCounts& counts_;
  WorkerPool pool_;
  std::optional<RecordFormat> format_;  // known with the first record
  std::unique_ptr<RecordEncoder> encoder_;
  std::string line_;  // the open one
  int64_t line_number_ = 1;
  std::vector<Line> batch_;
  size_t batch_bytes_ = 0;
};

}  // namespace strata
