// SPDX-License-Identifier: Apache-2.0
// Keys and kinds of tokens: ggml, docs/gguf.md; what is written for each kind of tokenizer: llama.cpp,
// convert_hf_to_gguf.py (_set_vocab_gpt2, _set_vocab_sentencepiece) and gguf-py/gguf/vocab.py.
#include "checkpoint/adapters/gguf_vocabulary.h"

#include <algorithm>

#include "checkpoint/adapters/gguf_pre_tokenizers.h"
#include "checkpoint/adapters/sentencepiece_pieces.h"
#include "core/base/error.h"

namespace strata {
namespace {

using nlohmann::json;

enum TokenType : int32_t { normal = 1, unknown = 2, control = 3, of_user = 4, unused = 5, byte = 6 };

[[noreturn]] void refuse(const char* file, std::string found, std::string expected) {
  throw Error(Fault::model, {.what = "a tokenizer cannot be written into a GGUF file",
                             .where = file,
                             .found = std::move(found),
                             .expected = std::move(expected),
                             .fix = "put the model's own tokenizer beside it"});
}

const Asset* find(const std::vector<Asset>& assets, std::string_view name) {
  const auto found =
      std::find_if(assets.begin(), assets.end(), [&](const Asset& a) { return a.name == name; });
  return found == assets.end() ? nullptr : &*found;
}

json parse(const std::vector<Asset>& assets, const char* name) {
  const Asset* asset = find(assets, name);
  json parsed = asset ? json::parse(asset->content, nullptr, false) : json::object();
  if (!parsed.is_object()) refuse(name, "no JSON object", "an object");
  return parsed;
}

// Tokens by their ids, with their kinds.
struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<float> scores;

  void put(const char* file, const json& id, const std::string& token, int32_t type) {
    if (!id.is_number_integer() || id < 0 || id >= static_cast<int64_t>(tokens.size()))
      refuse(file, fmt::format("token {} of the id {}", json(token).dump(), id.dump()),
             fmt::format("ids below {}, the rows of the embedding", tokens.size()));
    tokens[id.get<size_t>()] = token;
    types[id.get<size_t>()] = type;
  }
  // Rows of the embedding that no token has.
  void fill() {
    for (size_t id = 0; id < tokens.size(); ++id)
      if (types[id] == 0) {
        tokens[id] = fmt::format("[PAD{}]", id);
        types[id] = unused;
      }
  }
};

// "</s>", or {"content": "</s>", ...}.
std::string spelled(const json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  return found->is_object() ? found->value("content", "") : "";
}

// Ids of special tokens: as tokenizer_config.json spells them, else as config.json numbers them.
void add_special(const std::vector<Asset>& assets, const Vocabulary& vocabulary, GgufValues& values) {
  const json spelling = parse(assets, "tokenizer_config.json"), numbers = parse(assets, "config.json");
  struct Row {
    const char *name, *spelled, *numbered;
  };
  for (const Row& row :
       {Row{"bos", "bos_token", "bos_token_id"}, Row{"eos", "eos_token", "eos_token_id"},
        Row{"unknown", "unk_token", "unk_token_id"}, Row{"padding", "pad_token", "pad_token_id"}}) {
    const std::string token = spelled(spelling, row.spelled);
    const auto found = std::find(vocabulary.tokens.begin(), vocabulary.tokens.end(), token);
    int64_t id = -1;
    if (!token.empty() && found != vocabulary.tokens.end())
      id = found - vocabulary.tokens.begin();
    else if (const auto number = numbers.find(row.numbered); number != numbers.end())
      id = number->is_number_integer() ? number->get<int64_t>()
           : number->is_array() && !number->empty() && (*number)[0].is_number_integer()
               ? (*number)[0].get<int64_t>()
               : -1;
    if (id >= 0 && id < std::ssize(vocabulary.tokens))
      values.u32(fmt::format("tokenizer.ggml.{}_token_id", row.name), id);
  }
  std::string chat = spelling.contains("chat_template") && spelling["chat_template"].is_string()
                         ? spelling["chat_template"].get<std::string>()
                         : "";
  if (const Asset* jinja = find(assets, "chat_template.jinja"); jinja && chat.empty()) chat = jinja->content;
  if (!chat.empty()) values.text("tokenizer.chat_template", chat);
}

// Whether the post-processor puts this token at the end of a text ("single": the last piece), or begins.
bool puts(const json& processor, bool first) {
  if (!processor.is_object()) return false;
  if (const auto parts = processor.find("processors"); parts != processor.end() && parts->is_array())
    return std::any_of(parts->begin(), parts->end(), [&](const json& part) { return puts(part, first); });
  const auto single = processor.find("single");
  return single != processor.end() && single->is_array() && !single->empty() &&
         (first ? single->front() : single->back()).contains("SpecialToken");
}

std::vector<std::string> merges_of(const json& model) {
  std::vector<std::string> merges;
  for (const json& merge : model.value("merges", json::array())) {
    const bool pair = merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
    if (!pair && !merge.is_string()) refuse("tokenizer.json", "merge " + merge.dump(), "two pieces");
    merges.push_back(pair ? merge[0].get<std::string>() + " " + merge[1].get<std::string>()
                          : merge.get<std::string>());
  }
  return merges;
}

std::string embed_bpe(const std::vector<Asset>& assets, int64_t vocab, GgufValues& values) {
  constexpr const char* kFile = "tokenizer.json";
  const json whole = parse(assets, kFile);
  const json model = whole.value("model", json::object());
  if (model.value("type", "BPE") != "BPE" || !model.contains("vocab") || !model["vocab"].is_object())
    return "its tokenizer is not taken along: only byte-level BPE and SentencePiece are";
  if (model.value("byte_fallback", false))
    return "its tokenizer is not taken along: BPE with byte fallback needs its tokenizer.model";
  Vocabulary v{std::vector<std::string>(static_cast<size_t>(vocab)),
               std::vector<int32_t>(static_cast<size_t>(vocab)),
               {}};
  for (const auto& [token, id] : model["vocab"].items()) v.put(kFile, id, token, normal);
  for (const json& added : whole.value("added_tokens", json::array()))
    v.put(kFile, added.value("id", json()), added.value("content", ""),
          added.value("special", false) ? control : of_user);
  v.fill();
  const GgufPreTokenizer* kind = gguf_pre_tokenizer_of(whole);
  values.text("tokenizer.ggml.model", "gpt2");
  values.text("tokenizer.ggml.pre", kind ? kind->name : "default");
  values.texts("tokenizer.ggml.tokens", v.tokens);
  values.i32s("tokenizer.ggml.token_type", v.types);
  values.texts("tokenizer.ggml.merges", merges_of(model));
  add_special(assets, v, values);
  const json processor = whole.value("post_processor", json());
  values.boolean("tokenizer.ggml.add_bos_token", puts(processor, true));
  values.boolean("tokenizer.ggml.add_eos_token", puts(processor, false));
  return kind ? ""
              : "llama.cpp has no name for how its tokenizer cuts words: it will take GPT-2's, which may "
                "differ";
}

std::string embed_sentencepiece(const std::vector<Asset>& assets, int64_t vocab, GgufValues& values) {
  constexpr const char* kFile = "tokenizer.model";
  SentencePiecePieces pieces = read_sentencepiece_pieces(find(assets, kFile)->content, kFile);
  if (std::ssize(pieces.texts) > vocab)
    refuse(kFile, fmt::format("{} pieces", pieces.texts.size()),
           fmt::format("at most {}, the rows of the embedding", vocab));
  Vocabulary v{std::move(pieces.texts), std::move(pieces.types), std::move(pieces.scores)};
  v.tokens.resize(static_cast<size_t>(vocab));
  v.types.resize(static_cast<size_t>(vocab));
  v.scores.resize(static_cast<size_t>(vocab), -1000.0F);  // never chosen
  v.fill();
  values.text("tokenizer.ggml.model", "llama");
  values.text("tokenizer.ggml.pre", "default");
  values.texts("tokenizer.ggml.tokens", v.tokens);
  values.f32s("tokenizer.ggml.scores", v.scores);
  values.i32s("tokenizer.ggml.token_type", v.types);
  add_special(assets, v, values);
  const json config = parse(assets, "tokenizer_config.json");
  values.boolean("tokenizer.ggml.add_bos_token", config.value("add_bos_token", true));
  values.boolean("tokenizer.ggml.add_eos_token", config.value("add_eos_token", false));
  values.boolean("tokenizer.ggml.add_space_prefix", pieces.add_dummy_prefix);
  return "";
}

}  // namespace

std::string embed_gguf_vocabulary(const std::vector<Asset>& assets, int64_t vocab, GgufValues& values) {
  try {
    if (find(assets, "tokenizer.model")) return embed_sentencepiece(assets, vocab, values);
    if (find(assets, "tokenizer.json")) return embed_bpe(assets, vocab, values);
  } catch (const json::exception& e) {
    refuse("tokenizer.json", e.what(), "a tokenizer as transformers writes it");
  }
  return "there is no tokenizer beside the model: the file holds none";
}

}  // namespace strata
