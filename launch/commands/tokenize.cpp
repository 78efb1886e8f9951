// SPDX-License-Identifier: Apache-2.0
// strata tokenize FILE... --out PREFIX
#include "core/data/tokenize.h"

#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "launch/commands/command.h"
#include "launch/metrics/humanize.h"

namespace strata {
namespace {

struct Arguments {
  std::vector<std::string> files;
  std::string out;
  std::string tokenizer = "byte";
  std::string document = "file";
  bool overwrite = false;
};

int tokenize(const Arguments& arguments) {
  const auto tokenizer = make_tokenizer(arguments.tokenizer);
  const std::vector<std::filesystem::path> files(arguments.files.begin(), arguments.files.end());
  const bool terminal = isatty(STDERR_FILENO) != 0;
  TokenizeOptions options{.document = parse_document_split(arguments.document),
                          .existing = arguments.overwrite ? Existing::replace : Existing::refuse};
  if (terminal)
    options.progress = [](const TokenizeProgress& p) {
      if (p.total_bytes > 0)
        fmt::print(stderr, "\r{:3d}%  {}\033[K", 100 * p.bytes / p.total_bytes, p.file.string());
    };
  const TokenizeProgress done = tokenize_files(files, arguments.out, *tokenizer, options);
  if (terminal) fmt::print(stderr, "\r\033[K");
  fmt::print("{} tokens in {} documents from {} of text: {}.bin, {}.idx\n", done.tokens, done.documents,
             human_bytes(done.bytes), arguments.out, arguments.out);
  return 0;
}

}  // namespace

Run add_tokenize(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("FILE", arguments->files, "UTF-8 text files, in this order")->required();
  app.add_option("--out", arguments->out, "writes PREFIX.bin and PREFIX.idx")->required();
  app.add_option("--tokenizer", arguments->tokenizer)->capture_default_str();
  app.add_option("--document", arguments->document,
                 "what ends a document: file, blank_line, or the text between them")
      ->capture_default_str();
  app.add_flag("--overwrite", arguments->overwrite, "replace PREFIX.bin and PREFIX.idx if they exist");
  app.footer("Example:\n  strata tokenize a.txt b.txt --out corpus");
  return [=] { return tokenize(*arguments); };
}

}  // namespace strata
