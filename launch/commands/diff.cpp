// SPDX-License-Identifier: Apache-2.0
// strata diff A B: in which tensors two checkpoints differ, whatever formats and layouts wrote them. Compares
// the digests stored in them: of Strata's own no tensor is read, so those of a 100B-parameter model take a
// moment. (strata verify proves that the bytes are what a manifest says.) Formats without digests are read.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>

#include "checkpoint/convert.h"
#include "launch/commands/command.h"
#include "launch/convert/open_checkpoint.h"
#include "launch/convert/progress.h"

namespace strata {
namespace {

constexpr int64_t kPiece = int64_t{16} << 20;  // read at a time by each thread

struct DiffArguments {
  std::string a, b;
};

// By tensor; those that are not stored are made by reading.
std::vector<Digest> digests_of(const TensorSource& source) {
  std::vector<Digest> digests(source.tensors().size());
  std::vector<size_t> unknown;
  int64_t bytes = 0;
  for (size_t t = 0; t < digests.size(); ++t) {
    if (const auto stored = source.stored_digest(t)) {
      digests[t] = *stored;
    } else {
      unknown.push_back(t);
      bytes += source.tensors()[t].bytes();
    }
  }
  WorkerPool pool;
  Progress progress("read", bytes);
  const auto read = read_digests(source, unknown, kPiece, pool, [&](int64_t now) { progress.add(now); });
  for (size_t i = 0; i < unknown.size(); ++i) digests[unknown[i]] = read[i];
  return digests;
}

int diff(const DiffArguments& arguments) {
  const auto files = make_posix_file_system();
  const OpenedCheckpoint opened_a = open_checkpoint(*files, arguments.a);
  const OpenedCheckpoint opened_b = open_checkpoint(*files, arguments.b);
  const TensorSource &a = opened_a.source(), &b = opened_b.source();
  std::map<std::pair<std::string, std::string>, size_t> in_b;
  for (size_t t = 0; t < b.tensors().size(); ++t)
    in_b.emplace(std::pair(b.tensors()[t].name, b.tensors()[t].state), t);
  const std::vector<Digest> digests_a = digests_of(a), digests_b = digests_of(b);
  int64_t same = 0, different = 0;
  const auto tell = [&](const TensorSpec& tensor, const std::string& how) {
    ++different;
    fmt::print("{}: {}\n", to_string(tensor), how);
  };
  for (size_t t = 0; t < a.tensors().size(); ++t) {
    const TensorSpec& tensor = a.tensors()[t];
    const auto found = in_b.extract({tensor.name, tensor.state});
    if (found.empty()) {
      tell(tensor, "only in " + a.path());
      continue;
    }
    const TensorSpec& other = b.tensors()[found.mapped()];
    if (other.shape != tensor.shape || other.type != tensor.type)
      tell(tensor, "is " + to_string(other) + " in " + b.path());
    else if (digests_a[t] != digests_b[found.mapped()])
      tell(tensor, "has other values");
    else
      ++same;
  }
  for (size_t t = 0; t < b.tensors().size(); ++t)
    if (in_b.contains({b.tensors()[t].name, b.tensors()[t].state}))
      tell(b.tensors()[t], "only in " + b.path());
  fmt::print("{} tensors are the same, {} differ\n", same, different);
  return different == 0 ? 0 : 1;
}

}  // namespace

Run add_diff(CLI::App& app) {
  const auto arguments = std::make_shared<DiffArguments>();
  app.add_option("A", arguments->a,
                 "a run's folder (its newest checkpoint), one checkpoint, or a model of Hugging Face")
      ->required();
  app.add_option("B", arguments->b, "another")->required();
  app.footer("Example:\n  strata diff runs/tiny/checkpoints/step-00000550 runs/tiny");
  return [=] { return diff(*arguments); };
}

}  // namespace strata
