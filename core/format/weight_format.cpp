// SPDX-License-Identifier: Apache-2.0
#include "core/format/weight_format.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "core/format/int8_blocks.h"
#include "core/format/nf4.h"

namespace strata {
namespace {

static_assert(nf4::kElements == kBlockElements && int8_blocks::kElements == kBlockElements);
constexpr int64_t kFactorBytes = sizeof(float);

float largest_magnitude(const float* values) {
  float largest = 0;
  for (int64_t i = 0; i < kBlockElements; ++i) {
    if (!std::isfinite(values[i]))
      throw Error(Fault::numeric,
                  {.what = "a weight that is not finite has no code in 4 or 8 bits",
                   .found = fmt::format("{}", values[i]),
                   .fix = "keep the weights as they are: adapter.base_weights = \"compute\""});
    largest = std::max(largest, std::abs(values[i]));
  }
  return largest;
}

void encode_nf4(const float* values, uint8_t* codes, float largest) {
  if (largest == 0) largest = 1;  // all zeros
  for (int i = 0; i < nf4::kElements; i += 2)
    codes[i / 2] =
        static_cast<uint8_t>(nf4::code(values[i] / largest) << 4 | nf4::code(values[i + 1] / largest));
}

void encode_int8(const float* values, uint8_t* codes, float factor) {
  for (int i = 0; i < int8_blocks::kElements; ++i)
    codes[i] = static_cast<uint8_t>(factor > 0 ? int8_blocks::code(values[i] / factor) : 0);
}

}  // namespace

std::string_view name(WeightFormat format) {
  switch (format) {
    case WeightFormat::none:
      return "compute";
    case WeightFormat::int8:
      return "int8";
    case WeightFormat::nf4:
      return "nf4";
  }
  return "";
}

int64_t block_bytes(WeightFormat format) {
  check(format != WeightFormat::none, "[weight_format] plain elements have no blocks");
  return kFactorBytes + (format == WeightFormat::nf4 ? nf4::kCodeBytes : int8_blocks::kCodeBytes);
}

void encode_blocks(WeightFormat format, const float* values, int64_t elements, std::byte* blocks) {
  const int64_t step = block_bytes(format), count = div_exact(elements, kBlockElements);
  for (int64_t b = 0; b < count; ++b, values += kBlockElements, blocks += step) {
    const float largest = largest_magnitude(values);
    const float factor = format == WeightFormat::nf4 ? largest : largest / 127;
    std::memcpy(blocks, &factor, sizeof(factor));
    auto* const codes = reinterpret_cast<uint8_t*>(blocks + kFactorBytes);
    format == WeightFormat::nf4 ? encode_nf4(values, codes, largest) : encode_int8(values, codes, factor);
  }
}

void decode_blocks(WeightFormat format, const std::byte* blocks, int64_t elements, float* values) {
  const int64_t step = block_bytes(format), count = div_exact(elements, kBlockElements);
  for (int64_t b = 0; b < count; ++b, values += kBlockElements, blocks += step) {
    float factor = 0;
    std::memcpy(&factor, blocks, sizeof(factor));
    const auto* const codes = reinterpret_cast<const uint8_t*>(blocks + kFactorBytes);
    if (format == WeightFormat::nf4)
      for (int i = 0; i < kBlockElements; ++i) values[i] = nf4::decode(codes, i, factor);
    else
      for (int i = 0; i < kBlockElements; ++i) values[i] = int8_blocks::decode(codes, i, factor);
  }
}

}  // namespace strata
