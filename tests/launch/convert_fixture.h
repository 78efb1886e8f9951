// SPDX-License-Identifier: Apache-2.0
// `strata convert` run as users run it, in a folder of its own, and a small model of Hugging Face to give it.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "checkpoint/adapters/safetensors_sink.h"
#include "checkpoint/adapters/safetensors_source.h"
#include "checkpoint/convert.h"
#include "tests/checkpoint/adapters/memory_source.h"

namespace strata {

inline constexpr const char* kConfig = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 1, "hidden_size": 8,
  "num_attention_heads": 2, "intermediate_size": 12, "vocab_size": 300, "max_position_embeddings": 32,
  "tie_word_embeddings": true, "torch_dtype": "float32", "of_no_interest": 1
}
)";

class ConvertTest : public testing::Test {
 protected:
  struct Outcome {
    int code;
    std::string out, err;
  };
  std::string read(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(at(name), std::ios::binary).rdbuf();
    return text.str();
  }
  std::string at(const std::string& name) const { return folder_.path() + "/" + name; }
  Outcome run(const std::string& arguments) const {
    const int status = std::system(
        fmt::format("cd '{}' && '{}' {} >.out 2>.err </dev/null", folder_.path(), STRATA_PROGRAM, arguments)
            .c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read(".out"), read(".err")};
  }

  static std::vector<TensorSpec> tensors(bool with_head = false) {
    std::vector<TensorSpec> all;
    const auto add = [&](const char* name, Shape shape) { all.push_back({.name = name, .shape = shape}); };
    add("model.embed_tokens.weight", {300, 8});
    add("model.layers.0.input_layernorm.weight", {8});
    for (const char* name : {"q", "k", "v", "o"})
      add(fmt::format("model.layers.0.self_attn.{}_proj.weight", name).c_str(), {8, 8});
    add("model.layers.0.post_attention_layernorm.weight", {8});
    add("model.layers.0.mlp.gate_proj.weight", {12, 8});
    add("model.layers.0.mlp.up_proj.weight", {12, 8});
    add("model.layers.0.mlp.down_proj.weight", {8, 12});
    add("model.norm.weight", {8});
    if (with_head) add("lm_head.weight", {300, 8});
    return all;
  }
  void write_model(const std::string& name, const TensorSource& source, const char* config = kConfig) const {
    const auto files = make_posix_file_system();
    SafetensorsSink sink(*files, at(name), {.file_bytes = 4000});
    sink.declare({source.tensors().begin(), source.tensors().end()}, {}, {});
    WorkerPool pool(1);
    convert_tensors(source, sink, pool, nullptr);
    sink.commit();
    std::ofstream(at(name) + "/config.json") << config;
    std::ofstream(at(name) + "/tokenizer.json") << "{}";
  }
  std::map<std::string, std::vector<std::byte>> contents(const std::string& name) const {
    const auto files = make_posix_file_system();
    const SafetensorsSource source(*files, at(name));
    std::map<std::string, std::vector<std::byte>> all;
    for (size_t t = 0; t < source.tensors().size(); ++t)
      all[to_string(source.tensors()[t])] = read_whole(source, t);
    return all;
  }

  TemporaryFolder folder_;
};

}  // namespace strata
