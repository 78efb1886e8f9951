// SPDX-License-Identifier: Apache-2.0
// strata tokenize FILE... --out PREFIX
#include "core/data/tokenize.h"

#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>

#include "launch/commands/command.h"
#include "launch/metrics/humanize.h"
#include "launch/metrics/progress_bar.h"

namespace strata {
namespace {

struct TokenizeArguments {
  std::vector<std::string> files;
  std::string out;
  std::string tokenizer = "byte";
  std::string document = "file";
  std::string format = "auto";
  std::string chat_template;
  int threads = 0;
  bool overwrite = false;
};

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

int tokenize(const TokenizeArguments& arguments) {
  const auto tokenizer = make_tokenizer(arguments.tokenizer);
  const std::vector<std::filesystem::path> files(arguments.files.begin(), arguments.files.end());
  const bool terminal = isatty(STDERR_FILENO) != 0;
  TokenizeOptions options{.document = parse_document_split(arguments.document),
                          .records = {.format = parse_data_format(arguments.format),
                                      .chat_template = arguments.chat_template,
                                      .tokenizer = arguments.tokenizer},
                          .existing = arguments.overwrite ? Existing::replace : Existing::refuse,
                          .threads = arguments.threads};
  const auto begin = std::chrono::steady_clock::now();
  ProgressBar bar;
  if (terminal)
    options.progress = [&](const TokenizeProgress& p) {
      if (const auto line = bar.line(p.bytes, p.total_bytes, seconds_since(begin)))
        fmt::print(stderr, "\r{}  {}\033[K", *line, p.file.filename().string());
    };
  const TokenizeProgress done = tokenize_files(files, arguments.out, *tokenizer, options);
  if (terminal) fmt::print(stderr, "\r\033[K");
  const double seconds = seconds_since(begin);
  fmt::print("{} tokens in {} documents from {} of text in {:.1f} s ({}/s): {}.bin, {}.idx\n", done.tokens,
             done.documents, human_bytes(done.bytes), seconds,
             human_bytes(static_cast<int64_t>(static_cast<double>(done.bytes) / std::max(seconds, 1e-3))),
             arguments.out, arguments.out);
  if (done.records.records > 0)
    fmt::print("{} of {} tokens are learned{}\n", done.learned, done.tokens,
               done.learned < done.tokens ? fmt::format(": {}.mask", arguments.out) : "");
  if (done.records.unlearned > 0)
    fmt::print("nothing is learned from {} of {} records, the first of them {}\n", done.records.unlearned,
               done.records.records, done.records.first_unlearned);
  return 0;
}

}  // namespace

Run add_tokenize(CLI::App& app) {
  const auto arguments = std::make_shared<TokenizeArguments>();
  app.add_option("FILE", arguments->files, "UTF-8 text files and .jsonl records, in this order")->required();
  app.add_option("--out", arguments->out,
                 "writes PREFIX.bin and PREFIX.idx, and PREFIX.mask when a part is learned")
      ->required();
  app.add_option("--tokenizer", arguments->tokenizer,
                 "byte, or the path of a tokenizer.json, of a model's folder, or of a SentencePiece .model")
      ->capture_default_str();
  app.add_option("--threads", arguments->threads,
                 "that encode; 0: one per core. The result is the same for all")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--document", arguments->document,
                 "what ends a document: file, blank_line, or the text between them")
      ->capture_default_str();
  app.add_option("--format", arguments->format,
                 "of all files: auto, plain, text, completion or chat; see data.format")
      ->check(CLI::IsMember({"auto", "plain", "text", "completion", "chat"}))
      ->capture_default_str();
  app.add_option("--template", arguments->chat_template, "of conversations; see data.chat_template");
  app.add_flag("--overwrite", arguments->overwrite, "replace PREFIX.bin and PREFIX.idx if they exist");
  app.footer(
      "Example:\n  strata tokenize a.txt b.txt --out corpus\n"
      "  strata tokenize web.txt --tokenizer models/llama/tokenizer.json --document '<|end|>' --out web");
  return [=] { return tokenize(*arguments); };
}

}  // namespace strata
