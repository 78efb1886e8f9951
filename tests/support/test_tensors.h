// SPDX-License-Identifier: Apache-2.0
// Tensors for tests of operations, and running one operation in every way that must give the same bits.
#pragma once

#include <functional>
#include <random>
#include <vector>

#include "core/base/isa.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/tensor/tensor.h"

namespace strata {

// Makes tensors that lie unaligned amid a margin of NaN: an operation that reads outside its operand spoils
// its result, one that writes outside is caught when the factory goes. Matrices have a row stride above their
// width.
class TestTensors {
 public:
  explicit TestTensors(uint64_t seed = 1) : random_(seed), allocator_(make_cpu_allocator()) {}
  ~TestTensors();  // expects every margin to be as it was

  Tensor normal(DType dtype, Shape shape, double scale = 1, double mean = 0);
  Tensor uninitialised(DType dtype, Shape shape);  // holds a value that shows when it is left
  Tensor filled(DType dtype, Shape shape, float value);
  Tensor ids(std::vector<int32_t> values);
  Tensor random_ids(int64_t count, int64_t below);

  // A copy of the elements, in the same layout.
  Tensor clone(const Tensor& x);

  std::mt19937_64& random() { return random_; }

 private:
  Tensor window(DType dtype, Shape shape);

  struct Window {
    Tensor whole, inner;
  };
  std::mt19937_64 random_;
  std::shared_ptr<Allocator> allocator_;
  std::vector<Window> windows_;
};

void set_element(const Tensor& x, int64_t row, int64_t column, float value);

// The instruction sets this machine can run, lowest first.
std::vector<Isa> isas_here();

// Runs op on one thread with each of `isas`, then with the last of them on two and on three threads and on
// a threaded stream; expects the same bits in all returned tensors and gives those of the first run. `op`
// makes its operands itself, each time the same.
using Operation = std::function<std::vector<Tensor>(Stream&, TestTensors&)>;
std::vector<Tensor> run_everywhere(const Operation& op, const std::vector<Isa>& isas = isas_here());

// Elements as bytes, row by row.
std::vector<std::byte> bytes_of(const Tensor& x);

}  // namespace strata
