// SPDX-License-Identifier: Apache-2.0
// Keys: transformers, quantizers/quantizer_finegrained_fp8.py and FineGrainedFP8Config; DeepSeek-V3's
// config.json.
#include "checkpoint/adapters/hf_quantization.h"

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {

using nlohmann::json;

Shape ScaledBlocks::factors(const Shape& matrix) const {
  return {div_up(matrix[0], rows), div_up(matrix[1], columns)};
}

ScaledBlocks parse_hf_quantization(const json& config, const std::string& where) {
  const json said = config.is_object() ? config.value(kHfQuantization, json()) : json();
  const auto refuse = [&](const std::string& key, const std::string& expected) {
    throw Error(
        Fault::model,
        {.what = "the model's weights are quantized in a way that we do not read",
         .where = fmt::format("{}: {}{}", where, kHfQuantization, key.empty() ? "" : "." + key),
         .found = key.empty() ? said.dump().substr(0, 100) : said.value(key, json()).dump().substr(0, 100),
         .expected = expected,
         .fix = "take the model's folder in bf16, or one whose weights are e4m3 with weight_scale_inv"});
  };
  if (!said.is_object()) refuse("", "an object that says how the 8-bit weights are scaled");
  if (said.value("quant_method", json()) != "fp8") refuse("quant_method", "\"fp8\"");
  if (said.contains("fmt") && said["fmt"] != "e4m3") refuse("fmt", "\"e4m3\"");
  const json size = said.value("weight_block_size", json());
  constexpr int64_t kMost = 1 << 20;
  const auto good = [](const json& extent) {
    return extent.is_number_integer() && extent >= 1 && extent <= kMost;
  };
  if (!size.is_array() || size.size() != 2 || !good(size[0]) || !good(size[1]))
    refuse("weight_block_size", "[rows, columns] of a block, such as [128, 128]");
  return {.rows = size[0], .columns = size[1]};
}

nlohmann::ordered_json make_hf_quantization() {
  const ScaledBlocks blocks;
  return {{"quant_method", "fp8"},
          {"fmt", "e4m3"},
          {"activation_scheme", "dynamic"},
          {"weight_block_size", {blocks.rows, blocks.columns}},
          {"modules_to_not_convert", {"lm_head"}}};
}

}  // namespace strata
