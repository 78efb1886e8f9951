// SPDX-License-Identifier: Apache-2.0
#include "core/data/records/record_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "core/base/error.h"
#include "core/base/hash.h"

namespace strata {
namespace {

constexpr size_t kBatchBytesAThread = 1 << 20;

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r\n") == line.npos; }

std::optional<RecordFormat> demanded(DataFormat format) {
  switch (format) {
    case DataFormat::text:
      return RecordFormat::text;
    case DataFormat::completion:
      return RecordFormat::completion;
    case DataFormat::chat:
      return RecordFormat::chat;
    case DataFormat::preference:
      return RecordFormat::preference;
    case DataFormat::automatic:
    case DataFormat::plain:
      break;
  }
  return std::nullopt;
}

void require_format(RecordFormat found, RecordFormat expected, bool demanded, const std::string& where) {
  if (found == expected) return;
  throw Error(
      Fault::data,
      {.what = "a record has another format than its file",
       .where = where,
       .found = fmt::format("a {} record", name(found)),
       .expected = demanded ? fmt::format("data.format = \"{}\"", name(expected))
                            : fmt::format("a {} record, as the file's first is", name(expected)),
       .fix = demanded ? "data.format = \"auto\"" : "give records of each format a file of their own"});
}

// A response without a token would leave its partner alone.
void require_response(const MarkedTokens& tokens, const std::string& where) {
  if (tokens.ids.size() > 1 && tokens.num_learned() > 0) return;
  throw Error(Fault::data,
              {.what = "a response of a preference is empty",
               .where = where,
               .found = fmt::format("{} tokens, {} of the response", tokens.ids.size(), tokens.num_learned()),
               .expected = "at least one token that the assistant says",
               .fix = "leave the record out"});
}

[[noreturn]] void too_long(const std::string& where) {
  throw Error(Fault::data,
              {.what = "a record is too long",
               .where = where,
               .found = fmt::format("more than {} bytes without a line end", kMostRecordBytes),
               .expected = "one JSON object a line",
               .fix = "end every record with a line end; a list becomes records by: jq -c '.[]'"});
}

}  // namespace

DataFormat parse_data_format(std::string_view name) {
  static constexpr std::string_view kNames[] = {"auto",       "plain", "text",
                                                "completion", "chat",  "preference"};  // in their order
  const auto found = std::find(std::begin(kNames), std::end(kNames), name);
  if (found != std::end(kNames)) return static_cast<DataFormat>(found - std::begin(kNames));
  throw Error(Fault::usage, {.what = "there is no data format of that name",
                             .where = "data.format",
                             .found = fmt::format("\"{}\"", name),
                             .expected = "auto, plain, text, completion, chat or preference",
                             .fix = "data.format = \"auto\""});
}

bool holds_records(const std::filesystem::path& file, DataFormat format) {
  return format == DataFormat::automatic ? file.extension() == ".jsonl" : format != DataFormat::plain;
}

uint64_t RecordScheme::fingerprint() const {
  return hash_combine(hash_name(name(format)), chat ? chat->fingerprint : 0);
}

RecordScheme open_record_scheme(std::string_view line, const std::string& where,
                                const RecordOptions& options) {
  const auto format = demanded(options.format);
  const DataRecord record = parse_data_record(line, where);
  const RecordFormat found = record.format;
  require_format(found, format.value_or(found), true, where);
  RecordScheme scheme{.format = found, .chat = {}};
  if (!record.messages.empty()) scheme.chat = open_chat_format(options.chat_template, options.tokenizer);
  return scheme;
}

std::optional<RecordScheme> record_scheme_of(std::string_view text, const std::filesystem::path& file,
                                             const RecordOptions& options) {
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const auto where = fmt::format("{}:{}", file.string(), number);
    if (line.size() > kMostRecordBytes) too_long(where);
    if (!is_blank(line)) return open_record_scheme(line, where, options);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return std::nullopt;
}

RecordFileEncoder::RecordFileEncoder(const std::filesystem::path& file, const RecordOptions& options,
                                     const Tokenizer& tokenizer, TokenFileWriter& writer, int threads,
                                     RecordCounts& counts)
    : file_(file),
      options_(options),
      tokenizer_(tokenizer),
      writer_(writer),
      counts_(counts),
      pool_(threads) {}

std::string RecordFileEncoder::where(int64_t line) const {
  return fmt::format("{}:{}", file_.string(), line);
}

void RecordFileEncoder::feed(std::string_view chunk) {
  while (!chunk.empty()) {
    const size_t end = chunk.find('\n');
    line_ += chunk.substr(0, end);
    if (line_.size() > kMostRecordBytes) {
      encode_batch();  // an earlier record may be bad: the first is named
      too_long(where(line_number_));
    }
    if (end == chunk.npos) return;
    end_line();
    chunk.remove_prefix(end + 1);
  }
}

void RecordFileEncoder::finish() {
  end_line();
  encode_batch();
}

void RecordFileEncoder::end_line() {
  const int64_t number = line_number_++;
  if (is_blank(line_)) return line_.clear();
  if (!format_) {
    RecordScheme scheme = open_record_scheme(line_, where(number), options_);
    format_ = scheme.format;
    encoder_ = std::make_unique<RecordEncoder>(tokenizer_, std::move(scheme.chat));
  }
  batch_bytes_ += line_.size();
  batch_.push_back({.text = std::move(line_), .number = number, .tokens = {}, .rejected = {}});
  line_.clear();
  if (batch_bytes_ >= kBatchBytesAThread * static_cast<size_t>(pool_.threads())) encode_batch();
}

void RecordFileEncoder::encode_batch() {
  std::vector<std::exception_ptr> failures(batch_.size());  // of the first bad record in order, not in time
  pool_.for_each(static_cast<int64_t>(batch_.size()), [&](int64_t index, int) {
    Line& line = batch_[static_cast<size_t>(index)];
    try {
      const DataRecord record = parse_data_record(line.text, where(line.number));
      require_format(record.format, *format_, demanded(options_.format).has_value(), where(line.number));
      if (record.format == RecordFormat::preference) {
        const auto [chosen, rejected] = responses_of(record);
        line.tokens = encoder_->encode(chosen, where(line.number));
        line.rejected = encoder_->encode(rejected, where(line.number));
        require_response(line.tokens, where(line.number));
        require_response(*line.rejected, where(line.number));
      } else {
        line.tokens = encoder_->encode(record, where(line.number));
      }
    } catch (...) {
      failures[static_cast<size_t>(index)] = std::current_exception();
    }
  });
  for (size_t i = 0; i < batch_.size(); ++i) {
    if (failures[i]) std::rethrow_exception(failures[i]);
    write(batch_[i]);
  }
  batch_.clear();
  batch_bytes_ = 0;
}

void RecordFileEncoder::write(const Line& line) {
  ++counts_.records;
  if (line.tokens.num_learned() == 0 && ++counts_.unlearned == 1)
    counts_.first_unlearned = where(line.number);
  write_document(line.tokens);
  if (line.rejected) write_document(*line.rejected);
}

void RecordFileEncoder::write_document(const MarkedTokens& tokens) {
  const auto& [ids, learned] = tokens;
  for (size_t begin = 0; begin < ids.size();) {  // runs that are learned or not
    const auto change =
        std::find(learned.begin() + static_cast<std::ptrdiff_t>(begin), learned.end(), !learned[begin]);
    const auto end = static_cast<size_t>(change - learned.begin());
    writer_.append(std::span(ids).subspan(begin, end - begin), learned[begin] != 0);
    begin = end;
  }
  writer_.end_document();
}

}  // namespace strata
