// SPDX-License-Identifier: Apache-2.0
// Which tokens of a record are learned: written out by hand for every format and built-in template, and
// against tokenizers that merge across the edges.
#include "core/data/records/record_encoder.h"
#include "tests/core/data/scratch.h"

namespace strata {
namespace {

constexpr const char* kChat =
    R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]})";

// The text with [ and ] around what is learned; the end of the document as $.
std::string marked(const MarkedTokens& tokens) {
  std::string text;
  for (size_t i = 0; i < tokens.ids.size(); ++i) {
    const bool before = i > 0 && tokens.learned[i - 1] != 0, now = tokens.learned[i] != 0;
    if (before != now) text += now ? '[' : ']';
    text += tokens.ids[i] == 256 ? '$' : static_cast<char>(tokens.ids[i]);
  }
  return text + (!tokens.ids.empty() && tokens.learned.back() != 0 ? "]" : "");
}

std::string encoded(const std::string& line, const std::string& format = "") {
  const auto tokenizer = make_tokenizer("byte");
  std::optional<ChatFormat> chat;
  if (!format.empty()) chat = open_chat_format(format, "byte");
  return marked(RecordEncoder(*tokenizer, std::move(chat)).encode(parse_data_record(line, "f:1"), "f:1"));
}

TEST(LearnedTokens, OfTextsAndCompletions) {
  EXPECT_EQ(encoded(R"({"text": "abc"})"), "[abc$]");
  EXPECT_EQ(encoded(R"({"text": ""})"), "");
  EXPECT_EQ(encoded(R"({"prompt": "What? ", "completion": "That."})"), "What? [That.$]");
  EXPECT_EQ(encoded(R"({"prompt": "", "completion": "x"})"), "[x$]");
  EXPECT_EQ(encoded(R"({"prompt": "p", "completion": ""})"), "p[$]");
}

TEST(LearnedTokens, OfTheBuiltInTemplates) {
  // The byte tokenizer has no token for an end of turn, so the record's end is learned too.
  EXPECT_EQ(encoded(kChat, "chatml"),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n[Yo<|im_end|>]\n"
            "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n[A<|im_end|>]\n[$]");
  EXPECT_EQ(encoded(kChat, "llama3"),
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n[Yo<|eot_id|>]"
            "<|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n[A<|eot_id|>$]");
  EXPECT_EQ(encoded(kChat, "mistral"), "<s>[INST] Hi [/INST] [Yo</s>][INST] Q [/INST] [A</s>$]");
  EXPECT_EQ(encoded(kChat, "deepseek"),
            "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>[Yo<｜end▁of▁sentence｜>]"
            "<｜User｜>Q<｜Assistant｜>[A<｜end▁of▁sentence｜>$]");
}

TEST(LearnedTokens, NoAnswerTeachesNothing) {
  EXPECT_EQ(encoded(R"({"messages": [{"role": "user", "content": "Hi"}]})", "chatml"),
            "<|im_start|>user\nHi<|im_end|>\n$");
}

TEST(LearnedTokens, TheEndIsNotTheAssistantsWhenTheUserSpeaksLast) {
  EXPECT_EQ(
      encoded(R"({"messages": [{"role": "assistant", "content": "A"}, {"role": "user", "content": "Q"}]})",
              "chatml"),
      "<|im_start|>assistant\n[A<|im_end|>]\n<|im_start|>user\nQ<|im_end|>\n$");
}

TEST(LearnedTokens, ARefusedConversationNamesTheRecordAndTheTemplate) {
  const auto tokenizer = make_tokenizer("byte");
  const RecordEncoder encoder(*tokenizer, open_chat_format("mistral", "byte"));
  const auto record = parse_data_record(R"({"messages": [{"role": "assistant", "content": "Hi"}]})", "f:3");
  const Error error = error_of([&] { encoder.encode(record, "chat.jsonl:3"); });
  EXPECT_THAT(error.report().where, testing::StartsWith("chat.jsonl:3, by the chat template mistral:"));
  EXPECT_THAT(error.report().found, testing::HasSubstr("take turns"));
}

TEST(LearnedTokens, ATemplateMustBeThere) {
  EXPECT_THAT(error_of([] { open_chat_format("", "byte"); }).report().fix, "data.chat_template = \"chatml\"");
  EXPECT_THAT(error_of([] { open_chat_format("chatlm", "byte"); }).report().found, "\"chatlm\"");
}

// Merges two neighbours "ab" into one token, greedily from the left; bytes otherwise. Not safe to cut before
// 'b'.
class PairTokenizer final : public Tokenizer {
 public:
  std::string_view name() const override { return "pairs"; }
  uint64_t fingerprint() const override { return 1; }
  int32_t vocab_size() const override { return 300; }
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    for (size_t i = 0; i < text.size(); ++i) {
      const bool pair = text.substr(i, 2) == "ab";
      ids.push_back(pair ? 299 : static_cast<unsigned char>(text[i]));
      i += pair;
    }
  }
  void decode(std::span<const int32_t>, std::string&) const override {}
  size_t safe_prefix(std::string_view text) const override {
    const size_t space = text.rfind(' ');
    return space == text.npos ? 0 : space + 1;
  }
};

TEST(LearnedTokens, ATokenOverAnEdgeCountsAsWhatFollows) {
  const PairTokenizer tokenizer;
  const auto masks = [&](std::string_view text, std::vector<chat::Span> spans) {
    MarkedTokens out;
    out.add(7, false);  // what is there already stays
    encode_marked(tokenizer, text, spans, out);
    std::vector<int32_t> whole{7};
    tokenizer.encode(text, whole);
    EXPECT_EQ(out.ids, whole) << text;
    return std::vector<int>(out.learned.begin(), out.learned.end());
  };
  using testing::ElementsAre;
  EXPECT_THAT(masks("xaby", {{1, 3}}), ElementsAre(0, 0, 1, 0));  // exactly the pair
  EXPECT_THAT(masks("xaby", {{2, 4}}), ElementsAre(0, 0, 1, 1));  // begins inside the pair
  EXPECT_THAT(masks("xaby", {{0, 2}}), ElementsAre(0, 1, 0, 0));  // ends inside the pair
  EXPECT_THAT(masks("xaby", {}), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(masks("xaby", {{0, 4}}), ElementsAre(0, 1, 1, 1));
  EXPECT_THAT(masks("xaby", {{2, 2}}), ElementsAre(0, 0, 0, 0));                           // empty
  EXPECT_THAT(masks("a ab ab a", {{2, 4}, {5, 9}}), ElementsAre(0, 0, 0, 1, 0, 1, 1, 1));  // past safe cuts
}

}  // namespace
}  // namespace strata
