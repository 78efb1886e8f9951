// SPDX-License-Identifier: Apache-2.0
// strata convert SRC DST: one checkpoint as another format. Reads and writes in pieces, so that any model
// fits in
// --memory; what it wrote is read again and compared, and only then gets its name.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>

#include "checkpoint/adapters/dcp_sink.h"
#include "checkpoint/adapters/dcp_source.h"
#include "checkpoint/adapters/safetensors_sink.h"
#include "checkpoint/adapters/safetensors_source.h"
#include "checkpoint/adapters/universal_sink.h"
#include "checkpoint/adapters/universal_source.h"
#include "checkpoint/convert.h"
#include "checkpoint/strata_sink.h"
#include "checkpoint/strata_source.h"
#include "core/base/error.h"
#include "launch/commands/command.h"
#include "launch/config/units.h"
#include "launch/convert/conversion_plan.h"
#include "launch/convert/progress.h"
#include "launch/metrics/humanize.h"

namespace strata {
namespace {

struct ConvertArguments {
  std::string source, target, to, names, dtype, memory = "2GiB";
  OpenRules rules;
  std::vector<std::string> rename, reinit;
  int threads = 0;
  bool dry_run = false;
};

// What a worker may hold. Half of the budget is for pieces; a source holds a block or a span with gaps beside
// each.
int64_t piece_bytes(const std::string& memory, int threads) {
  const auto budget = parse_size(memory);
  constexpr int64_t kLeast = int64_t{256} << 20;
  if (!budget || *budget < kLeast)
    throw Error(Fault::usage, {.what = "--memory is no size we can work with",
                               .where = "command line",
                               .found = memory,
                               .expected = fmt::format("at least {}", human_bytes(kLeast)),
                               .fix = "--memory 2GiB"});
  return std::clamp(*budget / 2 / threads - (int64_t{8} << 20), int64_t{1} << 20, int64_t{32} << 20);
}

// Names, sizes and dates of what is read: a conversion goes on only from the very same.
std::string identity_of(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  std::string identity = fs::absolute(path, ignored).string();
  const auto add = [&](const fs::path& file) {
    const auto bytes = fs::file_size(file, ignored);
    identity += fmt::format("\n{} {} {}", file.filename().string(), bytes,
                            fs::last_write_time(file, ignored).time_since_epoch().count());
  };
  if (!fs::is_directory(path, ignored)) add(path);
  std::vector<fs::path> inside;
  for (const auto& entry : fs::recursive_directory_iterator(path, ignored))
    if (entry.is_regular_file(ignored)) inside.push_back(entry.path());
  std::sort(inside.begin(), inside.end());
  for (const fs::path& file : inside) add(file);
  return identity;
}

void print_list(const char* what, const std::vector<std::string>& list) {
  constexpr size_t kShown = 20;
  if (list.empty()) return;
  fmt::print("{:<9} {}\n", what, list.size());
  for (size_t i = 0; i < std::min(list.size(), kShown); ++i) fmt::print("  {}\n", list[i]);
  if (list.size() > kShown) fmt::print("  and {} more\n", list.size() - kShown);
}

void print_plan(const OpenedCheckpoint& opened, const ConversionPlan& plan,
                const ConvertArguments& arguments) {
  int64_t bytes = 0;
  for (const TensorSpec& tensor : plan.source->tensors()) bytes += tensor.bytes();
  fmt::print("from      {}: {}\n", opened.stored->path(), opened.stored->format());
  if (const auto model = model_of(opened))
    fmt::print("model     {}: {} layers of {}, {} entries\n", model->family, model->spec.layers,
               model->spec.hidden, model->spec.vocab);
  fmt::print("to        {}: {}, {} tensors, {}\n", arguments.target, name(plan.format),
             plan.source->tensors().size(), human_bytes(bytes));
  std::string assets;
  for (const Asset& asset : plan.assets) assets += (assets.empty() ? "" : ", ") + asset.name;
  if (!assets.empty()) fmt::print("files     {}\n", assets);
  print_list("dropped", plan.dropped);
  for (const std::string& note : opened.notes) fmt::print("note      {}\n", note);
  if (!arguments.dry_run) return;
  fmt::print("\n");
  for (const TensorSpec& tensor : plan.source->tensors())
    fmt::print("{:>9}  {}\n", human_bytes(tensor.bytes()), to_string(tensor));
}

// A matrix that was stored twice is kept once: only if the copies agree.
void check_twins(const OpenedCheckpoint& opened, int64_t piece, WorkerPool& pool) {
  for (const auto& [a, b] : opened.twins) {
    const TensorSpec &first = opened.stored->tensors()[a], &second = opened.stored->tensors()[b];
    const size_t both[] = {a, b};
    const auto digests = read_digests(*opened.stored, both, piece, pool, nullptr);
    if (first.shape == second.shape && first.type == second.type && digests[0] == digests[1]) continue;
    throw Error(Fault::model,
                {.what = "two tensors that the configuration ties are not the same",
                 .where = opened.stored->path(),
                 .found = fmt::format("{}, {}", to_string(first), to_string(second)),
                 .fix = "set tie_word_embeddings to false in config.json if they are meant to differ"});
  }
}

// A sink whose cut-off conversions go on.
template <typename Sink>
std::unique_ptr<TensorSink> resumable(FileSystem& files, const ConvertArguments& arguments, int64_t piece) {
  return std::make_unique<Sink>(
      files, arguments.target,
      typename Sink::Options{
          .piece_bytes = piece, .keep_partial = true, .identity = identity_of(arguments.source)});
}

std::unique_ptr<TensorSink> make_sink(FileSystem& files, const ConversionPlan& plan,
                                      const ConvertArguments& arguments, int64_t piece) {
  switch (plan.format) {
    case TargetFormat::strata:
      return std::make_unique<StrataSink>(
          files, arguments.target,
          StrataSink::Options{.step = plan.source->metadata().value("step", int64_t{0}),
                              .piece_bytes = piece,
                              .keep_partial = true,
                              .identity = identity_of(arguments.source)});
    case TargetFormat::dcp:
      return resumable<DcpSink>(files, arguments, piece);
    case TargetFormat::universal:
      return resumable<UniversalSink>(files, arguments, piece);
    default:
      return resumable<SafetensorsSink>(files, arguments, piece);
  }
}

// What was written, under the names that it was written with.
std::unique_ptr<TensorSource> open_written(FileSystem& files, const ConversionPlan& plan,
                                           const std::string& path) {
  switch (plan.format) {
    case TargetFormat::strata:
      return std::make_unique<StrataSource>(files, path);
    case TargetFormat::dcp:
      return std::make_unique<DcpSource>(files, path, DcpSource::Names::in_state_dict);
    case TargetFormat::universal:
      return std::make_unique<UniversalSource>(files, path);
    default:
      return std::make_unique<SafetensorsSource>(files, path);
  }
}

// "OLD=NEW" of the command line.
std::vector<std::pair<std::string, std::string>> renames(const std::vector<std::string>& texts) {
  std::vector<std::pair<std::string, std::string>> rules;
  for (const std::string& text : texts) {
    const size_t equal = text.find('=');
    if (equal == 0 || equal == std::string::npos || equal + 1 == text.size())
      throw Error(Fault::usage, {.what = "--rename is not of its form",
                                 .where = "command line",
                                 .found = text,
                                 .expected = "OLD=NEW"});
    rules.emplace_back(text.substr(0, equal), text.substr(equal + 1));
  }
  return rules;
}

int convert(const ConvertArguments& arguments) {
  const auto files = make_posix_file_system();
  WorkerPool pool(arguments.threads);
  const int64_t piece = piece_bytes(arguments.memory, pool.threads());
  OpenRules rules = arguments.rules;
  rules.rename = renames(arguments.rename);
  const OpenedCheckpoint opened = open_checkpoint(*files, arguments.source, rules);
  const bool ours = opened.stored->format().starts_with("Strata");
  const TargetFormat format = arguments.to.empty()
                                  ? (ours ? TargetFormat::hugging_face : TargetFormat::strata)
                                  : *target_format_named(arguments.to);
  const ConversionWish wish{
      .format = format,
      .names = arguments.names == "hf"     ? TargetNames::hugging_face
               : arguments.names == "ours" ? TargetNames::ours
                                           : TargetNames::automatic,
      .type = arguments.dtype == "keep" ? std::nullopt : element_type_named(arguments.dtype),
      .reinit = arguments.reinit,
      .allow_missing = arguments.rules.allow_missing};
  const ConversionPlan plan = plan_conversion(opened, wish);
  print_plan(opened, plan, arguments);
  if (arguments.dry_run) return 0;

  const std::span<const TensorSpec> tensors = plan.source->tensors();
  int64_t bytes = 0;
  for (const TensorSpec& tensor : tensors) bytes += tensor.bytes();
  check_twins(opened, piece, pool);
  const auto begin = std::chrono::steady_clock::now();
  const auto sink = make_sink(*files, plan, arguments, piece);
  sink->declare({tensors.begin(), tensors.end()}, plan.source->metadata(), plan.assets);
  Conversion done;
  {
    Progress progress("convert", bytes);
    done = convert_tensors(*plan.source, *sink, pool, [&](int64_t now) { progress.add(now); });
  }
  {
    Progress progress("compare", bytes);
    const auto written = open_written(*files, plan, sink->finish());
    check_written(*written, tensors, done.digests, piece, pool, [&](int64_t now) { progress.add(now); });
  }
  sink->commit();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  fmt::print("wrote     {}: {} tensors, {} in {}{}; read again, every digest is the same\n", arguments.target,
             tensors.size(), human_bytes(done.bytes), human_duration(seconds),
             done.kept_bytes > 0
                 ? fmt::format(" ({} were there from an earlier try)", human_bytes(done.kept_bytes))
                 : "");
  return 0;
}

}  // namespace

Run add_convert(CLI::App& app) {
  const auto arguments = std::make_shared<ConvertArguments>();
  app.add_option("SRC", arguments->source,
                 "a model of Hugging Face (folder with config.json and *.safetensors), a file of "
                 "safetensors, of torch.save, a checkpoint of PyTorch DCP, Megatron or DeepSpeed, a run's "
                 "folder (its "
                 "newest checkpoint), or one checkpoint of ours")
      ->required();
  app.add_option("DST", arguments->target, "the folder to make")->required();
  app.add_option("--to", arguments->to,
                 "strata, hf, safetensors, dcp (torch.distributed.checkpoint) or universal (DeepSpeed); "
                 "default: hf from a checkpoint of ours, else strata")
      ->check(CLI::IsMember({"strata", "hf", "safetensors", "dcp", "universal"}));
  app.add_option("--names", arguments->names,
                 "of tensors in dcp and universal: hf or ours; default: hf where the model is known there")
      ->check(CLI::IsMember({"hf", "ours"}));
  app.add_option("--dtype", arguments->dtype, "of the weights: keep (as they are), f32, bf16 or f16")
      ->default_val("keep")
      ->check(CLI::IsMember({"keep", "f32", "bf16", "f16"}));
  app.add_option("--map", arguments->rules.map,
                 "a file of rules that say what a foreign checkpoint's tensors are (checkpoint/map.md)");
  app.add_option("--rename", arguments->rename, "OLD=NEW: take the stored tensor OLD for NEW");
  app.add_option("--allow-missing", arguments->rules.allow_missing,
                 "a tensor of the model, by our name (or many, ending with *), that need not be there");
  app.add_option("--reinit", arguments->reinit,
                 "tensors, by our names, that are left out: a run makes them anew");
  app.add_option("--memory", arguments->memory, "most memory to use")->capture_default_str();
  app.add_option("--threads", arguments->threads, "0: one a core")->check(CLI::Range(0, 1024));
  app.add_flag("--dry-run", arguments->dry_run, "say what would be written, tensor by tensor, and stop");
  app.footer(
      "A conversion that was cut off goes on when it is started again.\n\nExamples:\n"
      "  strata convert models/smollm2 smollm2\n  strata convert runs/tiny tiny-hf --dtype bf16");
  return [=] { return convert(*arguments); };
}

}  // namespace strata
