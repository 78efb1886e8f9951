// SPDX-License-Identifier: Apache-2.0
// Matrix products of every instruction set this machine has, against a product in double precision.
//
// Operands are windows into larger matrices filled with NaN, so that reading outside one shows in the result;
// outputs are windows whose surroundings must stay as they were.
#include "core/ops/matmul.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <random>

#include "core/device/meta_stream.h"
#include "core/ops/cpu/matmul.h"
#include "tests/support/reference_matmul.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

void set(const Tensor& x, int64_t i, int64_t j, float value) {
  const int64_t at = i * x.stride(0) + j * x.stride(1);
  if (x.dtype() == DType::bf16)
    x.data<bf16>()[at] = to_bf16(value);
  else
    x.data<float>()[at] = value;
}

enum class Along { rows, columns };  // the dim of unit stride is 1 or 0

// A [rows, columns] matrix amid `margin` elements of `outside` on every side; `value` gives the elements.
Tensor window(Allocator& allocator, DType dtype, int64_t rows, int64_t columns, Along along, float outside,
              const std::function<float(int64_t, int64_t)>& value) {
  constexpr int64_t kMargin = 3;
  if (along == Along::columns)
    return window(allocator, dtype, columns, rows, Along::rows, outside,
                  [&](int64_t i, int64_t j) { return value(j, i); })
        .t();
  const Tensor whole = make_tensor(allocator, dtype, {rows + 2 * kMargin, columns + 2 * kMargin}, "window");
  for (int64_t i = 0; i < whole.dim(0); ++i)
    for (int64_t j = 0; j < whole.dim(1); ++j) set(whole, i, j, outside);
  const Tensor inner = whole.slice(0, kMargin, rows).slice(1, kMargin, columns);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) set(inner, i, j, value(i, j));
  return inner;
}

// Whether the margin of a window still holds `outside`.
bool margin_intact(const Tensor& inner, float outside) {
  for (int64_t i = -3; i < inner.dim(0) + 3; ++i)
    for (int64_t j = -3; j < inner.dim(1) + 3; ++j) {
      if (i >= 0 && i < inner.dim(0) && j >= 0 && j < inner.dim(1)) continue;
      if (reference::element(inner, i, j) != outside) return false;
    }
  return true;
}

std::vector<uint32_t> bits(const Tensor& x) {
  std::vector<uint32_t> result;
  for (int64_t i = 0; i < x.dim(0); ++i)
    for (int64_t j = 0; j < x.dim(1); ++j)
      result.push_back(std::bit_cast<uint32_t>(static_cast<float>(reference::element(x, i, j))));
  return result;
}

struct Sizes {
  int64_t m, n, k;
};
// 1, odd, one less and more than a register tile (8 x 48, 6 x 16, 4 x 8), several panels, k in several steps,
// several blocks of rows and of panels.
const Sizes kSizes[] = {{1, 1, 1},      {1, 5, 3},        {2, 3, 1},      {3, 1, 2},     {5, 7, 4},
                        {4, 8, 16},     {6, 16, 17},      {7, 47, 5},     {8, 48, 16},   {9, 49, 33},
                        {8, 96, 64},    {17, 50, 31},     {33, 15, 130},  {65, 97, 129}, {3, 20, 0},
                        {3, 130, 1501}, {140, 100, 1029}, {20, 700, 1100}};

// What an output and an addend hold: different at every place nearby, so that a wrong place shows.
float before(int64_t i, int64_t j) { return static_cast<float>((5 * i + j) % 17 - 8); }
float addend(int64_t i, int64_t j) { return static_cast<float>((3 * i + 2 * j) % 19 - 9); }

class MatmulTest : public testing::Test {
 protected:
  PackedMatrix packed(Stream& stream, const Tensor& b) {
    const int64_t bytes = packed_bytes(stream, b.dtype(), b.dim(0), b.dim(1));
    const PackedMatrix result{make_tensor(*allocator, DType::u8, {bytes}, "packed"), b.dtype(), b.dim(0),
                              b.dim(1)};
    pack(stream, b, result);
    return result;
  }

  // A matrix of small integers: products of up to 2^16 of them are exact in f32, in any order.
  Tensor integers(DType dtype, int64_t rows, int64_t columns, Along along) {
    std::uniform_int_distribution<int> draw(-8, 8);
    return window(*allocator, dtype, rows, columns, along, kNan,
                  [&](int64_t, int64_t) { return static_cast<float>(draw(random)); });
  }
  Tensor normals(DType dtype, int64_t rows, int64_t columns, Along along) {
    std::normal_distribution<float> draw;
    return window(*allocator, dtype, rows, columns, along, kNan,
                  [&](int64_t, int64_t) { return draw(random); });
  }
  Tensor output(DType dtype, int64_t rows, int64_t columns, float value) {
    return window(*allocator, dtype, rows, columns, Along::rows, 77, [&](int64_t, int64_t) { return value; });
  }
  Tensor row(DType dtype, int64_t columns) { return make_tensor(*allocator, dtype, {columns}, "row"); }

  WorkerPool pool{2};
  CpuStream stream{pool};
  std::shared_ptr<Allocator> allocator = make_cpu_allocator();
  std::mt19937 random{7};
};

// Both layouts of a weight from one read are those of two packings, to the byte: of odd shapes, of several
// tiles, and of outputs so large that they are written past the caches (512 x 1400; the last of them not
// aligned for that).
TEST_F(MatmulTest, PackingBothLayoutsIsPackingTwice) {
  const std::pair<int64_t, int64_t> shapes[] = {{1, 1},  {1, 9},    {5, 3},     {48, 48},    {47, 97},
                                                {49, 7}, {100, 51}, {97, 1351}, {512, 1400}, {513, 1401}};
  WorkerPool three(3);
  for (const Isa isa : isas_here())
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const auto& [out, in] : shapes) {
        CpuStream other(three, CpuStream::Mode::inline_, isa);
        const Tensor weight = normals(dtype, out, in, Along::columns);
        const auto bytes_of = [](const PackedMatrix& packed) {
          const auto bytes = packed.bytes.span<const uint8_t>();
          return std::vector<uint8_t>(bytes.begin(), bytes.end());
        };
        const PackedMatrix plain = packed(other, weight), transposed = packed(other, weight.t());
        for (const int64_t shift : {0, 16}) {
          const auto space_for = [&](const PackedMatrix& like) {
            const int64_t bytes = like.bytes.numel();
            const Tensor whole = make_tensor(*allocator, DType::u8, {bytes + 128}, "packed");
            std::fill_n(whole.data<uint8_t>(), bytes + 128, uint8_t{0xA5});
            return std::pair(whole, PackedMatrix{whole.slice(0, shift, bytes), dtype, like.k, like.n});
          };
          const auto [whole_plain, both_plain] = space_for(plain);
          const auto [whole_transposed, both_transposed] = space_for(transposed);
          pack_both(other, weight, both_transposed, both_plain);
          const std::string what = fmt::format("{} {} {} x {} at {}", name(isa), name(dtype), out, in, shift);
          EXPECT_TRUE(bytes_of(both_plain) == bytes_of(plain)) << what;
          EXPECT_TRUE(bytes_of(both_transposed) == bytes_of(transposed)) << what << ", transposed";
          for (const Tensor& whole : {whole_plain, whole_transposed})
            for (int64_t i = whole.numel() - 128 + shift; i < whole.numel(); ++i)
              ASSERT_EQ(whole.data<uint8_t>()[i], 0xA5) << what << ": written beyond the end";
        }
      }
}

// What a case asks the product to do besides multiplying.
struct Finish {
  const char* name;
  bool bf16_out = false;  // else f32
  std::optional<DType> bias;
  enum { no_add, other, out_itself } add = no_add;
  Write write = Write::overwrite;
};
const Finish kFinishes[] = {
    {.name = "plain", .bias = {}},
    {.name = "accumulate", .bias = {}, .write = Write::accumulate},
    {.name = "bias", .bias = DType::f32},
    {.name = "bf16 bias, add", .bias = DType::bf16, .add = Finish::other},
    {.name = "add out itself", .bias = {}, .add = Finish::out_itself},
    {.name = "bias, add, accumulate", .bias = DType::f32, .add = Finish::other, .write = Write::accumulate},
    {.name = "bf16", .bf16_out = true, .bias = {}},
    {.name = "bf16, bf16 bias, add", .bf16_out = true, .bias = DType::bf16, .add = Finish::other},
    {.name = "bf16, bias, add out itself", .bf16_out = true, .bias = DType::f32, .add = Finish::out_itself},
};

// Integers leave no room for rounding: everything must be exact, in every instruction set, orientation and
// finish.
TEST_F(MatmulTest, IsExactOnIntegers) {
  for (const Sizes& s : kSizes)
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Tensor a_rows = integers(dtype, s.m, s.k, Along::rows),
                   b_rows = integers(dtype, s.k, s.n, Along::rows);
      const auto copy = [&](const Tensor& x) {
        return window(*allocator, dtype, x.dim(0), x.dim(1), Along::columns, kNan,
                      [&](int64_t i, int64_t j) { return static_cast<float>(reference::element(x, i, j)); });
      };
      const Tensor a_columns = copy(a_rows), b_columns = copy(b_rows);
      const reference::Product expected = reference::matmul(a_rows, b_rows);
      for (const Isa isa : isas_here()) {
        CpuStream stream(pool, CpuStream::Mode::inline_, isa);
        const PackedMatrix b_packed = packed(stream, b_columns);
        int variant = 0;
        for (const Tensor& a : {a_rows, a_columns})
          for (const Tensor& b : {b_rows, b_columns, Tensor()})
            for (const Finish& f : kFinishes) {
              if ((dtype == DType::f32 && (f.bf16_out || f.bias == DType::bf16))) continue;
              // All finishes for one orientation and one finish for the others, which share no code with it.
              if (variant++ >= static_cast<int>(std::size(kFinishes)) && variant % 5 != 0 &&
                  s.m * s.n * s.k > 100000)
                continue;
              SCOPED_TRACE(fmt::format("{} [{}, {}, {}] {} a.stride {} {} {}", name(isa), s.m, s.n, s.k,
                                       name(dtype), a.stride(1),
                                       b ? b.stride(1) == 1 ? "b" : "b.t" : "packed b", f.name));
              const DType out_type = f.bf16_out ? DType::bf16 : DType::f32;
              const Tensor out = window(*allocator, out_type, s.m, s.n, Along::rows, 77, before);
              Matmul args{
                  .a = a, .b = b, .packed_b = {}, .out = out, .bias = {}, .add = {}, .write = f.write};
              if (!b) args.packed_b = b_packed;
              if (f.bias) {
                args.bias = row(*f.bias, s.n);
                for (int64_t j = 0; j < s.n; ++j)
                  set(args.bias.view({1, s.n}), 0, j, static_cast<float>(j % 13 - 6));
              }
              // Of another row stride than out.
              if (f.add == Finish::other)
                args.add =
                    window(*allocator, out_type, s.m, s.n + 2, Along::rows, kNan, addend).slice(1, 0, s.n);
              if (f.add == Finish::out_itself) args.add = out;
              matmul(stream, args);

              int wrong = 0;
              for (int64_t i = 0; i < s.m; ++i)
                for (int64_t j = 0; j < s.n; ++j) {
                  double want = expected.at(i, j) + (f.bias ? static_cast<double>(j % 13 - 6) : 0);
                  want += f.add == Finish::other        ? addend(i, j)
                          : f.add == Finish::out_itself ? before(i, j)
                                                        : 0;
                  want += f.write == Write::accumulate ? before(i, j) : 0;
                  if (f.bf16_out) want = to_float(to_bf16(static_cast<float>(want)));
                  const double got = reference::element(out, i, j);
                  if (got != want && wrong++ == 0)
                    ADD_FAILURE() << "at " << i << ", " << j << ": " << got << ", not " << want;
                }
              EXPECT_EQ(wrong, 0) << "elements are wrong";
              EXPECT_TRUE(margin_intact(out, 77));
            }
      }
    }
}

// Each of the k additions and (in f32) products rounds by at most 2^-24 of a partial sum, which is at most
// the sum of the magnitudes; vdpbf16ps rounds in the same way. A bf16 output adds a relative 2^-8.
TEST_F(MatmulTest, RoundsWithinItsFormat) {
  for (const Sizes& s : kSizes)
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Tensor a = normals(dtype, s.m, s.k, Along::rows), b = normals(dtype, s.k, s.n, Along::columns);
      const reference::Product expected = reference::matmul(a, b);
      for (const Isa isa : isas_here())
        for (const DType out_type : {DType::f32, dtype}) {
          SCOPED_TRACE(fmt::format("{} [{}, {}, {}] {}", name(isa), s.m, s.n, s.k, name(dtype)));
          CpuStream stream(pool, CpuStream::Mode::inline_, isa);
          const Tensor out = output(out_type, s.m, s.n, kNan);
          matmul(stream, {.a = a, .b = b, .packed_b = {}, .out = out, .bias = {}, .add = {}});
          double worst = 0;
          for (int64_t i = 0; i < s.m; ++i)
            for (int64_t j = 0; j < s.n; ++j) {
              const double bound = static_cast<double>(s.k + 1) * 0x1p-24 * expected.magnitude_at(i, j) +
                                   (out_type == DType::bf16 ? 0x1p-8 * std::fabs(expected.at(i, j)) : 0);
              const double error = std::fabs(reference::element(out, i, j) - expected.at(i, j));
              // Written so that NaN fails.
              if (!(error <= bound)) worst = std::max(worst, std::isnan(error) ? 1e300 : error / bound);
            }
          EXPECT_EQ(worst, 0) << "times the bound";
        }
    }
}

TEST_F(MatmulTest, ARowIsTheSameAloneAndInAnyBatch) {
  constexpr int64_t kRows = 133, kColumns = 101, kInner = 1300;
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Along along : {Along::rows, Along::columns}) {
      const Tensor a = normals(dtype, kRows, kInner, along),
                   b = normals(dtype, kInner, kColumns, Along::rows);
      for (const Isa isa : isas_here()) {
        CpuStream stream(pool, CpuStream::Mode::inline_, isa);
        const Tensor whole = output(DType::f32, kRows, kColumns, 0);
        matmul(stream, {.a = a, .b = b, .packed_b = {}, .out = whole, .bias = {}, .add = {}});
        for (const auto& [first, count] :
             {std::pair<int64_t, int64_t>{0, 1}, {5, 1}, {132, 1}, {3, 2}, {7, 11}, {30, 96}}) {
          const Tensor part = output(DType::f32, count, kColumns, 0);
          matmul(stream,
                 {.a = a.slice(0, first, count), .b = b, .packed_b = {}, .out = part, .bias = {}, .add = {}});
          EXPECT_EQ(bits(part), bits(whole.slice(0, first, count))) << name(isa) << " rows from " << first;
        }
      }
    }
}

TEST_F(MatmulTest, BitsDoNotDependOnThreadsOrStreamOrPacking) {
  for (const DType type : {DType::f32, DType::bf16}) {
    const Tensor a = normals(type, 150, 1200, Along::columns), b = normals(type, 1200, 333, Along::rows);
    for (const Isa isa : isas_here()) {
      CpuStream stream(pool, CpuStream::Mode::inline_, isa);
      std::vector<std::vector<uint32_t>> results;
      for (const int threads : {1, 2, 5}) {
        WorkerPool some(threads);
        for (const auto mode : {CpuStream::Mode::inline_, CpuStream::Mode::threaded}) {
          CpuStream other(some, mode, isa);
          const Tensor out = output(DType::f32, 150, 333, 0);
          matmul(other, {.a = a, .b = b, .packed_b = {}, .out = out, .bias = {}, .add = {}});
          other.synchronize();
          results.push_back(bits(out));
        }
      }
      const Tensor out = output(DType::f32, 150, 333, 0);
      matmul(stream, {.a = a, .b = {}, .packed_b = packed(stream, b), .out = out, .bias = {}, .add = {}});
      results.push_back(bits(out));
      for (const auto& result : results) EXPECT_EQ(result, results[0]) << name(isa);
    }
  }
}

TEST_F(MatmulTest, TakesTheScratchThatIsCounted) {
  for (const Sizes& s : kSizes)
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const Along along : {Along::rows, Along::columns}) {
        const Tensor a = integers(dtype, s.m, s.k, along), b = integers(dtype, s.k, s.n, Along::rows);
        const Tensor out = output(DType::f32, s.m, s.n, 0);
        for (const bool pack_first : {false, true})
          for (const Isa isa : isas_here()) {
            CpuStream stream(pool, CpuStream::Mode::inline_, isa);
            Matmul args{.a = a, .b = b, .packed_b = {}, .out = out, .bias = {}, .add = {}};
            if (pack_first) {
              args.packed_b = packed(stream, b);
              args.b = {};
            }
            stream.scratch().reset_high_water();
            matmul(stream, args);
            EXPECT_EQ(stream.scratch().high_water(), cpu::matmul_scratch_bytes(isa, args));
          }
      }
}

// Padding of panels and the empty half of a last pair must not let a non-finite value spread.
TEST_F(MatmulTest, NonFiniteValuesStayInTheirRowAndColumn) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Along along : {Along::rows, Along::columns})
      for (const Isa isa : isas_here()) {
        SCOPED_TRACE(name(isa));
        CpuStream stream(pool, CpuStream::Mode::inline_, isa);
        const Tensor a = integers(dtype, 11, 7, along), b = integers(dtype, 7, 53, along);
        set(a, 4, 6, inf);
        set(b, 6, 50, kNan);
        for (int64_t j = 0; j < 53; ++j)
          if (j != 50) set(b, 6, j, 1);
        for (const DType out_type : {DType::f32, dtype}) {
          const Tensor out = output(out_type, 11, 53, 0);
          matmul(stream, {.a = a, .b = b, .packed_b = {}, .out = out, .bias = {}, .add = {}});
          for (int64_t i = 0; i < 11; ++i)
            for (int64_t j = 0; j < 53; ++j) {
              const double got = reference::element(out, i, j);
              if (j == 50)
                EXPECT_TRUE(std::isnan(got)) << i;
              else if (i == 4)
                EXPECT_EQ(got, inf) << j;
              else
                EXPECT_TRUE(std::isfinite(got)) << i << " " << j;
            }
        }
      }
}

// f32 keeps denormals. vdpbf16ps does not: it takes denormal operands, and gives denormal products, as zero.
TEST_F(MatmulTest, DenormalsAreKeptInF32AndLostWithinBoundsInBf16) {
  const Tensor one = window(*allocator, DType::f32, 1, 1, Along::rows, kNan, [](auto, auto) { return 1.0f; });
  const Tensor tiny =
      window(*allocator, DType::f32, 1, 1, Along::rows, kNan, [](auto, auto) { return 0x1.8p-130f; });
  const Tensor one16 =
      window(*allocator, DType::bf16, 1, 1, Along::rows, kNan, [](auto, auto) { return 1.0f; });
  const Tensor tiny16 =
      window(*allocator, DType::bf16, 1, 1, Along::rows, kNan, [](auto, auto) { return 0x1.8p-130f; });
  for (const Isa isa : isas_here()) {
    CpuStream stream(pool, CpuStream::Mode::inline_, isa);
    const Tensor out = output(DType::f32, 1, 1, 9);
    matmul(stream, {.a = tiny, .b = one, .packed_b = {}, .out = out, .bias = {}, .add = {}});
    EXPECT_EQ(reference::element(out, 0, 0), 0x1.8p-130) << name(isa);
    matmul(stream, {.a = tiny16, .b = one16, .packed_b = {}, .out = out, .bias = {}, .add = {}});
    EXPECT_EQ(reference::element(out, 0, 0), isa == Isa::avx512_bf16 ? 0 : 0x1.8p-130) << name(isa);
  }
}

// The front end: one message for every way to get a call wrong.
class MatmulCheckTest : public MatmulTest {
 protected:
  Tensor matrix(DType dtype, int64_t rows, int64_t columns) {
    return make_tensor(*allocator, dtype, {rows, columns}, "x");
  }

  Matmul good() {
    return {.a = matrix(DType::bf16, 4, 6),
            .b = matrix(DType::bf16, 6, 10),
            .packed_b = {},
            .out = matrix(DType::f32, 4, 10),
            .bias = {},
            .add = {}};
  }
  void expect(const std::string& message, const std::function<void(Matmul&)>& spoil) {
    Matmul args = good();
    spoil(args);
    try {
      matmul(stream, args);
      ADD_FAILURE() << "not refused; expected: " << message;
    } catch (const ContractError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(message));
    }
  }
};

TEST_F(MatmulCheckTest, RefusesWhatDoesNotFit) {
  EXPECT_NO_THROW(matmul(stream, good()));
  expect("[matmul] a and out must be present", [](Matmul& p) { p.a = {}; });
  expect("[matmul] give either b or packed_b", [](Matmul& p) { p.b = {}; });
  expect("[matmul] a must be a matrix, got [24]", [](Matmul& p) { p.a = p.a.view({24}); });
  expect("[matmul] b must be f32 or bf16, got i32", [&](Matmul& p) { p.b = matrix(DType::i32, 6, 10); });
  expect("[matmul] inner dims differ: a is [4, 6], b is [7, 10]",
         [&](Matmul& p) { p.b = matrix(DType::bf16, 7, 10); });
  expect("[matmul] a is bf16, b is f32", [&](Matmul& p) { p.b = matrix(DType::f32, 6, 10); });
  expect("[matmul] out is [4, 9], the product is [4, 10]",
         [&](Matmul& p) { p.out = matrix(DType::f32, 4, 9); });
  expect("[matmul] out [4, 10] must have unit stride in dim 1, has 4",
         [&](Matmul& p) { p.out = matrix(DType::f32, 10, 4).t(); });
  expect("[matmul] out must be f32 or bf16 like a, got u8",
         [&](Matmul& p) { p.out = matrix(DType::u8, 4, 10); });
  expect("[matmul] only an f32 out accumulates, got bf16", [&](Matmul& p) {
    p.out = matrix(DType::bf16, 4, 10);
    p.write = Write::accumulate;
  });
  expect("[matmul] bias must be contiguous [10], got [4]", [&](Matmul& p) { p.bias = row(DType::f32, 4); });
  expect("[matmul] bias must be f32 or bf16 like a, got i64",
         [&](Matmul& p) { p.bias = row(DType::i64, 10); });
  expect("[matmul] add is [10, 4], the product is [4, 10]",
         [&](Matmul& p) { p.add = matrix(DType::f32, 10, 4); });
  expect("[matmul] add must be f32 like out, got bf16",
         [&](Matmul& p) { p.add = matrix(DType::bf16, 4, 10); });
  expect("[matmul] a is on meta, the stream on cpu", [&](Matmul& p) {
    p.a = make_tensor(*make_meta_allocator(), DType::bf16, {4, 6}, "x");
  });
  expect("[matmul] packed b [6, 10] bf16 takes", [&](Matmul& p) {
    p.b = {};
    p.packed_b = {make_tensor(*allocator, DType::u8, {5}, "x"), DType::bf16, 6, 10};
  });
}

TEST_F(MatmulCheckTest, PackingChecksItsOperands) {
  const Tensor b = matrix(DType::f32, 6, 10);
  const int64_t bytes = packed_bytes(stream, DType::f32, 6, 10);
  const Tensor space = make_tensor(*allocator, DType::u8, {bytes}, "packed");
  EXPECT_NO_THROW(pack(stream, b, {space, DType::f32, 6, 10}));
  EXPECT_THROW(pack(stream, b, {space, DType::f32, 10, 6}), ContractError);
  EXPECT_THROW(pack(stream, b, {space, DType::bf16, 6, 10}), ContractError);
  EXPECT_THROW(pack(stream, b, {space.slice(0, 0, bytes - 1), DType::f32, 6, 10}), ContractError);
  const int64_t other_bytes = packed_bytes(stream, DType::f32, 10, 6);
  const Tensor other = make_tensor(*allocator, DType::u8, {other_bytes}, "packed");
  EXPECT_NO_THROW(pack_both(stream, b, {other, DType::f32, 10, 6}, {space, DType::f32, 6, 10}));
  EXPECT_THROW(pack_both(stream, b, {space, DType::f32, 6, 10}, {other, DType::f32, 10, 6}), ContractError);

  MetaStream meta(stream.device());
  EXPECT_EQ(packed_bytes(meta, DType::f32, 6, 10), bytes)
      << "a plan counts the layout of the device it is for";
}

}  // namespace
}  // namespace strata
