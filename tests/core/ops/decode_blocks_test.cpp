// SPDX-License-Identifier: Apache-2.0
#include "core/ops/decode_blocks.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/tensor/bf16.h"
#include "tests/support/matrix.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

// What the format's own decoding gives, rounded once: on every device the same bits.
TEST(DecodeBlocks, IsTheFormatsOwnDecoding) {
  for (const WeightFormat format : {WeightFormat::int8, WeightFormat::nf4})
    for (const DType type : {DType::f32, DType::bf16})
      for (const int64_t blocks : {1, 3, 7, 300, 5000}) {
        const int64_t elements = blocks * kBlockElements;
        std::vector<float> values(static_cast<size_t>(elements));
        std::mt19937 random(static_cast<unsigned>(blocks));
        std::normal_distribution<float> normal(0, 0.05f);
        for (float& value : values) value = normal(random);
        std::vector<std::byte> bytes(static_cast<size_t>(encoded_bytes(format, elements)));
        encode_blocks(format, values.data(), elements, bytes.data());
        decode_blocks(format, bytes.data(), elements, values.data());
        const auto results = run_everywhere([&](Stream& stream, TestTensors& make) {
          std::vector<int32_t> words(bytes.size() / sizeof(int32_t));
          std::memcpy(words.data(), bytes.data(), bytes.size());
          const Tensor held = make.ids(std::move(words));
          const Tensor encoded = Tensor::borrow(held.raw(), DType::u8, {std::ssize(bytes)}, held.device());
          const Tensor out = make.uninitialised(type, {elements});
          decode_blocks(stream, {.blocks = encoded, .format = format, .out = out});
          stream.synchronize();
          return std::vector<Tensor>{out};
        });
        for (int64_t i = 0; i < elements; ++i) {
          const float expected = values[static_cast<size_t>(i)];
          if (type == DType::f32)
            ASSERT_EQ(results[0].data<const float>()[i], expected) << name(format) << " " << i;
          else
            ASSERT_EQ(results[0].data<const bf16>()[i].bits, to_bf16(expected).bits)
                << name(format) << " " << i;
        }
      }
}

}  // namespace
}  // namespace strata
