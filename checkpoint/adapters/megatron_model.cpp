// SPDX-License-Identifier: Apache-2.0
// Arguments: Megatron-LM, megatron/training/arguments.py.
#include "checkpoint/adapters/megatron_model.h"

#include <algorithm>

#include "checkpoint/adapters/torch_archive.h"
#include "checkpoint/adapters/torch_archive_writer.h"
#include "core/base/error.h"

namespace strata {
namespace {

using Kind = PickleNode::Kind;

constexpr std::string_view kCommonName = "common.pt";

class Arguments {
 public:
  Arguments(const Pickle& pickle, const PickleNode& values, const std::string& where)
      : pickle_(pickle), values_(values), where_(where) {}

  [[noreturn]] void refuse(const char* name, std::string found, std::string expected) const {
    throw Error(Fault::model, {.what = "Megatron's arguments describe a model that we have not",
                               .where = where_ + ": args",
                               .found = fmt::format("{} = {}", name, found),
                               .expected = std::move(expected)});
  }
  const PickleNode* find(const char* name) const {
    const PickleNode* const found = pickle_.find(values_, name);
    return found && found->kind != Kind::none ? found : nullptr;
  }
  int64_t integer(const char* name) const {
    const PickleNode* const found = find(name);
    if (!found || found->kind != Kind::integer || !found->text.empty()) refuse(name, "no number", "a number");
    return found->integer;
  }
  int64_t integer(const char* name, int64_t fallback) const { return find(name) ? integer(name) : fallback; }
  double real(const char* name, double fallback) const {
    const PickleNode* const found = find(name);
    if (!found) return fallback;
    if (found->kind == Kind::integer) return static_cast<double>(found->integer);
    if (found->kind != Kind::real) refuse(name, "no number", "a number");
    return found->real;
  }
  bool flag(const char* name, bool fallback = false) const {
    const PickleNode* const found = find(name);
    return found && found->kind == Kind::boolean ? found->integer != 0 : fallback;
  }
  std::string text(const char* name, const char* fallback) const {
    const PickleNode* const found = find(name);
    return found && found->kind == Kind::text ? found->text : fallback;
  }
  void must_not_be(const char* name, bool value, const char* expected) const {
    if (value) refuse(name, "set", expected);
  }

 private:
  const Pickle& pickle_;
  const PickleNode& values_;
  const std::string& where_;
};

// As config.json would say it: what that cannot be is refused there.
nlohmann::json config_of(const Arguments& args) {
  const int64_t heads = args.integer("num_attention_heads");
  const bool rotary = args.text("position_embedding_type", "learned_absolute") == "rope" ||
                      args.flag("use_rotary_position_embeddings");
  const bool rms = args.text("normalization", "LayerNorm") == "RMSNorm", gated = args.flag("swiglu");
  args.must_not_be("num_experts", args.find("num_experts") != nullptr, "no experts");
  args.must_not_be("rotary_interleaved", args.flag("rotary_interleaved"), "halves that rotate");
  args.must_not_be("multi_latent_attention", args.flag("multi_latent_attention"), "plain attention");
  args.must_not_be("apply_layernorm_1p", args.flag("apply_layernorm_1p"), "norms around one");
  args.must_not_be("squared_relu", args.flag("squared_relu"), "swiglu, or gelu");
  if (rotary && args.real("rotary_percent", 1) != 1) args.refuse("rotary_percent", "below 1", "1");
  nlohmann::json config = {{"tie_word_embeddings", !args.flag("untie_embeddings_and_output_weights")},
                           {"vocab_size", args.integer("vocab_size", args.integer("padded_vocab_size", 0))},
                           {"initializer_range", args.real("init_method_std", 0.02)}};
  const int64_t layers = args.integer("num_layers"), hidden = args.integer("hidden_size"),
                ffn = args.integer("ffn_hidden_size", 4 * hidden),
                positions = args.integer("max_position_embeddings");
  if (!rotary && !rms && !gated && args.flag("add_bias_linear", true)) {
    config.update({{"model_type", "gpt2"},
                   {"n_layer", layers},
                   {"n_embd", hidden},
                   {"n_head", heads},
                   {"n_inner", ffn},
                   {"n_positions", positions},
                   {"layer_norm_epsilon", args.real("norm_epsilon", 1e-5)}});
    return config;
  }
  if (!rotary || !rms || !gated || args.flag("add_bias_linear", true))
    args.refuse("position_embedding_type, normalization, swiglu, add_bias_linear",
                fmt::format("{}, {}, {}, {}", rotary ? "rope" : "others", rms ? "RMSNorm" : "another", gated,
                            args.flag("add_bias_linear", true)),
                "all as in Llama, or all as in GPT-2");
  const bool norms = args.flag("qk_layernorm"), biases = args.flag("add_qkv_bias");
  config.update({{"model_type", norms    ? "qwen3"
                                : biases ? "qwen2"
                                         : "llama"},
                 {"num_hidden_layers", layers},
                 {"hidden_size", hidden},
                 {"num_attention_heads", heads},
                 {"num_key_value_heads",
                  args.flag("group_query_attention") ? args.integer("num_query_groups", heads) : heads},
                 {"head_dim", args.integer("kv_channels", hidden / std::max<int64_t>(1, heads))},
                 {"intermediate_size", ffn},
                 {"max_position_embeddings", positions},
                 {"rms_norm_eps", args.real("norm_epsilon", 1e-5)},
                 {"rope_theta", args.real("rotary_base", 10000)}});
  if (norms && biases) args.refuse("qk_layernorm", "set, as is add_qkv_bias", "one of them");
  if (args.flag("use_rope_scaling"))  // Llama 3's, whose other numbers Megatron has in its code
    config["rope_scaling"] = {{"rope_type", "llama3"},
                              {"factor", args.real("rope_scaling_factor", 8)},
                              {"low_freq_factor", 1.0},
                              {"high_freq_factor", 4.0},
                              {"original_max_position_embeddings", 8192}};
  return config;
}

}  // namespace

std::optional<HfModel> parse_megatron_args(const Pickle& pickle, const std::string& where) {
  // argparse.Namespace: an object with its attributes as state.
  const PickleNode* const args = pickle.find(pickle[pickle.root], "args");
  if (!args || args->kind != Kind::call || args->items.size() != 3) return std::nullopt;
  const PickleNode& callable = pickle[args->items[0]];
  const PickleNode& values = pickle[args->items[2]];
  if (callable.text != "argparse.Namespace" || values.kind != Kind::dict) return std::nullopt;
  return parse_hf_config(config_of(Arguments(pickle, values, where)), where + ": args");
}

std::string megatron_folder(FileSystem& files, const std::string& path) {
  const std::string tracker = fmt::format("{}/{}", path, kMegatronTracker);
  const auto info = files.info(tracker);
  if (!info || info->type != FileInfo::Type::file || info->bytes > 64 || files.is_link(tracker)) return path;
  std::string text = read_file(files, tracker);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  if (text == "release") return path + "/release";
  if (text.empty() || text.size() > 12 || text.find_first_not_of("0123456789") != std::string::npos)
    throw Error(Fault::model, {.what = "a file that should name an iteration does not",
                               .where = tracker,
                               .found = text,
                               .expected = "a number, or release"});
  return path + "/" + megatron_iteration(std::stoll(text));
}

std::string megatron_iteration(int64_t step) { return fmt::format("iter_{:0>7}", step); }

std::vector<Asset> make_megatron_files(const ModelSpec& spec, int64_t step) {
  const bool gpt2 = spec.arch == "gpt2";
  const RopeSpec& rope = spec.rope;
  if (rope.llama3_scaling &&
      (rope.low_freq_factor != 1 || rope.high_freq_factor != 4 || rope.original_positions != 8192))
    throw Error(Fault::usage,
                {.what = "Megatron has no such scaling of rotary positions",
                 .found = fmt::format("low {}, high {}, original positions {}", rope.low_freq_factor,
                                      rope.high_freq_factor, rope.original_positions),
                 .expected = "1, 4 and 8192, which it has in its code",
                 .fix = "--to dcp, and a configuration of your own"});
  PickleWriter pickle;
  pickle.empty_dict().mark().text("args").global("argparse", "Namespace").empty_tuple().make();
  pickle.empty_dict().mark();
  const auto integer = [&](const char* name, int64_t value) { pickle.text(name).integer(value); };
  const auto real = [&](const char* name, double value) { pickle.text(name).real(value); };
  const auto flag = [&](const char* name, bool value) { pickle.text(name).boolean(value); };
  const auto text = [&](const char* name, const char* value) { pickle.text(name).text(value); };
  integer("num_layers", spec.layers);
  integer("hidden_size", spec.hidden);
  integer("ffn_hidden_size", spec.ffn);
  integer("num_attention_heads", spec.heads);
  flag("group_query_attention", spec.kv_heads != spec.heads);
  integer("num_query_groups", spec.kv_heads);
  integer("kv_channels", spec.head_dim);
  integer("vocab_size", spec.vocab);
  integer("padded_vocab_size", spec.vocab);
  integer("max_position_embeddings", spec.max_positions);
  integer("seq_length", spec.max_positions);
  text("position_embedding_type", gpt2 ? "learned_absolute" : "rope");
  text("normalization", gpt2 ? "LayerNorm" : "RMSNorm");
  real("norm_epsilon", shortest(spec.norm_eps));
  real("init_method_std", shortest(spec.init_std));
  flag("swiglu", !gpt2);
  flag("add_bias_linear", gpt2);
  flag("add_qkv_bias", gpt2 || spec.qkv_bias);
  flag("qk_layernorm", spec.qk_norm);
  flag("untie_embeddings_and_output_weights", !spec.tied);
  integer("rotary_base", static_cast<int64_t>(spec.rope.theta));
  real("rotary_percent", 1);
  flag("rotary_interleaved", false);
  flag("use_rope_scaling", spec.rope.llama3_scaling);
  if (spec.rope.llama3_scaling) real("rope_scaling_factor", spec.rope.factor);
  pickle.text("num_experts").none();
  integer("tensor_model_parallel_size", 1);
  integer("pipeline_model_parallel_size", 1);
  integer("iteration", step);
  pickle.items().build();
  pickle.text("checkpoint_version").real(3).text("iteration").integer(step).items();
  return {{std::string(kCommonName), make_torch_archive(pickle.finish())},
          {"metadata.json",
           R"({"sharded_backend": "torch_dist", "sharded_backend_version": 1, "common_backend": "torch", )"
           R"("common_backend_version": 1})"}};
}

std::vector<std::pair<std::string, std::string>> make_megatron_extra_states(const ModelSpec& spec) {
  PickleWriter pickle;
  const std::string nothing =
      make_torch_archive(pickle.empty_list().mark().none().append().finish());  // [None]
  std::vector<std::pair<std::string, std::string>> states;
  for (const char* layer :
       {"self_attention.linear_qkv", "self_attention.linear_proj", "mlp.linear_fc1", "mlp.linear_fc2"})
    for (int64_t i = 0; i < spec.layers; ++i)
      states.emplace_back(fmt::format("decoder.layers.{}._extra_state/shard_{}_{}", layer, i, spec.layers),
                          nothing);
  return states;
}

namespace {

std::optional<Pickle> read_common(FileSystem& files, const std::string& folder) {
  const auto file = files.open_if_exists(fmt::format("{}/{}", folder, kCommonName), OpenMode::read_plain);
  if (!file) return std::nullopt;
  return read_torch_archive(*file).pickle;
}

}  // namespace

std::optional<HfModel> megatron_model(FileSystem& files, const std::string& folder) {
  const auto common = read_common(files, folder);
  if (!common) return std::nullopt;
  return parse_megatron_args(*common, fmt::format("{}/{}", folder, kCommonName));
}

std::optional<int64_t> megatron_step(FileSystem& files, const std::string& folder) {
  const auto common = read_common(files, folder);
  const PickleNode* const step = common ? common->find((*common)[common->root], "iteration") : nullptr;
  if (!step || step->kind != Kind::integer || !step->text.empty() || step->integer < 0) return std::nullopt;
  return step->integer;
}

}  // namespace strata
