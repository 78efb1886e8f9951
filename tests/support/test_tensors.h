// SPDX-License-Identifier: Apache-2.0
// Tensors for tests of operations, and running one operation in every way that must give the same bits. The
// tests of core/ops are built once for each device: run_on_cpu.cpp and run_on_cuda.cpp are the two ways to
// run.
#pragma once

#include <functional>
#include <random>
#include <vector>

#include "core/base/isa.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/tensor/tensor.h"

namespace strata {

// Memory of the device under test, for tests: host code reaches it through these alone. The host's own memory
// by default.
class TestMemory {
 public:
  virtual ~TestMemory() = default;
  virtual Tensor allocate(DType dtype, int64_t count) = 0;
  // Wait until the bytes are there; of work on a stream they know nothing.
  virtual void read(void* host, const std::byte* device, int64_t bytes) const = 0;
  virtual void write(std::byte* device, const void* host, int64_t bytes) const = 0;
};
std::shared_ptr<TestMemory> make_host_memory();

// Makes tensors that lie unaligned amid a margin of NaN: an operation that reads outside its operand spoils
// its result, one that writes outside is caught when the factory goes. Matrices have a row stride above their
// width.
class TestTensors {
 public:
  // aligned: tensors begin on 64 bytes, and rows do if their width is a multiple of that: the paths of a
  // device that reads many elements at a time.
  enum class Placing { unaligned, aligned };

  explicit TestTensors(uint64_t seed = 1, std::shared_ptr<TestMemory> memory = make_host_memory(),
                       Placing placing = Placing::unaligned)
      : random_(seed), memory_(std::move(memory)), placing_(placing) {}
  ~TestTensors();  // expects every margin to be as it was

  Tensor normal(DType dtype, Shape shape, double scale = 1, double mean = 0);
  Tensor uninitialised(DType dtype, Shape shape);  // holds a value that shows when it is left
  Tensor filled(DType dtype, Shape shape, float value);
  Tensor ids(std::vector<int32_t> values);
  Tensor random_ids(int64_t count, int64_t below);

  Tensor numbers(
      DType dtype, Shape shape,
      const std::vector<double>& values);  // row by row; 8-bit floats: codes; codes by their number

  // A copy of the elements, in the same layout. Work on a stream that makes them must be done.
  Tensor clone(const Tensor& x);
  // The same in the host's memory.
  Tensor on_host(const Tensor& x) const;
  void set(const Tensor& x, int64_t row, int64_t column, float value);

  std::mt19937_64& random() { return random_; }

 private:
  // Elements in the host's memory amid their margin, which place() brings to where the tests' tensors lie.
  struct Window {
    Tensor whole, inner;
  };
  Window window(DType dtype, Shape shape) const;
  Tensor place(const Window& made);
  Tensor inner_of(const Tensor& whole, const Shape& shape) const;

  std::mt19937_64 random_;
  std::shared_ptr<TestMemory> memory_;
  Placing placing_;
  std::vector<Window> windows_;
};

void set_element(const Tensor& x, int64_t row, int64_t column, float value);

// The instruction sets this machine can run, lowest first.
std::vector<Isa> isas_here();

// Runs op in every way that must give the same bits, expects them in all returned tensors, and gives those of
// the first run in the host's memory. `op` makes its operands itself, each time the same. CPU: on one thread
// with each of `isas`, then with the last of them on two and on three threads and on a threaded stream. CUDA
// (`isas` mean nothing): twice, and on a pretended GPU in several orders of threads.
using Operation = std::function<std::vector<Tensor>(Stream&, TestTensors&)>;
std::vector<Tensor> run_everywhere(const Operation& op, const std::vector<Isa>& isas = isas_here());

// One way to run: op's results in the host's memory.
std::vector<Tensor> run_once(const Operation& op, Stream& stream, std::shared_ptr<TestMemory> memory,
                             TestTensors::Placing placing);
void expect_same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b, const std::string& what);

// Elements as bytes, row by row.
std::vector<std::byte> bytes_of(const Tensor& x);

}  // namespace strata
