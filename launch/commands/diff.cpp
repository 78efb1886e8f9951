// SPDX-License-Identifier: Apache-2.0
// strata diff A B: in which tensors two checkpoints differ, whatever formats and layouts wrote them. Compares
// the digests stored in them: of Strata's own no tensor is read, so those of a 100B-parameter model take a
// moment. (strata verify proves that the bytes are what a manifest says.) Formats without digests are read,
// and with --numbers all tensors whose values differ.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <optional>

#include "checkpoint/adapters/cast_source.h"
#include "checkpoint/convert.h"
#include "checkpoint/likeness.h"
#include "launch/commands/command.h"
#include "launch/convert/open_checkpoint.h"
#include "launch/convert/progress.h"

namespace strata {
namespace {

constexpr int64_t kPiece = int64_t{16} << 20;  // read at a time by each thread

struct DiffArguments {
  std::string a, b;
  bool numbers = false;  // how far values are apart
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

// What two checkpoints say of values that differ.
class Apart {
 public:
  Apart(const TensorSource& a, const TensorSource& b) : a_(a, ElementType::f32), b_(b, ElementType::f32) {}

  std::string operator()(size_t tensor_a, size_t tensor_b) {
    if (a_.tensors()[tensor_a].type != ElementType::f32 || b_.tensors()[tensor_b].type != ElementType::f32)
      return "has other values, which are no floats";
    const Likeness likeness = likeness_of(a_, tensor_a, b_, tensor_b, kPiece, pool_);
    return fmt::format(
        "cosine {:.6f}, apart by {:.3g} of its length, elements by {:.3g} at most, {} of {} differ",
        likeness.cosine(), likeness.distance(), likeness.largest, likeness.different,
        a_.tensors()[tensor_a].shape.numel());
  }

 private:
  CastSource a_, b_;
  WorkerPool pool_;
};

int diff(const DiffArguments& arguments) {
  const auto files = make_posix_file_system();
  const OpenedCheckpoint opened_a = open_checkpoint(*files, arguments.a);
  const OpenedCheckpoint opened_b = open_checkpoint(*files, arguments.b);
  const TensorSource &a = opened_a.source(), &b = opened_b.source();
  std::map<std::pair<std::string, std::string>, size_t> in_b;
  for (size_t t = 0; t < b.tensors().size(); ++t)
    in_b.emplace(std::pair(b.tensors()[t].name, b.tensors()[t].state), t);
  const std::vector<Digest> digests_a = digests_of(a), digests_b = digests_of(b);
  std::optional<Apart> apart;
  if (arguments.numbers) apart.emplace(a, b);
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
    if (other.shape != tensor.shape || (other.type != tensor.type && !arguments.numbers))
      tell(tensor, "is " + to_string(other) + " in " + b.path());
    else if (digests_a[t] != digests_b[found.mapped()])
      tell(tensor, apart ? (*apart)(t, found.mapped()) : "has other values");
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
  app.add_flag("--numbers", arguments->numbers,
               "read the values that differ, also those of different types, and say how far they are apart");
  app.footer(
      "Example:\n  strata diff runs/tiny/checkpoints/step-00000550 runs/tiny\n"
      "  strata diff --numbers runs/bf16 runs/fp8");
  return [=] { return diff(*arguments); };
}

}  // namespace strata
