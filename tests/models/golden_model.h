// SPDX-License-Identifier: Apache-2.0
// The golden models of tests/golden/make_models.py: what PyTorch computed, in double precision, for small
// models.
#pragma once

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/nn/batch.h"
#include "core/nn/model.h"

namespace strata {

struct GoldenModel {
  explicit GoldenModel(const std::string& name) {
    const std::string stem = std::string(STRATA_SOURCE_DIR) + "/tests/golden/models/" + name;
    std::ifstream text(stem + ".json"), bytes(stem + ".bin", std::ios::binary);
    check(text.good() && bytes.good(), "[golden] {}.json and .bin are needed", stem);
    json = nlohmann::json::parse(text);
    for (const auto& entry : json.at("entries")) {
      int64_t count = 1;
      for (const int64_t extent : entry.at("shape")) count *= extent;
      std::vector<float>& values = tensors[entry.at("name")];
      values.resize(static_cast<size_t>(count));
      bytes.read(reinterpret_cast<char*>(values.data()), count * 4);
    }
    check(bytes.good(), "[golden] {}.bin is too short", stem);
  }

  ModelSpec spec() const {
    const auto& c = json.at("config");
    ModelSpec spec{.arch = c.at("arch"),
                   .layers = c.at("layers"),
                   .hidden = c.at("hidden"),
                   .heads = c.at("heads"),
                   .kv_heads = c.at("kv_heads"),
                   .head_dim = c.at("head_dim"),
                   .ffn = c.at("ffn"),
                   .vocab = c.at("vocab"),
                   .max_positions = c.at("max_positions"),
                   .norm_eps = c.at("norm_eps"),
                   .tied = c.at("tied"),
                   .qk_norm = c.at("qk_norm"),
                   .qkv_bias = c.at("qkv_bias"),
                   .rope = {.theta = c.at("rope_theta")}};
    if (const auto& r = c.at("rope_scaling"); !r.is_null())
      spec.rope = {.theta = c.at("rope_theta"),
                   .llama3_scaling = true,
                   .factor = r.at("factor"),
                   .low_freq_factor = r.at("low"),
                   .high_freq_factor = r.at("high"),
                   .original_positions = r.at("original")};
    return spec;
  }

  // Rows [first, first + count) of the golden batch.
  Batch batch(int64_t first, int64_t count) const {
    const int64_t n = json.at("seq_len");
    Batch batch{.rows = count, .seq_len = n};
    auto rows = [&](const char* key) {
      const auto all = json.at(key).get<std::vector<int32_t>>();
      return std::vector<int32_t>(all.begin() + first * n, all.begin() + (first + count) * n);
    };
    batch.tokens = rows("ids");
    batch.targets = rows("targets");
    batch.positions = rows("positions");
    for (int64_t row = 0; row < count; ++row) {
      const auto bounds = json.at("segments")[static_cast<size_t>(first + row)].get<std::vector<int32_t>>();
      for (size_t i = 0; i + 1 < bounds.size(); ++i)
        batch.segment_begin.push_back(static_cast<int32_t>(row * n) + bounds[i]);
    }
    batch.segment_begin.push_back(static_cast<int32_t>(count * n));
    for (const int32_t target : batch.targets) batch.num_targets += target != kNoTarget;
    return batch;
  }

  nlohmann::json json;
  std::map<std::string, std::vector<float>> tensors;
};

}  // namespace strata
