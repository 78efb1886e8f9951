// SPDX-License-Identifier: Apache-2.0
#include "precision/quantization_counters.h"

#include <cmath>
#include <limits>

#include "core/tensor/transfer.h"

namespace strata {
namespace {

constexpr int64_t kCounterRow = 8;  // f64 of a tensor: a cache line

std::vector<double> zeros(int64_t rows) {
  return std::vector<double>(static_cast<size_t>(rows * kCounterRow));
}

}  // namespace

QuantizationCounters::QuantizationCounters(int sites, Allocator& memory, Stream& stream)
    : buffer_(
          memory.allocate(2 * sites * kCounterRow * size_of(DType::f64), "counters of quantized tensors")),
      table_(buffer_, 0, DType::f64, {2 * sites, kCounterRow}) {
  take(stream);
}

Tensor QuantizationCounters::counts(int site, LinearSide side) const {
  const int64_t row = 2 * site + (side == LinearSide::gradient ? 1 : 0);
  return table_.slice(0, row, 1).slice(1, 0, kQuantizeCounts).view({kQuantizeCounts});
}

std::vector<QuantizationCounters::Report> QuantizationCounters::take(Stream& stream) {
  const int64_t rows = table_.dim(0);
  std::vector<double> values = zeros(rows), cleared = zeros(rows);
  transfer(stream, table_, Tensor::borrow(values.data(), DType::f64, table_.shape()));
  transfer(stream, Tensor::borrow(cleared.data(), DType::f64, table_.shape()), table_);
  stream.synchronize();
  std::vector<Report> reports;
  for (int64_t row = 0; row < rows; ++row) {
    const double* v = values.data() + row * kCounterRow;
    reports.push_back(
        {v[kCountElements], v[kCountSaturated], v[kCountUnderflow], v[kSumSquares], v[kSumSquaredError]});
  }
  return reports;
}

double QuantizationCounters::Report::snr_db() const {
  return squared_error > 0 ? 10 * std::log10(squares / squared_error)
                           : std::numeric_limits<double>::infinity();
}

}  // namespace strata
