// SPDX-License-Identifier: Apache-2.0
// Token files against bytes written by an independent script, round trips, and files that lie.
#include "core/data/token_file.h"

#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <functional>

#include "core/base/check.h"
#include "tests/core/data/scratch.h"

namespace strata {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::filesystem::path kGolden = std::filesystem::path(STRATA_SOURCE_DIR) / "tests/golden/token_files";

std::vector<int64_t> document_begins(const TokenFile& file) {
  std::vector<int64_t> begins;
  for (int64_t d = 0; d <= file.num_documents(); ++d) begins.push_back(file.document_begin(d));
  return begins;
}

TEST(TokenFile, ReadsGoldenFiles) {
  const TokenFile u8(kGolden / "u8");
  EXPECT_EQ(u8.type(), TokenType::u8);
  EXPECT_THAT(all_tokens(u8), ElementsAre(0, 1, 127, 128, 255));
  EXPECT_THAT(document_begins(u8), ElementsAre(0, 3, 5));

  const TokenFile u16(kGolden / "u16.bin");
  EXPECT_EQ(u16.type(), TokenType::u16);
  EXPECT_EQ(u16.num_sequences(), 4);
  EXPECT_THAT(all_tokens(u16), ElementsAre(1, 2, 3, 65535, 256, 7, 8, 9, 10, 11));
  EXPECT_THAT(document_begins(u16), ElementsAre(0, 4, 5, 10));  // the last document is two sequences

  const TokenFile i32(kGolden / "i32.idx");
  EXPECT_EQ(i32.type(), TokenType::i32);
  EXPECT_THAT(all_tokens(i32), ElementsAre(100000, 2147483647, 0, 65536, 5));
  EXPECT_THAT(document_begins(i32), ElementsAre(0, 3, 5));
}

TEST(TokenFileWriter, WritesTheGoldenBytes) {
  const ScratchFolder scratch;
  struct Row {
    const char* name;
    Documents documents;
    TokenFileWriter::Options options;
  };
  const Row rows[] = {
      {"u8", {{0, 1, 127}, {128, 255}}, {.type = TokenType::u8}},
      {"i32", {{100000, 2147483647, 0}, {65536, 5}}, {.type = TokenType::i32}},
  };
  for (const Row& row : rows) {
    write_tokens(scratch / row.name, row.documents, row.options);
    EXPECT_EQ(slurp(idx_path(scratch / row.name)), slurp(idx_path(kGolden / row.name))) << row.name;
    EXPECT_EQ(slurp(bin_path(scratch / row.name)), slurp(bin_path(kGolden / row.name))) << row.name;
  }
}

TEST(TokenFileWriter, SplitsLongDocumentsIntoSequences) {
  const ScratchFolder scratch;
  const Documents documents = {{1, 2, 3, 4, 5, 6, 7}, {8, 9, 10}, {11}};
  for (const int64_t most : {1, 2, 3, 7, 100}) {
    const auto prefix = scratch / std::to_string(most);
    const TokenFile file = write_tokens(prefix, documents, {.max_sequence = most});
    EXPECT_EQ(file.num_sequences(), (7 + most - 1) / most + (3 + most - 1) / most + 1);
    EXPECT_THAT(document_begins(file), ElementsAre(0, 7, 10, 11)) << most;
    EXPECT_THAT(all_tokens(file), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)) << most;
  }
}

TEST(TokenFileWriter, RoundTripsEveryType) {
  const ScratchFolder scratch;
  for (const TokenType type : {TokenType::u8, TokenType::u16, TokenType::i32}) {
    const int32_t top = type == TokenType::u8 ? 255 : type == TokenType::u16 ? 65535 : INT32_MAX;
    const Documents documents = {{0}, {1, top, 2}, {}, {top}};
    const TokenFile file = write_tokens(scratch / std::string(name(type)), documents, {.type = type});
    EXPECT_EQ(file.num_documents(), 3) << "the empty document leaves no trace";
    EXPECT_THAT(all_tokens(file), ElementsAre(0, 1, top, 2, top));
  }
  TokenFileWriter writer(scratch / "range", {.type = TokenType::u8});
  EXPECT_THROW(writer.append(std::vector<int32_t>{256}), ContractError);
  EXPECT_THROW(writer.append(std::vector<int32_t>{-1}), ContractError);
}

TEST(TokenFile, NoDocumentsAtAll) {
  const ScratchFolder scratch;
  const TokenFile file = write_tokens(scratch / "none", {});
  EXPECT_EQ(file.num_tokens(), 0);
  EXPECT_EQ(file.num_documents(), 0);
  EXPECT_EQ(file.next_document(0), 0);
}

TEST(TokenFile, NextDocumentAgreesWithALinearSearch) {
  const ScratchFolder scratch;
  const TokenFile file = write_tokens(scratch / "d", {{1}, {2, 3}, {4, 5, 6}, {7}, {8}, {9, 10}});
  const auto begins = document_begins(file);
  for (int64_t token = 0; token < file.num_tokens(); ++token)
    EXPECT_EQ(file.next_document(token),
              *std::find_if(begins.begin(), begins.end(), [&](int64_t b) { return b > token; }))
        << token;
}

TEST(TokenFile, ReadsRangesAndRefusesOthers) {
  const TokenFile file(kGolden / "u16");
  std::vector<int32_t> two(2);
  file.read(3, two);
  EXPECT_THAT(two, ElementsAre(65535, 256));
  EXPECT_THROW(file.read(9, two), ContractError);
  EXPECT_THROW(file.read(-1, two), ContractError);
  EXPECT_THROW(file.read(INT64_MAX, two), ContractError);
}

// ---- files that lie
// ----------------------------------------------------------------------------------------------

template <typename T>
void put(std::string& bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

// u16.idx: lengths at 34 (4 of 4 bytes), pointers at 50 (4 of 8), document indices at 82 (4 of 8), size 114.
struct Lie {
  const char* name;
  std::function<void(std::string& idx, std::string& bin)> tell;
  std::vector<const char*> says;  // parts of the message
};

const Lie kLies[] = {
    {"empty idx",
     [](auto& idx, auto&) { idx.clear(); },
     {"cut off inside its header", ".idx, byte 0", "34 bytes"}},
    {"half a header",
     [](auto& idx, auto&) { idx.resize(33); },
     {"cut off inside its header", "byte 33", "33 bytes"}},
    {"another magic",
     [](auto& idx, auto&) { idx.replace(0, 9, "TNTIDX\0\0\1", 9); },
     {"not a token index", "byte 0", "TNTIDX\\x00\\x00\\x01", "MMIDIDX\\x00\\x00"}},
    {"version 2",
     [](auto& idx, auto&) { put<uint64_t>(idx, 9, 2); },
     {"version", "byte 9", "version 2", "version 1"}},
    {"type 0",
     [](auto& idx, auto&) { idx[17] = 0; },
     {"element type", "byte 17", "code 0 (unknown)", "8 (u16)"}},
    {"type 9", [](auto& idx, auto&) { idx[17] = 9; }, {"code 9 (unknown)"}},
    {"type f64", [](auto& idx, auto&) { idx[17] = 6; }, {"code 6 (f64)"}},
    {"type f32", [](auto& idx, auto&) { idx[17] = 7; }, {"code 7 (f32)"}},
    {"most sequences",
     [](auto& idx, auto&) { put<uint64_t>(idx, 18, UINT64_MAX); },
     {"count of sequences", "byte 18", "18446744073709551615 sequences", "at most 6"}},
    {"sequences that overflow to little",
     [](auto& idx, auto&) { put<uint64_t>(idx, 18, UINT64_MAX / 12 + 2); },
     {"count of sequences", "byte 18"}},
    {"most documents",
     [](auto& idx, auto&) { put<uint64_t>(idx, 26, UINT64_MAX / 8 + 1); },
     {"count of document indices", "byte 26", "at most 10"}},
    {"a byte short",
     [](auto& idx, auto&) { idx.pop_back(); },
     {"cut off", "byte 113", "113 bytes", "114 bytes"}},
    {"cut in the lengths",
     [](auto& idx, auto&) { idx.resize(40); },
     {"cut off", "count of sequences", "at most 0"}},
    {"a byte long",
     [](auto& idx, auto&) { idx += 'x'; },
     {"longer than its counts", "byte 114", "115 bytes"}},
    {"modes",
     [](auto& idx, auto&) { idx += std::string(4, '\0'); },
     {"multimodal", "4 bytes of sequence modes"}},
    {"negative length",
     [](auto& idx, auto&) { put<int32_t>(idx, 38, -1); },
     {"negative length", "byte 38", "sequence 1 of -1 tokens"}},
    {"longer length",
     [](auto& idx, auto&) { put<int32_t>(idx, 34, 5); },
     {"does not begin where", "byte 58", "sequence 1 at byte 8", "byte 10"}},
    {"pointers swapped",
     [](auto& idx, auto&) { put<int64_t>(idx, 58, 10), put<int64_t>(idx, 66, 8); },
     {"does not begin where", "byte 58", "sequence 1 at byte 10", "byte 8"}},
    {"negative pointer", [](auto& idx, auto&) { put<int64_t>(idx, 50, -2); }, {"byte 50", "at byte -2"}},
    {"pointer beyond the bin",
     [](auto& idx, auto&) { put<int64_t>(idx, 74, 1 << 30); },
     {"byte 74", "1073741824"}},
    {"last length beyond the bin",
     [](auto& idx, auto&) { put<int32_t>(idx, 46, 4); },
     {"token file is cut off", ".bin, byte 20", "20 bytes", "22 bytes: 11 tokens of type u16"}},
    {"first document not 0",
     [](auto& idx, auto&) { put<int64_t>(idx, 82, 1); },
     {"first document", "byte 82"}},
    {"documents out of order",
     [](auto& idx, auto&) { put<int64_t>(idx, 90, 3); },
     {"out of order", "byte 98", "document index 2 is 2", "3 to 4"}},
    {"document beyond",
     [](auto& idx, auto&) { put<int64_t>(idx, 98, 5); },
     {"out of order", "byte 98", "is 5"}},
    {"last document short",
     [](auto& idx, auto&) { put<int64_t>(idx, 106, 3); },
     {"last document", "byte 106", "4"}},
    {"no document index",
     [](auto& idx, auto&) { put<uint64_t>(idx, 26, 0), idx.resize(82); },
     {"no document indices", "byte 26"}},
    {"bin cut off",
     [](auto&, auto& bin) { bin.resize(19); },
     {"cut off", ".bin, byte 19", "19 bytes", "20 bytes"}},
    {"bin empty", [](auto&, auto& bin) { bin.clear(); }, {"cut off", ".bin, byte 0", "0 bytes"}},
    {"bin longer",
     [](auto&, auto& bin) { bin += "xx"; },
     {"longer than its index", ".bin, byte 20", "22 bytes"}},
};

TEST(TokenFile, RefusesEveryLieWithFileByteAndFix) {
  const ScratchFolder scratch;
  for (const Lie& lie : kLies) {
    std::string idx = slurp(idx_path(kGolden / "u16")), bin = slurp(bin_path(kGolden / "u16"));
    ASSERT_EQ(idx.size(), 114u);
    lie.tell(idx, bin);
    spit(idx_path(scratch / "lie"), idx);
    spit(bin_path(scratch / "lie"), bin);
    const Error error = error_of([&] { TokenFile(scratch / "lie"); });
    EXPECT_EQ(error.fault(), Fault::data) << lie.name;
    for (const char* part : lie.says) EXPECT_THAT(error.what(), HasSubstr(part)) << lie.name;
    EXPECT_THAT(error.report().fix, HasSubstr("tokenize")) << lie.name;
  }
}

// Whatever one byte of the index becomes, the reader refuses it or reads only within the .bin (ASan watches).
TEST(TokenFile, SurvivesEveryOneByteChange) {
  const ScratchFolder scratch;
  const std::string whole = slurp(idx_path(kGolden / "u16"));
  spit(bin_path(scratch / "flip"), slurp(bin_path(kGolden / "u16")));
  int accepted = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int flip : {0x01, 0x80, 0xFF}) {
      std::string idx = whole;
      idx[at] = static_cast<char>(idx[at] ^ flip);
      spit(idx_path(scratch / "flip"), idx);
      try {
        const TokenFile file(scratch / "flip");
        all_tokens(file);
        document_begins(file);
        ++accepted;
      } catch (const Error& error) {
        EXPECT_EQ(error.fault(), Fault::data);
      }
    }
  }
  // Only a document that begins at another sequence is as good an index: indices 0 1 2 4 as 0 0 2 4 and 0 1
  // 3 4.
  EXPECT_EQ(accepted, 2);
}

TEST(TokenFile, NamesTheFileThatIsMissing) {
  const ScratchFolder scratch;
  const Error no_idx = error_of([&] { TokenFile(scratch / "absent"); });
  EXPECT_EQ(no_idx.fault(), Fault::data);
  EXPECT_THAT(no_idx.report().where, HasSubstr("absent.idx"));
  EXPECT_THAT(no_idx.report().found, HasSubstr("No such file"));

  spit(idx_path(scratch / "half"), slurp(idx_path(kGolden / "u16")));
  EXPECT_THAT(error_of([&] { TokenFile(scratch / "half"); }).report().where, HasSubstr("half.bin"));

  std::filesystem::create_directory(scratch / "folder.idx");
  EXPECT_THAT(error_of([&] { TokenFile(scratch / "folder"); }).report().found, HasSubstr("directory"));
}

TEST(TokenFile, PrefixesMayHoldDots) {
  const ScratchFolder scratch;
  write_tokens(scratch / "data.v1", {{1, 2}});
  EXPECT_THAT(scratch.names(), ElementsAre("data.v1.bin", "data.v1.idx"));
  EXPECT_EQ(TokenFile(scratch / "data.v1.idx").num_tokens(), 2);
}

TEST(TokenFile, FingerprintTellsDataApart) {
  const ScratchFolder scratch;
  std::vector<int32_t> tokens(40000, 7);
  const uint64_t first = write_tokens(scratch / "a", {tokens}).fingerprint();
  EXPECT_EQ(write_tokens(scratch / "b", {tokens}).fingerprint(), first);
  tokens[39999] = 8;
  EXPECT_NE(write_tokens(scratch / "c", {tokens}).fingerprint(), first);
  tokens[39999] = 7;
  EXPECT_NE(write_tokens(scratch / "d", {tokens, {7}}).fingerprint(), first);
  const auto half = static_cast<std::ptrdiff_t>(20000);
  const Documents cut = {{tokens.begin(), tokens.begin() + half}, {tokens.begin() + half, tokens.end()}};
  EXPECT_NE(write_tokens(scratch / "e", cut).fingerprint(), first);
}

// ---- what the writer leaves behind
// -------------------------------------------------------------------------------

TEST(TokenFileWriter, NothingUnderTheNameUntilCommit) {
  const ScratchFolder scratch;
  {
    TokenFileWriter writer(scratch / "t", {});
    writer.append(std::vector<int32_t>{1, 2});
    for (const std::string& name : scratch.names()) EXPECT_THAT(name, HasSubstr(".tmp-"));
  }
  EXPECT_THAT(scratch.names(), ElementsAre());  // gone without commit
}

TEST(TokenFileWriter, RefusesReplacesOrKeepsWhatIsThere) {
  const ScratchFolder scratch;
  write_tokens(scratch / "t", {{1, 2, 3}});
  const std::string old = slurp(bin_path(scratch / "t"));

  const Error error = error_of([&] { TokenFileWriter(scratch / "t", {}); });
  EXPECT_EQ(error.fault(), Fault::usage);
  EXPECT_THAT(error.what(), HasSubstr("not written over"));
  EXPECT_THAT(error.report().where, HasSubstr("t.bin"));

  write_tokens(scratch / "t", {{9}}, {.existing = Existing::keep});
  EXPECT_EQ(slurp(bin_path(scratch / "t")), old);
  EXPECT_THAT(all_tokens(write_tokens(scratch / "t", {{9}}, {.existing = Existing::replace})),
              ElementsAre(9));
  EXPECT_THAT(scratch.names(), ElementsAre("t.bin", "t.idx"));
}

TEST(TokenFileWriter, RefusesAFileThatAppearsMeanwhile) {
  const ScratchFolder scratch;
  TokenFileWriter writer(scratch / "t", {});
  writer.append(std::vector<int32_t>{1});
  spit(idx_path(scratch / "t"), "somebody else's");
  EXPECT_EQ(error_of([&] { writer.commit(); }).fault(), Fault::usage);
  EXPECT_EQ(slurp(idx_path(scratch / "t")), "somebody else's");
}

TEST(TokenFileWriter, MakesTheFolderOrSaysWhyNot) {
  const ScratchFolder scratch;
  write_tokens(scratch / "a/b/t", {{1}});
  EXPECT_TRUE(std::filesystem::exists(scratch / "a/b/t.idx"));
  spit(scratch / "file", "");
  const Error error = error_of([&] { TokenFileWriter(scratch / "file/t", {}); });
  EXPECT_EQ(error.fault(), Fault::environment);
  EXPECT_THAT(error.report().where, HasSubstr("file"));
}

TEST(TokenFileWriter, AFullDiskIsNamedAndLeavesNothing) {
  const ScratchFolder scratch;
  // A file size limit stands in for the full disk: write() fails in the middle all the same.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 1 << 20, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::vector<int32_t> tokens(1 << 20, 7);  // 2 MiB as u16
  const Error error = error_of([&] { write_tokens(scratch / "t", {tokens}); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(error.fault(), Fault::environment);
  EXPECT_THAT(error.report().where, HasSubstr("t.bin, byte "));
  EXPECT_THAT(error.report().found, HasSubstr("File too large"));
  EXPECT_THAT(scratch.names(), ElementsAre());
}

TEST(TokenFileWriter, PicksMegatronsType) {
  EXPECT_EQ(token_type_for(257), TokenType::u16);
  EXPECT_EQ(token_type_for(65499), TokenType::u16);
  EXPECT_EQ(token_type_for(65500), TokenType::i32);
}

}  // namespace
}  // namespace strata
