// SPDX-License-Identifier: Apache-2.0
// Text to token files: every split in every chunking against whole-text references, refusals, the cache of a
// run.
#include "core/data/tokenize.h"

#include <sys/stat.h>

#include <thread>

#include "core/base/check.h"
#include "tests/core/data/scratch.h"

namespace strata {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;

std::vector<std::string> split_in_chunks(const DocumentSplit& split, const std::string& text, size_t chunk) {
  std::vector<std::string> documents;
  std::string open;
  DocumentSplitter splitter(split, {[&](std::string_view piece) { open += piece; },
                                    [&] { documents.push_back(open), open.clear(); }});
  for (size_t at = 0; at < text.size(); at += chunk) splitter.feed(std::string_view(text).substr(at, chunk));
  splitter.finish();
  return documents;
}

TEST(DocumentSplitter, CutsTheSameInEveryChunking) {
  const struct {
    const char* split;
    std::string text;
    std::vector<std::string> documents;
  } rows[] = {
      {"file", "a\n\nb", {"a\n\nb"}},
      {"file", "", {""}},
      {"blank_line", "a\nb\n\nc\n", {"a\nb\n", "c\n"}},
      {"blank_line", "\n\na\n\n\n \t\r\nb", {"", "", "a\n", "", "", "b"}},
      {"blank_line", "a\r\n\r\nb\r\n", {"a\r\n", "b\r\n"}},
      {"blank_line", "  indented\n\n  too", {"  indented\n", "  too"}},
      {"blank_line", "a\n   ", {"a\n"}},
      {"<|end|>", "a<|end|>b\n<|end|>", {"a", "b\n", ""}},
      {"<|end|>", "a<|end|<|end|>b<|en", {"a<|end|", "b<|en"}},
      {"aab", "aaab", {"a", ""}},
      {"aa", "aaaaa", {"", "", "a"}},
      {"-", "a--b", {"a", "", "b"}},
  };
  for (const auto& row : rows)
    for (size_t chunk = 1; chunk <= row.text.size() + 1; ++chunk)
      EXPECT_EQ(split_in_chunks(parse_document_split(row.split), row.text, chunk), row.documents)
          << row.split << " in chunks of " << chunk << ": " << row.text;
}

TEST(DocumentSplit, IsWrittenAsItIsRead) {
  for (const char* text : {"file", "blank_line", "<|endoftext|>"})
    EXPECT_EQ(to_string(parse_document_split(text)), text);
  const Error error = error_of([] { parse_document_split(""); });
  EXPECT_EQ(error.fault(), Fault::usage);
  EXPECT_THAT(error.what(), HasSubstr("blank_line"));
}

class Tokenize : public testing::Test {
 protected:
  // Documents of a file, decoded, with '$' for the end-of-document id.
  std::vector<std::string> documents(const TokenFile& file) const {
    std::vector<std::string> out;
    const auto tokens = all_tokens(file);
    for (int64_t d = 0; d < file.num_documents(); ++d) {
      std::string text;
      for (int64_t t = file.document_begin(d); t < file.document_begin(d + 1); ++t)
        text +=
            tokens[static_cast<size_t>(t)] == 256 ? '$' : static_cast<char>(tokens[static_cast<size_t>(t)]);
      out.push_back(text);
    }
    return out;
  }
  TokenizeProgress run(std::vector<std::filesystem::path> files, const std::string& out,
                       TokenizeOptions options = {}) {
    return tokenize_files(files, scratch_ / out, *tokenizer_, options);
  }

  const ScratchFolder scratch_;
  const std::unique_ptr<Tokenizer> tokenizer_ = make_tokenizer("byte");
};

TEST_F(Tokenize, DocumentsEndWithTheirIdAndEmptyOnesAreDropped) {
  const auto a = spit(scratch_ / "a.txt", "one\n\n\n\ntwo\n"), b = spit(scratch_ / "b.txt", ""),
             c = spit(scratch_ / "c.txt", "three");
  run({a, b, c}, "files");
  EXPECT_THAT(documents(TokenFile(scratch_ / "files")), ElementsAre("one\n\n\n\ntwo\n$", "three$"));
  run({a, b, c}, "lines", {.document = parse_document_split("blank_line")});
  EXPECT_THAT(documents(TokenFile(scratch_ / "lines")), ElementsAre("one\n$", "two\n$", "three$"));
  run({a, c}, "sep", {.document = parse_document_split("e")});
  EXPECT_THAT(documents(TokenFile(scratch_ / "sep")), ElementsAre("on$", "\n\n\n\ntwo\n$", "thr$"));
}

TEST_F(Tokenize, ChunkSizeDoesNotMatter) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "Zeile " + std::to_string(i) + (i % 7 ? " – größer\n" : "\n\n");
  const auto file = spit(scratch_ / "t.txt", text);
  for (const char* split : {"file", "blank_line", "größer"}) {
    std::string bin, idx;
    for (const int64_t chunk : {1 << 20, 1, 2, 3, 64, 1000}) {
      run({file}, "out",
          {.document = parse_document_split(split), .existing = Existing::replace, .chunk_bytes = chunk});
      if (bin.empty()) bin = slurp(scratch_ / "out.bin"), idx = slurp(scratch_ / "out.idx");
      EXPECT_EQ(slurp(scratch_ / "out.bin"), bin) << split << " " << chunk;
      EXPECT_EQ(slurp(scratch_ / "out.idx"), idx) << split << " " << chunk;
    }
  }
}

// A tokenizer that may only be cut after spaces: ids are word lengths. Shows that the pieces of a document
// are encoded as the whole document is.
class WordTokenizer : public Tokenizer {
 public:
  std::string_view name() const override { return "words"; }
  uint64_t fingerprint() const override { return 1; }
  int32_t vocab_size() const override { return 70000; }
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find(' ', at), text.size() - 1) + 1;
      ids.push_back(static_cast<int32_t>(end - at));
      at = end;
    }
  }
  void decode(std::span<const int32_t>, std::string&) const override {}
  size_t safe_prefix(std::string_view text) const override {
    const size_t space = text.rfind(' ');
    return space == text.npos ? 0 : space + 1;
  }
};

TEST_F(Tokenize, CutsOnlyWhereTheTokenizerAllows) {
  const auto file = spit(scratch_ / "t.txt", "a bb ccc dddd eeeee");
  for (const int64_t chunk : {1, 2, 5, 100}) {
    tokenize_files({&file, 1}, scratch_ / "out", WordTokenizer(),
                   {.existing = Existing::replace, .chunk_bytes = chunk});
    const TokenFile out(scratch_ / "out");
    EXPECT_EQ(out.type(), TokenType::i32);
    EXPECT_THAT(all_tokens(out), ElementsAre(2, 3, 4, 5, 5))
        << chunk;  // no end-of-document id: none is added
  }
}

TEST_F(Tokenize, ProgressAddsUp) {
  const auto a = spit(scratch_ / "a.txt", std::string(10, 'a')),
             b = spit(scratch_ / "b.txt", std::string(5, 'b'));
  std::vector<int64_t> bytes;
  const auto record = [&](const TokenizeProgress& p) {
    EXPECT_EQ(p.total_bytes, 15);
    EXPECT_EQ(p.file, p.bytes <= 10 ? a : b);
    bytes.push_back(p.bytes);
  };
  TokenizeOptions options;
  options.chunk_bytes = 4;
  options.progress = record;
  const TokenizeProgress end = run({a, b}, "out", options);
  EXPECT_THAT(bytes, ElementsAre(4, 8, 10, 14, 15));
  EXPECT_EQ(end.tokens, 17);
  EXPECT_EQ(end.documents, 2);
}

TEST_F(Tokenize, ReadsFromAPipe) {
  const auto pipe = scratch_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] { spit(pipe, "through a pipe"); });
  run({pipe}, "out");
  writer.join();
  EXPECT_THAT(documents(TokenFile(scratch_ / "out")), ElementsAre("through a pipe$"));
}

TEST_F(Tokenize, TextThatIsNotUtf8IsNamedByFileLineAndByte) {
  const struct {
    std::string text, where, found, fix;
  } rows[] = {
      {"one\ntwo\ncaf\xE9\n", "bad.txt:3", "byte 0xE9 at offset 11", "iconv -f WINDOWS-1252 -t UTF-8"},
      {"cut \xE2\x82", "bad.txt:1", "byte 0xE2 at offset 4, where the text ends inside a character", "iconv"},
      {std::string("\xFF\xFEh\0i\0", 6), "bad.txt:1", "byte 0xFF at offset 0", "iconv -f UTF-16"},
  };
  const auto good = spit(scratch_ / "good.txt", "good");
  for (const auto& row : rows)
    for (const int64_t chunk : {1, 1 << 20}) {
      const auto bad = spit(scratch_ / "bad.txt", row.text);
      const Error error = error_of([&] { run({good, bad}, "out", {.chunk_bytes = chunk}); });
      EXPECT_EQ(error.fault(), Fault::data);
      EXPECT_THAT(error.what(), HasSubstr("not UTF-8"));
      EXPECT_THAT(error.report().where, HasSubstr(row.where));
      EXPECT_EQ(error.report().found, row.found);
      EXPECT_THAT(error.report().fix, HasSubstr(row.fix));
      EXPECT_THAT(scratch_.names(), ElementsAre("bad.txt", "good.txt")) << "nothing is left behind";
    }
}

TEST_F(Tokenize, RefusesMissingFilesFoldersAndNothing) {
  const auto good = spit(scratch_ / "good.txt", "good"), empty = spit(scratch_ / "empty.txt", "");
  int chunks = 0;
  const TokenizeOptions counting = {.progress = [&](const TokenizeProgress&) { ++chunks; }};
  const Error missing = error_of([&] { run({good, scratch_ / "absent.txt"}, "out", counting); });
  EXPECT_EQ(missing.fault(), Fault::data);
  EXPECT_THAT(missing.report().where, HasSubstr("absent.txt"));
  EXPECT_THAT(missing.report().found, HasSubstr("No such file"));
  EXPECT_EQ(chunks, 0) << "known before the first file is read";

  std::filesystem::create_directory(scratch_ / "folder");
  EXPECT_EQ(error_of([&] { run({scratch_ / "folder"}, "out"); }).report().found, "a directory");
  const Error nothing = error_of([&] { run({empty}, "out"); });
  EXPECT_EQ(nothing.fault(), Fault::data);
  EXPECT_THAT(nothing.what(), HasSubstr("no text"));
  EXPECT_THAT(scratch_.names(), ElementsAre("empty.txt", "folder", "good.txt"));
}

TEST_F(Tokenize, WritesOverNothingUnlessAsked) {
  const auto file = spit(scratch_ / "t.txt", "new");
  spit(scratch_ / "out.bin", "old");
  EXPECT_EQ(error_of([&] { run({file}, "out"); }).fault(), Fault::usage);
  EXPECT_EQ(slurp(scratch_ / "out.bin"), "old");
  run({file}, "out", {.existing = Existing::replace});
  EXPECT_THAT(documents(TokenFile(scratch_ / "out")), ElementsAre("new$"));
}

// ---- the cache of a run
// ------------------------------------------------------------------------------------------

class OpenData : public Tokenize {
 protected:
  std::vector<TokenFile> open(std::vector<std::filesystem::path> paths, const char* split = "file") {
    return open_data(
        paths, scratch_ / "run/data", *tokenizer_,
        {.document = parse_document_split(split), .progress = [this](const auto&) { ++chunks_; }});
  }
  std::vector<std::filesystem::path> cached() const {
    std::vector<std::filesystem::path> out;
    for (const auto& entry : std::filesystem::directory_iterator(scratch_ / "run/data"))
      out.push_back(entry.path());
    std::sort(out.begin(), out.end());
    return out;
  }
  int chunks_ = 0;
};

TEST_F(OpenData, TokenizesTextOnceAndOpensTokenFilesAsTheyAre) {
  const auto a = spit(scratch_ / "a.txt", "text a");
  write_tokens(scratch_ / "b", {{1, 2}, {3}});
  for (int time = 0; time < 2; ++time) {
    const auto files = open({a, scratch_ / "b.bin", scratch_ / "b"});
    ASSERT_EQ(files.size(), 3u);
    EXPECT_THAT(documents(files[0]), ElementsAre("text a$"));
    EXPECT_THAT(all_tokens(files[1]), ElementsAre(1, 2, 3));
    EXPECT_THAT(all_tokens(files[2]), ElementsAre(1, 2, 3));
    EXPECT_EQ(chunks_, 1) << "the second time from the cache";
  }
  ASSERT_EQ(cached().size(), 2u);
  EXPECT_THAT(cached()[0].filename().string(), MatchesRegex("[0-9a-f]{16}.bin"));
}

TEST_F(OpenData, AnotherTextOrSplitIsAnotherCache) {
  const auto a = spit(scratch_ / "a.txt", "one\n\ntwo");
  EXPECT_EQ(open({a})[0].num_documents(), 1);
  EXPECT_EQ(open({a}, "blank_line")[0].num_documents(), 2);
  spit(a, "one\n\ntwO");
  EXPECT_THAT(documents(open({a})[0]), ElementsAre("one\n\ntwO$"));
  EXPECT_EQ(cached().size(), 6u);
  spit(scratch_ / "copy.txt", "one\n\ntwO");
  open({scratch_ / "copy.txt"});
  EXPECT_EQ(cached().size(), 6u) << "the same text under another name is the same cache";
}

TEST_F(OpenData, ADamagedCacheIsMadeAgain) {
  const auto a = spit(scratch_ / "a.txt", "text a");
  open({a});
  for (const auto& part : cached()) {
    const std::string whole = slurp(part);
    spit(part, whole.substr(0, whole.size() - 1));
    EXPECT_THAT(documents(open({a})[0]), ElementsAre("text a$"));
    EXPECT_EQ(slurp(part), whole);
    std::filesystem::remove(part);
    EXPECT_THAT(documents(open({a})[0]), ElementsAre("text a$"));
  }
}

TEST_F(OpenData, RanksMayFillOneCacheAtOnce) {
  const auto a = spit(scratch_ / "a.txt", std::string(100000, 'a'));
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 4; ++rank)
    ranks.emplace_back([&] {
      const auto files = open_data({&a, 1}, scratch_ / "run/data", *tokenizer_, {.chunk_bytes = 1000});
      EXPECT_EQ(files[0].num_tokens(), 100001);
    });
  for (auto& rank : ranks) rank.join();
  EXPECT_EQ(cached().size(), 2u) << "no temporary files stay";
}

}  // namespace
}  // namespace strata
