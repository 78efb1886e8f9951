// SPDX-License-Identifier: Apache-2.0
#include "core/ops/embedding.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/ops/elementwise.h"
#include "core/ops/op_table.h"
#include "tests/support/matrix.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::expect_close;
using reference::Matrix;
using reference::to_matrix;

struct EmbeddingCase {
  int64_t tokens, rows, width;
  DType type;
};

std::vector<EmbeddingCase> embedding_cases() {
  std::vector<EmbeddingCase> all;
  for (const auto& [tokens, rows, width] : std::vector<std::array<int64_t, 3>>{{1, 1, 1},
                                                                               {5, 3, 17},
                                                                               {33, 1, 16},
                                                                               {64, 1000, 5},
                                                                               {200, 7, 40},
                                                                               {40, 50, 2100},
                                                                               {300, 300, 64},
                                                                               {2100, 700, 8},
                                                                               {40, 70000, 8}})
    for (const DType type : {DType::f32, DType::bf16}) all.push_back({tokens, rows, width, type});
  return all;
}

std::string text(const EmbeddingCase& c) {
  return fmt::format("tokens {} rows {} width {} {}", c.tokens, c.rows, c.width, name(c.type));
}

TEST(Embedding, ForwardPicksRows) {
  for (const EmbeddingCase& c : embedding_cases())
    for (const Write write : {Write::overwrite, Write::accumulate}) {
      TestTensors t;
      const auto make = [&](TestTensors& from) {
        return std::vector{from.normal(c.type, {c.rows, c.width}), from.random_ids(c.tokens, c.rows),
                           from.normal(c.type, {c.tokens, c.width})};
      };
      const auto in = make(t);
      const Matrix table = to_matrix(in[0]), ids = to_matrix(in[1]);
      Matrix expected = to_matrix(in[2]);
      for (int64_t i = 0; i < c.tokens; ++i)
        for (int64_t j = 0; j < c.width; ++j)
          expected(i, j) =
              table(static_cast<int64_t>(ids(0, i)), j) + (write == Write::accumulate ? expected(i, j) : 0);
      const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
        const auto args = make(tensors);
        embedding_forward(stream, {.table = args[0], .ids = args[1], .out = args[2], .write = write});
        return std::vector{args[2]};
      });
      expect_close(got[0], expected, {.sums = 1}, text(c));
    }
}

TEST(Embedding, BackwardAddsRowsInOrderOfTokens) {
  for (const EmbeddingCase& c : embedding_cases())
    for (const Write write : {Write::overwrite, Write::accumulate}) {
      TestTensors t;
      const auto make = [&](TestTensors& from) {
        return std::vector{from.random_ids(c.tokens, c.rows), from.normal(c.type, {c.tokens, c.width}),
                           from.normal(DType::f32, {c.rows * c.width}).view({c.rows, c.width})};
      };
      const auto in = make(t);
      // The order is part of the contract, so the reference adds in f32 and the bits are equal.
      const Matrix ids = to_matrix(in[0]), dout = to_matrix(in[1]);
      Matrix expected = to_matrix(in[2]);
      if (write == Write::overwrite) std::fill(expected.values.begin(), expected.values.end(), 0.0);
      for (int64_t i = 0; i < c.tokens; ++i)
        for (int64_t j = 0; j < c.width; ++j) {
          double& sum = expected(static_cast<int64_t>(ids(0, i)), j);
          sum = static_cast<float>(sum) + static_cast<float>(dout(i, j));
        }
      const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
        const auto args = make(tensors);
        const EmbeddingBackward backward{.ids = args[0], .dout = args[1], .dtable = args[2], .write = write};
        embedding_backward(stream, backward);
        EXPECT_LE(
            stream.scratch().high_water(),
            round_up(scratch_table(stream.device().kind).embedding_backward(backward), kTensorAlignment));
        return std::vector{args[2]};
      });
      EXPECT_EQ(to_matrix(got[0]).values, expected.values) << text(c);
    }
}

// The parts of a table give disjoint rows of the whole's result, zeros elsewhere, and their own rows of its
// gradient.
TEST(Embedding, PartsOfATable) {
  constexpr int64_t kTokens = 200, kIds = 21, kWidth = 40, kParts = 3, kRows = kIds / kParts;
  for (const Write write : {Write::overwrite, Write::accumulate}) {
    TestTensors t;
    const Matrix numbers = to_matrix(t.random_ids(kTokens, kIds));
    const Matrix before = to_matrix(t.normal(DType::bf16, {kTokens, kWidth}));
    // With the rows of ids [first, first + rows); 0 rows: with the whole table.
    const auto run = [&](int64_t first, int64_t rows) {
      return run_everywhere([&](Stream& stream, TestTensors& tensors) {
        const Tensor ids = tensors.random_ids(kTokens, kIds);
        const Tensor out = tensors.normal(DType::bf16, {kTokens, kWidth});
        const Tensor table = tensors.normal(DType::bf16, {kIds, kWidth});
        const Tensor dout = tensors.normal(DType::f32, {kTokens, kWidth});
        const Tensor dtable = tensors.normal(DType::f32, {kIds * kWidth}).view({kIds, kWidth});
        const int64_t held = rows == 0 ? kIds : rows, num_ids = rows == 0 ? 0 : kIds;
        // A part's rows alone, so that reading beyond them would show.
        const Tensor part = tensors.clone(table.slice(0, first, held));
        const Tensor dpart = dtable.slice(0, first, held);
        embedding_forward(
            stream,
            {.table = part, .ids = ids, .out = out, .write = write, .first_id = first, .num_ids = num_ids});
        embedding_backward(stream, {.ids = ids,
                                    .dout = dout,
                                    .dtable = dpart,
                                    .write = write,
                                    .first_id = first,
                                    .num_ids = num_ids});
        return std::vector{out, dpart};
      });
    };
    const auto all = run(0, 0);
    const Matrix whole = to_matrix(all[0]), dwhole = to_matrix(all[1]);
    for (int64_t part = 0; part < kParts; ++part) {
      const auto results = run(part * kRows, kRows);
      const Matrix got = to_matrix(results[0]), dgot = to_matrix(results[1]);
      for (int64_t i = 0; i < kTokens; ++i)
        for (int64_t j = 0; j < kWidth; ++j) {
          const bool here = static_cast<int64_t>(numbers(0, i)) / kRows == part;
          const double rest = write == Write::accumulate ? before(i, j) : 0;
          ASSERT_EQ(got(i, j), here ? whole(i, j) : rest) << part << " " << i << " " << j;
        }
      for (int64_t i = 0; i < kRows; ++i)
        for (int64_t j = 0; j < kWidth; ++j)
          ASSERT_EQ(dgot(i, j), dwhole(part * kRows + i, j)) << part << " " << i << " " << j;
    }
  }
  WorkerPool pool(1);
  CpuStream stream(pool);
  TestTensors t;
  EXPECT_THROW(embedding_forward(stream, {.table = t.normal(DType::f32, {kIds, 8}),
                                          .ids = t.ids({0, kIds}),
                                          .out = t.normal(DType::f32, {2, 8}),
                                          .num_ids = kIds}),
               Error);
}

TEST(Embedding, AnIdOutsideTheTableIsNamed) {
  for (const CpuStream::Mode mode : {CpuStream::Mode::inline_, CpuStream::Mode::threaded})
    for (const int32_t bad : {-1, 4}) {
      WorkerPool pool(1);
      CpuStream stream(pool, mode);
      TestTensors t;
      const Tensor table = t.normal(DType::f32, {4, 8}), out = t.normal(DType::f32, {3, 8});
      try {
        embedding_forward(stream, {.table = table, .ids = t.ids({0, bad, 2}), .out = out});
        stream.synchronize();
        ADD_FAILURE() << "no error";
      } catch (const Error& error) {
        EXPECT_EQ(error.fault(), Fault::data);
        EXPECT_EQ(error.report().found, fmt::format("id {} at token 1 of the micro-batch", bad));
        EXPECT_EQ(error.report().expected, "0 to 3");
      }
    }
  WorkerPool pool(1);
  CpuStream stream(pool);
  TestTensors t;
  const Tensor dtable = t.normal(DType::f32, {32}).view({4, 8});
  const Tensor before = t.clone(dtable);
  EXPECT_THROW(embedding_backward(
                   stream, {.ids = t.ids({0, 9}), .dout = t.normal(DType::f32, {2, 8}), .dtable = dtable}),
               Error);
  EXPECT_TRUE(bytes_of(dtable) == bytes_of(before)) << "nothing is added when an id is bad";
}

}  // namespace
}  // namespace strata
