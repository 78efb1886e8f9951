// SPDX-License-Identifier: Apache-2.0
// Products with a weight that is kept in blocks are, to the bit, those with the elements it stands for.
#include <gtest/gtest.h>

#include <cstring>

#include "core/nn/linear_op.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

TEST(BlockWeight, ProductsAreThoseOfTheDecodedWeight) {
  for (const WeightFormat format : {WeightFormat::int8, WeightFormat::nf4})
    for (const DType type : {DType::f32, DType::bf16})
      for (const auto& [tokens, out, in] :
           std::vector<std::array<int64_t, 3>>{{1, 1, 64}, {5, 7, 128}, {33, 64, 192}}) {
        SCOPED_TRACE(fmt::format("{} {} [{}, {}, {}]", name(format), name(type), tokens, out, in));
        std::vector<float> values(static_cast<size_t>(out * in));
        std::mt19937 random(5);
        std::normal_distribution<float> normal(0, 0.05f);
        for (float& value : values) value = normal(random);
        std::vector<int32_t> words(static_cast<size_t>(encoded_bytes(format, out * in) / 4));
        auto* const bytes = reinterpret_cast<std::byte*>(words.data());
        encode_blocks(format, values.data(), out * in, bytes);
        decode_blocks(format, bytes, out * in, values.data());
        const std::vector<double> numbers(values.begin(), values.end());
        const auto results = run_everywhere(
            [&](Stream& stream, TestTensors& make) {
              const Tensor held = make.ids(words);
              const LinearWeight in_blocks{
                  .blocks = {Tensor::borrow(held.raw(), DType::u8, {std::ssize(words) * 4}, held.device()),
                             format,
                             {out, in}}};
              const LinearWeight plain{.weight = make.numbers(type, {out, in}, numbers)};
              const Tensor x = make.normal(type, {tokens, in}), dy = make.normal(type, {tokens, out});
              const Tensor bias = make.normal(type, {out}), add = make.normal(type, {tokens, out});
              std::vector<Tensor> made;
              for (const LinearWeight& weight : {in_blocks, plain}) {
                made.push_back(make.uninitialised(type, {tokens, out}));
                plain_linear_op().forward(stream, x, weight, bias.view({out}), add, made.back());
                made.push_back(make.uninitialised(type, {tokens, in}));
                plain_linear_op().backward_input(stream, dy, weight, made.back());
              }
              stream.synchronize();
              return made;
            },
            {isas_here().back()});
        expect_same_bits({results[0], results[1]}, {results[2], results[3]}, "in blocks and decoded");
      }
}

}  // namespace
}  // namespace strata
