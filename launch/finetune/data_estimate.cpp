// SPDX-License-Identifier: Apache-2.0
#include "launch/finetune/data_estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/data/corpus.h"
#include "core/data/records/chat_format.h"
#include "core/data/tokenize.h"
#include "launch/metrics/humanize.h"
#include "launch/train/temporary_folder.h"

namespace strata {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRead = int64_t{8} << 20;  // bytes of a long file

bool holds_tokens(const fs::path& path) {
  return path.extension() == ".bin" || path.extension() == ".idx" ||
         (!fs::exists(path) && fs::exists(path.string() + ".idx"));
}

// The first bytes of a file up to the end of a line.
std::string beginning_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<size_t>(kRead), 0);
  file.read(text.data(), kRead);
  text.resize(static_cast<size_t>(file.gcount()));
  if (const size_t line = text.rfind('\n'); std::ssize(text) == kRead && line != std::string::npos)
    text.resize(line + 1);
  return text;
}

// The template beside the tokenizer when there is one: then the key stays empty.
std::string chat_template_for(const DataQuestion& question) {
  if (!question.chat_template.empty()) return question.chat_template;
  try {
    open_chat_format("", question.tokenizer);
    return "";
  } catch (const Error&) {
    return "chatml";
  }
}

void count(const Corpus& corpus, DataEstimate& estimate) {
  std::vector<int64_t> lengths;
  for (int64_t begin = 0; begin < corpus.num_tokens();) {
    const int64_t end = corpus.next_document(begin);
    lengths.push_back(end - begin);
    begin = end;
  }
  estimate.documents = std::ssize(lengths);
  estimate.tokens = corpus.num_tokens();
  estimate.learned = corpus.count_learned(0, corpus.num_tokens());
  const auto rank = static_cast<size_t>(0.99 * static_cast<double>(lengths.size() - 1));
  std::nth_element(lengths.begin(), lengths.begin() + static_cast<std::ptrdiff_t>(rank), lengths.end());
  estimate.long_document = lengths[rank];
}

}  // namespace

DataEstimate estimate_data(const DataQuestion& question) {
  const fs::path path = question.path;
  const auto tokenizer = make_tokenizer(question.tokenizer);
  const TemporaryFolder folder("finetune");
  TokenizeOptions options{.records = {.format = question.format,
                                      .chat_template = question.chat_template,
                                      .tokenizer = question.tokenizer}};
  if (holds_tokens(path)) {
    const Corpus corpus(open_data({&path, 1}, folder.path(), *tokenizer, options));
    DataEstimate estimate{.kind = "token file", .records = corpus.has_mask()};
    count(corpus, estimate);
    return estimate;
  }
  DataEstimate estimate{.kind = "text"};
  fs::path part = path;
  std::error_code unknown;
  estimate.bytes = static_cast<int64_t>(fs::file_size(path, unknown));
  if (unknown) estimate.bytes = 0;  // not there: open_data says so
  double scale = 1;
  std::string text;
  if (estimate.bytes > 0) {
    text = beginning_of(path);
    if (std::ssize(text) < estimate.bytes) {
      part = fs::path(folder.path()) / path.filename();
      std::ofstream(part, std::ios::binary) << text;
      scale = static_cast<double>(estimate.bytes) / static_cast<double>(text.size());
      estimate.exact = false;
    }
  }
  if (holds_records(path, options.records.format) && !text.empty()) {
    options.records.chat_template = chat_template_for(question);
    const auto scheme = record_scheme_of(text, path, options.records);
    estimate.records = true;
    estimate.kind = fmt::format("records of {}", scheme ? name(scheme->format) : "nothing");
    if (scheme && scheme->chat) estimate.chat_template = options.records.chat_template;
  }
  try {
    count(Corpus(open_data({&part, 1}, folder.path(), *tokenizer, options)), estimate);
  } catch (const Error& error) {
    Report report = error.report();
    if (report.where.starts_with(part.string())) report.where.replace(0, part.string().size(), path.string());
    throw Error(error.fault(), report);
  }
  for (int64_t* number : {&estimate.documents, &estimate.tokens, &estimate.learned})
    *number = static_cast<int64_t>(scale * static_cast<double>(*number));
  return estimate;
}

std::string to_string(const DataEstimate& e) {
  return fmt::format(
      "{}{}: {}{} tokens in {} {}{}{}", e.kind, e.bytes > 0 ? fmt::format(", {}", human_bytes(e.bytes)) : "",
      e.exact ? "" : "about ", human_count(static_cast<double>(e.tokens)),
      human_count(static_cast<double>(e.documents)), e.records ? "records" : "documents",
      e.learned < e.tokens ? fmt::format(", {:.0f}% learned", 100.0 * static_cast<double>(e.learned) /
                                                                  static_cast<double>(e.tokens))
                           : "",
      e.chat_template.empty() ? "" : ", by the template " + e.chat_template);
}

}  // namespace strata
