// SPDX-License-Identifier: Apache-2.0
// strata diff A B: in which tensors two checkpoints differ, whatever layouts wrote them. Compares the digests
// in their manifests: no tensor is read, so also those of a 100B-parameter model take a moment. (strata
// verify proves that the bytes are what a manifest says.)
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>

#include "checkpoint/strata_source.h"
#include "launch/commands/command.h"
#include "launch/train/run_state.h"

namespace strata {
namespace {

struct DiffArguments {
  std::string a, b;
};

int diff(const DiffArguments& arguments) {
  const auto files = make_posix_file_system();
  const StrataSource a(*files, find_checkpoint(*files, arguments.a));
  const StrataSource b(*files, find_checkpoint(*files, arguments.b));
  int64_t same = 0, different = 0;
  const auto tell = [&](const TensorSpec& tensor, const std::string& how) {
    ++different;
    fmt::print("{}: {}\n", to_string(tensor), how);
  };
  for (size_t t = 0; t < a.tensors().size(); ++t) {
    const TensorSpec& tensor = a.tensors()[t];
    const auto other = b.find(tensor.name, tensor.state);
    if (!other)
      tell(tensor, "only in " + a.path());
    else if (b.tensors()[*other].shape != tensor.shape || b.tensors()[*other].type != tensor.type)
      tell(tensor, "is " + to_string(b.tensors()[*other]) + " in " + b.path());
    else if (a.stored_digest(t) != b.stored_digest(*other))
      tell(tensor, "has other values");
    else
      ++same;
  }
  for (const TensorSpec& tensor : b.tensors())
    if (!a.find(tensor.name, tensor.state)) tell(tensor, "only in " + b.path());
  fmt::print("{} tensors are the same, {} differ\n", same, different);
  return different == 0 ? 0 : 1;
}

}  // namespace

Run add_diff(CLI::App& app) {
  const auto arguments = std::make_shared<DiffArguments>();
  app.add_option("A", arguments->a, "a run's folder (its newest checkpoint), or one checkpoint")->required();
  app.add_option("B", arguments->b, "another")->required();
  app.footer("Example:\n  strata diff runs/tiny/checkpoints/step-00000550 runs/tiny");
  return [=] { return diff(*arguments); };
}

}  // namespace strata
