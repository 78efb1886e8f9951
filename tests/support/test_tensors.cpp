// SPDX-License-Identifier: Apache-2.0
#include "tests/support/test_tensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "core/tensor/bf16.h"

namespace strata {
namespace {

constexpr int64_t kMargin = 3, kGap = 5, kAlignedMargin = 64, kAlignedGap = 32;  // elements
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int32_t kIntMargin = -987654321;
constexpr uint8_t kCodeMargin = 0xEE;

bool is_codes(DType dtype) { return dtype == DType::f8e4m3 || dtype == DType::f8e5m2; }

void set_flat(const Tensor& x, int64_t at, float value) {
  if (x.dtype() == DType::bf16)
    x.data<bf16>()[at] = to_bf16(value);
  else if (x.dtype() == DType::f64)
    x.data<double>()[at] = static_cast<double>(value);
  else if (is_codes(x.dtype()))
    x.raw()[at] = static_cast<std::byte>(value == value ? static_cast<uint8_t>(value) : kCodeMargin);
  else
    x.data<float>()[at] = value;
}

}  // namespace

void set_element(const Tensor& x, int64_t row, int64_t column, float value) {
  set_flat(x, x.rank() == 2 ? row * x.stride(0) + column : column, value);
}

namespace {

class HostMemory final : public TestMemory {
 public:
  Tensor allocate(DType dtype, int64_t count) override {
    return make_tensor(*allocator_, dtype, {count}, "test");
  }
  void read(void* host, const std::byte* device, int64_t bytes) const override {
    std::memcpy(host, device, static_cast<size_t>(bytes));
  }
  void write(std::byte* device, const void* host, int64_t bytes) const override {
    std::memcpy(device, host, static_cast<size_t>(bytes));
  }

 private:
  std::shared_ptr<Allocator> allocator_ = make_cpu_allocator();
};

int64_t rows_of(const Shape& shape) { return shape.rank() == 2 ? shape[0] : 1; }
int64_t row_offset(const Tensor& x, int64_t row) { return x.rank() == 2 ? row * x.stride(0) : 0; }

bool is_margin(const Tensor& whole, int64_t at) {
  switch (whole.dtype()) {
    case DType::bf16:
      return whole.data<bf16>()[at].bits == to_bf16(kNan).bits;
    case DType::i32:
      return whole.data<int32_t>()[at] == kIntMargin;
    case DType::f64:
      return whole.data<double>()[at] != whole.data<double>()[at];
    case DType::f8e4m3:
    case DType::f8e5m2:
      return whole.raw()[at] == std::byte{kCodeMargin};
    default:
      return whole.data<float>()[at] != whole.data<float>()[at];
  }
}

}  // namespace

std::shared_ptr<TestMemory> make_host_memory() { return std::make_shared<HostMemory>(); }

// The elements of `shape` within their margin.
Tensor TestTensors::inner_of(const Tensor& whole, const Shape& shape) const {
  const bool aligned = placing_ == Placing::aligned;
  const int64_t gap = shape.rank() != 2 ? 0 : aligned ? kAlignedGap : kGap, cols = shape[-1];
  const Tensor body = whole.slice(0, aligned ? kAlignedMargin : kMargin, rows_of(shape) * (cols + gap));
  return shape.rank() == 2 ? body.view({shape[0], cols + gap}).slice(1, 0, cols) : body;
}

TestTensors::Window TestTensors::window(DType dtype, Shape shape) const {
  const bool aligned = placing_ == Placing::aligned;
  const int64_t gap = shape.rank() != 2 ? 0 : aligned ? kAlignedGap : kGap;
  const int64_t margins = 2 * (aligned ? kAlignedMargin : kMargin);
  const auto allocator = make_cpu_allocator();
  const Tensor whole = make_tensor(*allocator, dtype, {margins + rows_of(shape) * (shape[-1] + gap)}, "test");
  if (dtype == DType::i32)
    std::fill_n(whole.data<int32_t>(), whole.numel(), kIntMargin);
  else
    for (int64_t i = 0; i < whole.numel(); ++i) set_flat(whole, i, kNan);
  return {whole, inner_of(whole, shape)};
}

Tensor TestTensors::place(const Window& made) {
  const Tensor whole = memory_->allocate(made.whole.dtype(), made.whole.numel());
  memory_->write(whole.raw(), made.whole.raw(), made.whole.bytes());
  const Tensor inner = inner_of(whole, made.inner.shape());
  windows_.push_back({whole, inner});
  return inner;
}

TestTensors::~TestTensors() {
  for (const Window& w : windows_) {
    const auto allocator = make_cpu_allocator();
    const Tensor now = make_tensor(*allocator, w.whole.dtype(), w.whole.shape(), "test");
    memory_->read(now.raw(), w.whole.raw(), now.bytes());
    const int64_t begin = (w.inner.raw() - w.whole.raw()) / size_of(now.dtype());
    const int64_t rows = rows_of(w.inner.shape()), cols = w.inner.dim(-1);
    const int64_t stride = w.inner.rank() == 2 ? w.inner.stride(0) : cols;
    for (int64_t i = 0; i < now.numel(); ++i) {
      const int64_t at = i - begin;
      if (at >= 0 && at < rows * stride && at % stride < cols) continue;
      if (is_margin(now, i)) continue;
      ADD_FAILURE() << "something wrote outside a tensor " << to_string(w.inner.shape()) << ", at element "
                    << at;
      break;
    }
  }
}

Tensor TestTensors::normal(DType dtype, Shape shape, double scale, double mean) {
  const Window made = window(dtype, shape);
  std::normal_distribution<double> draw(mean, scale);
  for (int64_t i = 0; i < rows_of(shape); ++i)
    for (int64_t j = 0; j < shape[-1]; ++j) set_element(made.inner, i, j, static_cast<float>(draw(random_)));
  return place(made);
}

Tensor TestTensors::numbers(DType dtype, Shape shape, const std::vector<double>& values) {
  const Window made = window(dtype, shape);
  for (int64_t i = 0; i < rows_of(shape); ++i)
    for (int64_t j = 0; j < shape[-1]; ++j)
      set_element(made.inner, i, j, static_cast<float>(values[static_cast<size_t>(i * shape[-1] + j)]));
  return place(made);
}

Tensor TestTensors::filled(DType dtype, Shape shape, float value) {
  return numbers(dtype, shape, std::vector<double>(static_cast<size_t>(shape.numel()), value));
}

Tensor TestTensors::uninitialised(DType dtype, Shape shape) {
  return filled(dtype, shape, is_codes(dtype) ? 0xEF : 12345.0f);
}

Tensor TestTensors::ids(std::vector<int32_t> values) {
  const Window made = window(DType::i32, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), made.inner.data<int32_t>());
  return place(made);
}

Tensor TestTensors::random_ids(int64_t count, int64_t below) {
  std::uniform_int_distribution<int32_t> draw(0, static_cast<int32_t>(below - 1));
  std::vector<int32_t> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(draw(random_));
  return ids(std::move(values));
}

Tensor TestTensors::on_host(const Tensor& x) const {
  const Window made = window(x.dtype(), x.shape());
  const int64_t rows = rows_of(x.shape()), row_bytes = x.dim(-1) * size_of(x.dtype());
  if (x.numel() == 0) return made.inner;
  // In one go, gaps between rows included.
  std::vector<std::byte> all(static_cast<size_t>(row_offset(x, rows - 1) * size_of(x.dtype()) + row_bytes));
  memory_->read(all.data(), x.raw(), static_cast<int64_t>(all.size()));
  for (int64_t i = 0; i < rows; ++i)
    std::memcpy(made.inner.raw() + row_offset(made.inner, i) * size_of(x.dtype()),
                all.data() + row_offset(x, i) * size_of(x.dtype()), static_cast<size_t>(row_bytes));
  return made.inner;
}

Tensor TestTensors::clone(const Tensor& x) {
  const Tensor copy = on_host(x);
  const Window made = window(x.dtype(), x.shape());
  for (int64_t i = 0; i < rows_of(x.shape()); ++i)
    std::memcpy(made.inner.raw() + row_offset(made.inner, i) * size_of(x.dtype()),
                copy.raw() + row_offset(copy, i) * size_of(x.dtype()),
                static_cast<size_t>(x.dim(-1) * size_of(x.dtype())));
  return place(made);
}

void TestTensors::set(const Tensor& x, int64_t row, int64_t column, float value) {
  const bf16 narrow = to_bf16(value);
  const bool is_narrow = x.dtype() == DType::bf16;
  const int64_t at = row_offset(x, row) + column;
  memory_->write(x.raw() + at * size_of(x.dtype()), is_narrow ? static_cast<const void*>(&narrow) : &value,
                 size_of(x.dtype()));
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

std::vector<Tensor> run_once(const Operation& op, Stream& stream, std::shared_ptr<TestMemory> memory,
                             TestTensors::Placing placing) {
  TestTensors tensors(1, std::move(memory), placing);
  std::vector<Tensor> results = op(stream, tensors);
  stream.synchronize();
  for (Tensor& x : results) x = tensors.on_host(x);
  return results;
}

void expect_same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(bytes_of(a[i]) == bytes_of(b[i])) << "result " << i << " has other bits: " << what;
}

}  // namespace strata
