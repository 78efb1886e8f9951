// SPDX-License-Identifier: Apache-2.0
// Weights of 8 bits as DeepSeek-V3, Qwen3 and transformers store them: beside a matrix "X" of e4m3 codes lies
// "X_scale_inv", a factor for every block of it. What config.json says of them, both ways.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/tensor/shape.h"

namespace strata {

// The rows and columns that share a factor; blocks at the edges are smaller.
struct ScaledBlocks {
  int64_t rows = 128, columns = 128;

  Shape factors(const Shape& matrix) const;  // [ceil(rows / 128), ceil(columns / 128)] of [rows, columns]
};

// The end of a factor's name. In spite of it a weight is code * factor.
inline constexpr std::string_view kScaleSuffix = "_scale_inv";

// `config`: all of config.json, `where`: its path. Throws Error(model) for weights that were quantized in
// another way.
ScaledBlocks parse_hf_quantization(const nlohmann::json& config, const std::string& where);

// "quantization_config" of blocks of 128x128; the head stays as it is.
nlohmann::ordered_json make_hf_quantization();
inline constexpr const char* kHfQuantization = "quantization_config";

}  // namespace strata
