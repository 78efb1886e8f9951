// SPDX-License-Identifier: Apache-2.0
#include "tests/support/test_tensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "core/tensor/bf16.h"

namespace strata {
namespace {

constexpr int64_t kMargin = 3, kGap = 5;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int32_t kIntMargin = -987654321;

void set_flat(const Tensor& x, int64_t at, float value) {
  if (x.dtype() == DType::bf16)
    x.data<bf16>()[at] = to_bf16(value);
  else
    x.data<float>()[at] = value;
}

}  // namespace

void set_element(const Tensor& x, int64_t row, int64_t column, float value) {
  set_flat(x, x.rank() == 2 ? row * x.stride(0) + column : column, value);
}

Tensor TestTensors::window(DType dtype, Shape shape) {
  const int64_t rows = shape.rank() == 2 ? shape[0] : 1, cols = shape[-1];
  const int64_t gap = shape.rank() == 2 ? kGap : 0;
  const Tensor whole = make_tensor(*allocator_, dtype, {kMargin + rows * (cols + gap) + kMargin}, "test");
  if (dtype == DType::i32)
    std::fill_n(whole.data<int32_t>(), whole.numel(), kIntMargin);
  else
    for (int64_t i = 0; i < whole.numel(); ++i) set_flat(whole, i, kNan);
  const Tensor body = whole.slice(0, kMargin, rows * (cols + gap));
  const Tensor inner = shape.rank() == 2 ? body.view({rows, cols + gap}).slice(1, 0, cols) : body;
  windows_.push_back({whole, inner});
  return inner;
}

TestTensors::~TestTensors() {
  for (const Window& w : windows_) {
    const int64_t rows = w.inner.rank() == 2 ? w.inner.dim(0) : 1, cols = w.inner.dim(-1);
    const int64_t stride = w.inner.rank() == 2 ? w.inner.stride(0) : cols;
    for (int64_t i = 0; i < w.whole.numel(); ++i) {
      const int64_t at = i - kMargin;
      if (at >= 0 && at < rows * stride && at % stride < cols) continue;
      const bool intact = w.whole.dtype() == DType::bf16 ? w.whole.data<bf16>()[i].bits == to_bf16(kNan).bits
                          : w.whole.dtype() == DType::i32
                              ? w.whole.data<int32_t>()[i] == kIntMargin
                              : w.whole.data<float>()[i] != w.whole.data<float>()[i];
      if (!intact) {
        ADD_FAILURE() << "something wrote outside a tensor " << to_string(w.inner.shape()) << ", at element "
                      << at;
        break;
      }
    }
  }
}

Tensor TestTensors::normal(DType dtype, Shape shape, double scale, double mean) {
  const Tensor x = window(dtype, shape);
  std::normal_distribution<double> draw(mean, scale);
  for (int64_t i = 0; i < (x.rank() == 2 ? x.dim(0) : 1); ++i)
    for (int64_t j = 0; j < x.dim(-1); ++j) set_element(x, i, j, static_cast<float>(draw(random_)));
  return x;
}

Tensor TestTensors::filled(DType dtype, Shape shape, float value) {
  const Tensor x = window(dtype, shape);
  for (int64_t i = 0; i < (x.rank() == 2 ? x.dim(0) : 1); ++i)
    for (int64_t j = 0; j < x.dim(-1); ++j) set_element(x, i, j, value);
  return x;
}

Tensor TestTensors::uninitialised(DType dtype, Shape shape) { return filled(dtype, shape, 12345.0f); }

Tensor TestTensors::ids(std::vector<int32_t> values) {
  const Tensor x = window(DType::i32, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), x.data<int32_t>());
  return x;
}

Tensor TestTensors::random_ids(int64_t count, int64_t below) {
  std::uniform_int_distribution<int32_t> draw(0, static_cast<int32_t>(below - 1));
  std::vector<int32_t> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(draw(random_));
  return ids(std::move(values));
}

Tensor TestTensors::clone(const Tensor& x) {
  const Tensor y = window(x.dtype(), x.shape());
  const std::vector<std::byte> bytes = bytes_of(x);
  const int64_t rows = x.rank() == 2 ? x.dim(0) : 1, row_bytes = x.dim(-1) * size_of(x.dtype());
  for (int64_t i = 0; i < rows; ++i)
    std::memcpy(y.raw() + (x.rank() == 2 ? i * y.stride(0) * size_of(x.dtype()) : 0),
                bytes.data() + i * row_bytes, static_cast<size_t>(row_bytes));
  return y;
}

std::vector<std::byte> bytes_of(const Tensor& x) {
  std::vector<std::byte> bytes;
  const int64_t rows = x.rank() == 2 ? x.dim(0) : 1, row_bytes = x.dim(-1) * size_of(x.dtype());
  for (int64_t i = 0; i < rows; ++i) {
    const std::byte* row = x.raw() + (x.rank() == 2 ? i * x.stride(0) * size_of(x.dtype()) : 0);
    bytes.insert(bytes.end(), row, row + row_bytes);
  }
  return bytes;
}

std::vector<Isa> isas_here() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16})
    if (isa <= machine_isa()) isas.push_back(isa);
  return isas;
}

std::vector<Tensor> run_everywhere(const Operation& op, const std::vector<Isa>& isas) {
  using Mode = CpuStream::Mode;
  struct Way {
    std::string name;
    Isa isa;
    int threads;
    Mode mode;
  };
  std::vector<Way> ways;
  for (const Isa isa : isas) ways.push_back({std::string(name(isa)), isa, 1, Mode::inline_});
  const Isa best = isas.back();
  ways.push_back({"two threads", best, 2, Mode::inline_});
  ways.push_back({"three threads, threaded stream", best, 3, Mode::threaded});

  std::vector<Tensor> first;
  for (const Way& way : ways) {
    WorkerPool pool(way.threads);
    CpuStream stream(pool, way.mode, way.isa);
    TestTensors tensors;
    const std::vector<Tensor> results = op(stream, tensors);
    stream.synchronize();
    if (first.empty()) {
      first = results;
      continue;
    }
    for (size_t i = 0; i < results.size(); ++i)
      EXPECT_TRUE(bytes_of(results[i]) == bytes_of(first[i]))
          << "result " << i << " has other bits with " << way.name << " than with " << ways[0].name;
  }
  return first;
}

}  // namespace strata
