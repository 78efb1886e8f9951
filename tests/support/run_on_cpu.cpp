// SPDX-License-Identifier: Apache-2.0
// Operations under test on the CPU.
#include "tests/support/test_tensors.h"

namespace strata {

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
    const std::vector<Tensor> results =
        run_once(op, stream, make_host_memory(), TestTensors::Placing::unaligned);
    if (first.empty())
      first = results;
    else
      expect_same_bits(first, results, ways[0].name + " and " + way.name);
  }
  return first;
}

}  // namespace strata
