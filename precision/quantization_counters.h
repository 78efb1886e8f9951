// SPDX-License-Identifier: Apache-2.0
// What quantizing did to the tensors of a step, site by site: how many elements were too large or fell to
// zero, and how much noise was added.
#pragma once

#include <span>
#include <vector>

#include "core/device/buffer.h"
#include "core/device/stream.h"
#include "core/nn/linear_recipe.h"
#include "core/tensor/tensor.h"

namespace strata {

class QuantizationCounters {
 public:
  // The table lies in `memory` (the device's).
  QuantizationCounters(int sites, Allocator& memory, Stream& stream);

  // f64 [kQuantizeCounts] of the device, for Quantize::counts.
  Tensor counts(int site, LinearSide side) const;

  struct Report {
    double elements = 0, saturated = 0, underflow = 0, squares = 0, squared_error = 0;
    double snr_db() const;  // signal over noise; infinite without noise
  };
  // Of all quantized since the last call, [2 sites]: input and gradient of every site. Waits for the stream.
  std::vector<Report> take(Stream& stream);

 private:
  BufferRef buffer_;
  Tensor table_;
};

}  // namespace strata
