// SPDX-License-Identifier: Apache-2.0
// strata data show FILE: what a model reads and what it learns of it.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>

#include "core/base/error.h"
#include "core/data/corpus.h"
#include "core/data/packing.h"
#include "core/data/tokenize.h"
#include "core/data/utf8.h"
#include "launch/commands/command.h"
#include "launch/train/temporary_folder.h"

namespace strata {
namespace {

struct DataArguments {
  std::string data;
  std::string tokenizer = "byte";
  std::string document = "file";
  std::string format = "auto";
  std::string chat_template;
  int64_t records = 3;
  int64_t tokens = 1000;
  int64_t seq_len = 0;  // 0: rows are not spoken of
};

// Around what is learned.
struct Marks {
  std::string_view begin, end;
};
constexpr Marks kColours{"\033[1;32m", "\033[0m"}, kPlain{"⟦", "⟧"};

// Data must not steer the terminal.
std::string harmless(std::string_view text) {
  std::string shown;
  for (const char c : repaired_utf8(text)) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F)
      shown += fmt::format("\\x{:02x}", byte);
    else
      shown += c;
  }
  return shown;
}

// Each run of tokens that are learned, or not, as text between marks; a token without a spelling as <|id|>.
void print_tokens(const Tokenizer& tokenizer, std::span<const int32_t> ids, std::span<const int32_t> learned,
                  const Marks& marks) {
  std::string all, run;
  const auto close_run = [&](size_t end) {
    const bool is_learned = end > 0 && learned[end - 1] >= 0;
    fmt::print("{}{}{}", is_learned ? marks.begin : "", harmless(run), is_learned ? marks.end : "");
    run.clear();
  };
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0 && (learned[i] < 0) != (learned[i - 1] < 0)) close_run(i);
    // What the token adds to the text so far: on its own it may lose its space.
    std::string longer;
    tokenizer.decode_with_special(ids.first(i + 1), longer);
    run += longer.size() > all.size() ? longer.substr(all.size()) : fmt::format("<|{}|>", ids[i]);
    all = std::move(longer);
  }
  close_run(ids.size());
  fmt::print("\n");
}

// What becomes of the documents in rows of `seq_len`, by each way of packing that keeps them apart.
void print_packing(const Corpus& corpus, int64_t seq_len) {
  const TokenRange all{0, corpus.num_tokens()};
  const PackedRows best(corpus, all, seq_len, Overlong::cut);
  fmt::print("rows of {} tokens:\n", seq_len);
  int64_t whole = 0, documents = 0, targets = 0;
  const int64_t rows = (corpus.num_tokens() - 1) / seq_len;
  for (int64_t begin = 0; begin < corpus.num_tokens(); ++documents) {
    const int64_t end = corpus.next_document(begin), last = std::min(end - 1, rows * seq_len);
    targets += std::max<int64_t>(0, last - begin);
    whole += last == end - 1 && (last <= begin || begin / seq_len == (last - 1) / seq_len);
    begin = end;
  }
  const auto percent = [](int64_t part, int64_t of) {
    return 100.0 * static_cast<double>(part) / static_cast<double>(std::max<int64_t>(1, of));
  };
  fmt::print("  isolated  {} rows, {:.1f}% of their places have a target, {} of {} records are whole\n", rows,
             percent(targets, rows * seq_len), whole, documents);
  fmt::print("  best_fit  {} rows, {:.1f}% of their places have a target, {} of {} records are whole\n",
             best.num_rows(), 100 * best.fill(), documents - best.overlong(), documents);
}

int show(const DataArguments& arguments) {
  const auto tokenizer = make_tokenizer(arguments.tokenizer);
  const TemporaryFolder cache("data");
  const TokenizeOptions options{.document = parse_document_split(arguments.document),
                                .records = {.format = parse_data_format(arguments.format),
                                            .chat_template = arguments.chat_template,
                                            .tokenizer = arguments.tokenizer}};
  const std::filesystem::path path = arguments.data;
  const Corpus corpus(open_data({&path, 1}, cache.path(), *tokenizer, options));
  const Marks& marks = isatty(STDOUT_FILENO) != 0 ? kColours : kPlain;
  int64_t record = 0, unlearned = 0;
  for (int64_t begin = 0; begin < corpus.num_tokens(); ++record) {
    const int64_t end = corpus.next_document(begin), learned = corpus.count_learned(begin, end);
    unlearned += learned == 0;
    if (record < arguments.records) {
      const int64_t shown = std::min(end - begin, arguments.tokens);
      std::vector<int32_t> ids(static_cast<size_t>(shown));
      corpus.read(begin, ids);
      for (const int32_t id : ids)
        if (id < 0 || id >= tokenizer->vocab_size())
          throw Error(Fault::data, {.what = "the data holds a token that the tokenizer does not have",
                                    .where = corpus.where(begin),
                                    .found = fmt::format("token {}", id),
                                    .expected = fmt::format("0 to {}", tokenizer->vocab_size() - 1),
                                    .fix = "name the tokenizer the data was made with: --tokenizer PATH"});
      std::vector<int32_t> learned_ids = ids;
      corpus.hide_unlearned(begin, learned_ids, -1);
      fmt::print("--- record {}: {} of {} tokens learned\n", record + 1, learned, end - begin);
      print_tokens(*tokenizer, ids, learned_ids, marks);
      if (shown < end - begin) fmt::print("... {} more tokens\n", end - begin - shown);
    }
    begin = end;
  }
  const int64_t learned = corpus.count_learned(0, corpus.num_tokens());
  fmt::print(
      "--- {} records, {} tokens, {} learned ({:.1f}%)\n", record, corpus.num_tokens(), learned,
      100.0 * static_cast<double>(learned) / static_cast<double>(std::max<int64_t>(1, corpus.num_tokens())));
  if (unlearned > 0) fmt::print("nothing is learned from {} records\n", unlearned);
  if (arguments.seq_len > 0) print_packing(corpus, arguments.seq_len);
  return 0;
}

}  // namespace

Run add_data(CLI::App& app) {
  app.require_subcommand(1);
  CLI::App* command =
      app.add_subcommand("show", "print records, what is learned of them in colour or between ⟦ and ⟧");
  const auto arguments = std::make_shared<DataArguments>();
  command->add_option("FILE", arguments->data, "text, .jsonl records, or a token file")->required();
  command->add_option("-n,--records", arguments->records, "how many to print")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--tokens", arguments->tokens, "to print of each at most")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--tokenizer", arguments->tokenizer, "as data.tokenizer")->capture_default_str();
  command->add_option("--template", arguments->chat_template, "as data.chat_template");
  command->add_option("--format", arguments->format, "as data.format")
      ->check(CLI::IsMember({"auto", "plain", "text", "completion", "chat"}))
      ->capture_default_str();
  command->add_option("--document", arguments->document, "as data.document")->capture_default_str();
  command->add_option("--seq-len", arguments->seq_len, "also say how the records fill rows of this length")
      ->check(CLI::PositiveNumber);
  command->footer(
      "Examples:\n  strata data show chat.jsonl --tokenizer models/smollm2 -n 1\n"
      "  strata data show chat.jsonl --template chatml -n 0 --seq-len 1024    how they pack");
  return [=] { return show(*arguments); };
}

}  // namespace strata
