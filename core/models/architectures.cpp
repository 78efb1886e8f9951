// SPDX-License-Identifier: Apache-2.0
#include "core/models/architectures.h"

#include <numeric>

#include "core/base/error.h"
#include "core/models/gpt2.h"
#include "core/models/llama.h"

namespace strata {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", "RMSNorm, rotary positions, grouped-query attention, SwiGLU (Llama, Qwen, SmolLM)", make_llama},
    {"gpt2", "LayerNorm, learned positions, GELU, biases everywhere (GPT-2)", make_gpt2},
};

void check_sizes(const ModelSpec& spec, const Split& split) {
  struct Size {
    const char* name;
    int64_t value;
  };
  for (const Size& size :
       {Size{"layers", spec.layers}, Size{"hidden", spec.hidden}, Size{"heads", spec.heads},
        Size{"kv_heads", spec.kv_heads}, Size{"head_dim", spec.head_dim}, Size{"ffn", spec.ffn},
        Size{"vocab", spec.vocab}, Size{"max_positions", spec.max_positions}})
    if (size.value <= 0)
      throw Error(Fault::usage, {.what = fmt::format("model.{} must be positive", size.name),
                                 .found = fmt::format("{}", size.value),
                                 .expected = "a size of at least 1"});
  if (spec.heads % spec.kv_heads != 0)
    throw Error(Fault::usage,
                {.what = "model.kv_heads must divide model.heads",
                 .found = fmt::format("{} % {} = {}", spec.heads, spec.kv_heads, spec.heads % spec.kv_heads),
                 .expected = "a remainder of 0"});
  for (const Size& size : {Size{"heads", spec.heads}, Size{"kv_heads", spec.kv_heads}, Size{"ffn", spec.ffn}})
    if (size.value % split.parts != 0)
      throw Error(Fault::usage,
                  {.what = fmt::format("parallel.tp must divide model.{}", size.name),
                   .found = fmt::format("{} % {} = {}", size.value, split.parts, size.value % split.parts),
                   .expected = "a remainder of 0",
                   .fix = fmt::format("choose parallel.tp among the divisors of {}",
                                      std::gcd(std::gcd(spec.heads, spec.kv_heads), spec.ffn))});
}

}  // namespace

std::span<const Architecture> architectures() { return kArchitectures; }

Model make_model(const ModelSpec& spec, DType compute, const Split& split) {
  check(compute == DType::f32 || compute == DType::bf16, "[model] compute type {}", name(compute));
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (spec.arch == architecture.name) {
      check_sizes(spec, split);
      Model model = architecture.make(spec, split);
      model.spec = spec;
      model.split = split;
      model.compute = compute;
      return model;
    }
    known += known.empty() ? architecture.name : std::string(", ") + architecture.name;
  }
  throw Error(Fault::usage, {.what = "unknown model architecture",
                             .found = "model.arch = \"" + spec.arch + "\"",
                             .expected = "one of " + known});
}

}  // namespace strata
