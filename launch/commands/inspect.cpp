// SPDX-License-Identifier: Apache-2.0
// strata inspect PATH [--tensors] [--json]: what a checkpoint holds, from its manifest or headers alone.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "checkpoint/strata_source.h"
#include "launch/commands/command.h"
#include "launch/convert/open_checkpoint.h"
#include "launch/metrics/humanize.h"
#include "launch/train/run_state.h"

namespace strata {
namespace {

struct InspectArguments {
  std::string path;
  bool tensors = false, json = false;
};

struct StateSize {
  int64_t tensors = 0, elements = 0, bytes = 0;
};

void print_text(const StrataSource& checkpoint, bool tensors) {
  const Manifest& manifest = checkpoint.manifest();
  int64_t bytes = 0, shards = 0;
  for (const ManifestFile& file : manifest.files) {
    bytes += file.bytes;
    shards += file.kind == ManifestFile::Kind::shard ? 1 : 0;
  }
  std::map<std::string, StateSize> states;
  for (const TensorSpec& tensor : checkpoint.tensors()) {
    StateSize& state = states[tensor.state];
    ++state.tensors;
    state.elements += tensor.shape.numel();
    state.bytes += tensor.bytes();
  }
  fmt::print(
      "checkpoint  {}\nformat      {}\nwritten by  {}\nstep        {}\nfiles       {}, {} of them shards, "
      "{}\n",
      checkpoint.path(), checkpoint.format(), manifest.writer, manifest.step, manifest.files.size(), shards,
      human_bytes(bytes));
  const auto& meta = checkpoint.metadata();
  for (const char* key : {"layout", "update_rule"})
    if (meta.contains(key) && meta[key].is_string())
      fmt::print("{:<11} {}\n", key, meta[key].get<std::string>());
  for (const auto& [name, state] : states)
    fmt::print("{:<11} {} tensors, {} elements, {}\n", name, state.tensors,
               human_count(static_cast<double>(state.elements)), human_bytes(state.bytes));
  if (!tensors) return;
  fmt::print("\n");
  for (size_t t = 0; t < manifest.tensors.size(); ++t)
    fmt::print("{}  {}\n", to_string(manifest.tensors[t].digest), to_string(checkpoint.tensors()[t]));
}

void print_json(const StrataSource& checkpoint) {
  const Manifest& manifest = checkpoint.manifest();
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for (size_t t = 0; t < manifest.tensors.size(); ++t) {
    const TensorSpec& tensor = checkpoint.tensors()[t];
    tensors.push_back({{"name", tensor.name},
                       {"state", tensor.state},
                       {"dtype", name(tensor.type)},
                       {"shape", std::vector<int64_t>(tensor.shape.begin(), tensor.shape.end())},
                       {"digest", to_string(manifest.tensors[t].digest)}});
  }
  const nlohmann::ordered_json whole = {{"path", checkpoint.path()},     {"format", checkpoint.format()},
                                        {"writer", manifest.writer},     {"step", manifest.step},
                                        {"meta", checkpoint.metadata()}, {"tensors", std::move(tensors)}};
  fmt::print("{}\n", whole.dump(2));
}

int inspect_foreign(FileSystem& files, const InspectArguments& arguments) {
  const OpenedCheckpoint opened = open_checkpoint(files, arguments.path);
  const TensorSource& source = opened.source();
  int64_t elements = 0, bytes = 0;
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const TensorSpec& tensor : source.tensors()) {
    elements += tensor.shape.numel();
    bytes += tensor.bytes();
    rows.push_back({{"name", tensor.name},
                    {"state", tensor.state},
                    {"dtype", name(tensor.type)},
                    {"shape", std::vector<int64_t>(tensor.shape.begin(), tensor.shape.end())}});
  }
  if (arguments.json) {
    const nlohmann::ordered_json whole = {{"path", source.path()},
                                          {"format", source.format()},
                                          {"model", opened.model ? opened.model->family : ""},
                                          {"meta", source.metadata()},
                                          {"dropped", opened.dropped},
                                          {"tensors", std::move(rows)}};
    fmt::print("{}\n", whole.dump(2));
    return 0;
  }
  fmt::print("checkpoint  {}\nformat      {}\n", source.path(), source.format());
  if (opened.model) {
    const ModelSpec& spec = opened.model->spec;
    fmt::print("model       {}: {} layers of {}, {} heads, {} entries\n", opened.model->family, spec.layers,
               spec.hidden, spec.heads, spec.vocab);
  }
  fmt::print("{:<11} {} tensors, {} elements, {}\n", "param", source.tensors().size(),
             human_count(static_cast<double>(elements)), human_bytes(bytes));
  for (const std::string& dropped : opened.dropped) fmt::print("not ours    {}\n", dropped);
  for (const std::string& note : opened.notes) fmt::print("note        {}\n", note);
  if (arguments.tensors) fmt::print("\n");
  for (const TensorSpec& tensor : source.tensors())
    if (arguments.tensors) fmt::print("{}\n", to_string(tensor));
  return 0;
}

int inspect(const InspectArguments& arguments) {
  const auto files = make_posix_file_system();
  if (is_foreign(*files, arguments.path)) return inspect_foreign(*files, arguments);
  const StrataSource checkpoint(*files, find_checkpoint(*files, arguments.path));
  if (arguments.json)
    print_json(checkpoint);
  else
    print_text(checkpoint, arguments.tensors);
  return 0;
}

}  // namespace

Run add_inspect(CLI::App& app) {
  const auto arguments = std::make_shared<InspectArguments>();
  app.add_option("PATH", arguments->path,
                 "a run's folder (its newest checkpoint), one checkpoint, or a model of Hugging Face")
      ->required();
  app.add_flag("--tensors", arguments->tensors, "list every tensor, with its digest");
  app.add_flag("--json", arguments->json, "print one JSON object");
  app.footer("Example:\n  strata inspect runs/tiny --tensors");
  return [=] { return inspect(*arguments); };
}

}  // namespace strata
