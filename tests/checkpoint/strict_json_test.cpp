// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/strict_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/sha256.h"
#include "core/base/error.h"

namespace strata {
namespace {

std::string refusal(std::string_view text, const JsonLimits& limits = {}) {
  try {
    parse_strict_json(text, "m.json", limits);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::model);
    return error.what();
  }
}

TEST(StrictJsonTest, GoodTextIsWhatNlohmannMakesOfIt) {
  for (const char* text :
       {"1", "null", "[]", "{}", R"({"a":[1,-2,3.5,"x",true,{"b":{}}],"c":null,"":[[[]]]})",
        "[18446744073709551615,-9223372036854775808,1e300]", "\"\\u00e9\\ud83d\\ude00\""})
    EXPECT_EQ(parse_strict_json(text, ""), nlohmann::json::parse(text)) << text;
}

TEST(StrictJsonTest, BadTextIsRefused) {
  using testing::HasSubstr;
  for (const char* text : {"", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "[1] 2", "nul", "1e400", "\"\xFF\"",
                           "\"\xC0\xAF\"", "\"\\ud800\"", "'a'", "[1//x\n]", "NaN", "01"})
    EXPECT_THAT(refusal(text), HasSubstr("m.json")) << text;
  EXPECT_THAT(refusal(R"({"a":1,"b":2,"a":3})"), HasSubstr("'a' twice"));
  EXPECT_THAT(refusal(R"([{"x":{"a":1,"a":1}}])"), HasSubstr("'a' twice"));
  EXPECT_THAT(refusal(std::string(1000000, '[')), HasSubstr("levels"));
  EXPECT_EQ(refusal("[[[]]]", {.depth = 3}), "");
  EXPECT_THAT(refusal("[[[[]]]]", {.depth = 3}), HasSubstr("levels"));
  EXPECT_EQ(refusal("[1,2,3]", {.values = 4}), "");
  EXPECT_THAT(refusal("[1,2,3,4]", {.values = 4}), HasSubstr("values"));
}

TEST(Sha256Test, KnownAnswers) {  // FIPS 180-4 examples, and the empty text
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, PiecesDoNotMatter) {
  std::string text(300, 'x');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7);
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Sha256 hash;
    hash.update(std::string_view(text).substr(0, cut));
    hash.update(std::string_view(text).substr(cut));
    ASSERT_EQ(hash.hex(), sha256_hex(text)) << cut;
  }
}

}  // namespace
}  // namespace strata
