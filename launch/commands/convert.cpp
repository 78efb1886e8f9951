// SPDX-License-Identifier: Apache-2.0
// strata convert SRC DST: one checkpoint as another format. Reads and writes in pieces, so that any model
// fits in
// --memory; what it wrote is read again and compared, and only then gets its name.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "core/base/error.h"
#include "launch/commands/command.h"
#include "launch/convert/write_conversion.h"
#include "launch/metrics/humanize.h"

namespace strata {
namespace {

struct ConvertArguments {
  std::string source, target, to, names, dtype, scales, memory = "2GiB";
  OpenRules rules;
  std::vector<std::string> rename, reinit;
  int threads = 0;
  bool dry_run = false;
};

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
  if (opened.adapter)
    fmt::print("adapters  rank {}, alpha {}{}, beside {}\n", opened.adapter->rank, opened.adapter->alpha,
               opened.adapter->rank_stabilized ? ", rank-stabilised" : "", opened.adapter->base);
  fmt::print("to        {}: {}, {} tensors, {}\n", arguments.target, name(plan.format),
             plan.source->tensors().size(), human_bytes(bytes));
  std::string assets;
  for (const Asset& asset : plan.assets) assets += (assets.empty() ? "" : ", ") + asset.name;
  if (!assets.empty()) fmt::print("files     {}\n", assets);
  print_list("dropped", plan.dropped);
  for (const std::string& note : opened.notes) fmt::print("note      {}\n", note);
  for (const std::string& note : plan.notes) fmt::print("note      {}\n", note);
  if (!arguments.dry_run) return;
  fmt::print("\n");
  for (const TensorSpec& tensor : plan.source->tensors())
    fmt::print("{:>9}  {}\n", human_bytes(tensor.bytes()), to_string(tensor));
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

// What --dtype asks for that only one format has.
void check_dtype(const ConvertArguments& arguments, TargetFormat format) {
  const auto refuse = [](std::string what, std::string found, std::string expected, std::string fix) {
    throw Error(Fault::usage, {.what = std::move(what),
                               .where = "command line",
                               .found = std::move(found),
                               .expected = std::move(expected),
                               .fix = std::move(fix)});
  };
  const std::string found = fmt::format("--dtype {} and --to {}", arguments.dtype, name(format));
  if (arguments.dtype == "q8_0" && format != TargetFormat::gguf)
    refuse("blocks of 8 bits are for GGUF files alone", found,
           "--to gguf, or a file whose name ends with .gguf",
           "--dtype bf16, or another name of what is made");
  if (arguments.dtype == "fp8" && format != TargetFormat::hugging_face)
    refuse("8-bit floats with factors are for folders of Hugging Face alone", found, "--to hf",
           "--dtype bf16, or --to hf");
  if (!arguments.scales.empty() && arguments.dtype != "fp8")
    refuse("only 8-bit floats have factors", fmt::format("--scales {}", arguments.scales),
           "--dtype fp8 beside it", "leave --scales out");
}

int convert(const ConvertArguments& arguments) {
  const auto files = make_posix_file_system();
  WorkerPool pool(arguments.threads);
  OpenRules rules = arguments.rules;
  rules.rename = renames(arguments.rename);
  const OpenedCheckpoint opened = open_checkpoint(*files, arguments.source, rules);
  const bool ours = opened.stored->format().starts_with("Strata");
  const TargetFormat format = arguments.to.empty() ? (arguments.target.ends_with(".gguf") ? TargetFormat::gguf
                                                      : !ours          ? TargetFormat::strata
                                                      : opened.adapter ? TargetFormat::peft
                                                                       : TargetFormat::hugging_face)
                                                   : *target_format_named(arguments.to);
  check_dtype(arguments, format);
  const bool fp8 = arguments.dtype == "fp8";
  const ConversionWish wish{
      .format = format,
      .names = arguments.names == "hf"     ? TargetNames::hugging_face
               : arguments.names == "ours" ? TargetNames::ours
                                           : TargetNames::automatic,
      .type = fp8                         ? ElementType::bf16
              : arguments.dtype == "keep" ? std::nullopt
                                          : element_type_named(arguments.dtype),
      .q8_0 = arguments.dtype == "q8_0",
      .fp8 =
          fp8 ? std::optional(arguments.scales == "fp32" ? ScaleKind::f32 : ScaleKind::pow2) : std::nullopt,
      .reinit = arguments.reinit,
      .allow_missing = arguments.rules.allow_missing};
  const ConversionPlan plan = plan_conversion(opened, wish);
  print_plan(opened, plan, arguments);
  if (arguments.dry_run) return 0;

  write_conversion(
      *files, opened, plan,
      {.target = arguments.target, .identity = identity_of(arguments.source), .memory = arguments.memory},
      pool);
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
  app.add_option("DST", arguments->target, "the folder to make; a file where its name ends with .gguf")
      ->required();
  app.add_option(
         "--to", arguments->to,
         "strata, hf, safetensors, dcp (torch.distributed.checkpoint), universal (DeepSpeed), megatron "
         "(torch_dist), peft or gguf (llama.cpp); default: hf (of adapters peft) from a checkpoint of ours, "
         "else strata")
      ->check(CLI::IsMember({"strata", "hf", "safetensors", "dcp", "universal", "megatron", "peft", "gguf"}));
  app.add_option("--names", arguments->names,
                 "of tensors in dcp and universal: hf or ours; default: hf where the model is known there")
      ->check(CLI::IsMember({"hf", "ours"}));
  app.add_option(
         "--dtype", arguments->dtype,
         "of the weights: keep (as they are), f32, bf16 or f16; of a GGUF file's matrices also q8_0; of "
         "linear layers for Hugging Face also fp8 (e4m3 with weight_scale_inv for 128x128 weights)")
      ->default_val("keep")
      ->check(CLI::IsMember({"keep", "f32", "bf16", "f16", "q8_0", "fp8"}));
  app.add_option(
         "--scales", arguments->scales,
         "factors of fp8: pow2 (powers of two: converting back and forth changes nothing; the default) "
         "or fp32 (a largest weight is the largest code)")
      ->check(CLI::IsMember({"pow2", "fp32"}));
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
      "  strata convert models/smollm2 smollm2\n  strata convert runs/tiny tiny-hf --dtype bf16\n"
      "  strata convert runs/tiny tiny.gguf --dtype q8_0       for llama.cpp\n"
      "  strata convert runs/tiny tiny-fp8 --dtype fp8         for transformers, vLLM");
  return [=] { return convert(*arguments); };
}

}  // namespace strata
