// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer_json/decoder.h"

#include <fmt/format.h>

#include <charconv>

#include "core/data/tokenizer_json/byte_level.h"
#include "core/data/tokenizer_json/metaspace.h"
#include "core/data/tokenizer_json/pattern.h"

namespace strata {
namespace {

class ByteLevelDecoder final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens)
      if (auto bytes = alphabet_.bytes(token)) token = std::move(*bytes);
  }

 private:
  ByteAlphabet alphabet_;
};

// <0xNN> is the byte NN.
class ByteFallbackDecoder final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') continue;
      unsigned byte = 0;
      const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
      if (error == std::errc() && end == token.data() + 5) token = static_cast<char>(byte);
    }
  }
};

class FuseDecoder final : public Decoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens = {std::move(all)};
  }
};

class ReplaceDecoder final : public Decoder {
 public:
  ReplaceDecoder(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string result;
      size_t copied = 0;
      pattern_.find(token, [&](size_t begin, size_t end) {
        result.append(token, copied, begin - copied).append(content_);
        copied = end;
      });
      token = result.append(token, copied);
    }
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class StripDecoder final : public Decoder {
 public:
  StripDecoder(std::string content, int64_t start, int64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      for (int64_t i = 0; i < start_ && token.starts_with(content_); ++i) token.erase(0, content_.size());
      for (int64_t i = 0; i < stop_ && token.ends_with(content_); ++i)
        token.resize(token.size() - content_.size());
    }
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class MetaspaceDecoder final : public Decoder {
 public:
  explicit MetaspaceDecoder(Metaspace metaspace) : metaspace_(std::move(metaspace)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = metaspace_.decode(tokens[i], i == 0);
  }

 private:
  Metaspace metaspace_;
};

class DecoderSequence final : public Decoder {
 public:
  explicit DecoderSequence(std::vector<std::unique_ptr<Decoder>> steps) : steps_(std::move(steps)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (const auto& step : steps_) step->apply(tokens);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
};

std::unique_ptr<Decoder> decoder_of(JsonPart& part) {
  const std::string type = part.text("type");
  if (type == "ByteLevel") {
    for (const char* of_other_uses : {"add_prefix_space", "trim_offsets", "use_regex"})
      part.ignore(of_other_uses);
    return std::make_unique<ByteLevelDecoder>();
  }
  if (type == "ByteFallback") return std::make_unique<ByteFallbackDecoder>();
  if (type == "Fuse") return std::make_unique<FuseDecoder>();
  if (type == "Replace") {
    Pattern pattern(part.part("pattern"));
    return std::make_unique<ReplaceDecoder>(std::move(pattern), part.text("content"));
  }
  if (type == "Strip") {
    std::string content = part.text("content");
    if (content.empty()) part.refuse("there is nothing to strip", "\"\"", "a character");
    const int64_t start = part.number("start");
    return std::make_unique<StripDecoder>(std::move(content), start, part.number("stop"));
  }
  if (type == "Metaspace") return std::make_unique<MetaspaceDecoder>(Metaspace(part));
  if (type == "Sequence") {
    std::vector<std::unique_ptr<Decoder>> steps;
    for (const JsonPart& step : part.parts("decoders")) steps.push_back(make_decoder(step));
    return std::make_unique<DecoderSequence>(std::move(steps));
  }
  part.refuse("a decoder is not known", fmt::format("\"{}\"", type),
              "ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, Sequence");
}

}  // namespace

std::unique_ptr<Decoder> make_decoder(JsonPart part) {
  auto decoder = decoder_of(part);
  part.done();
  return decoder;
}

}  // namespace strata
