// SPDX-License-Identifier: Apache-2.0
// strata merge RUN OUT: the model that adapters were trained beside with them worked in, as a folder of
// Hugging Face or a checkpoint of ours. Bounded memory; then both are run on a few tokens and their logits
// compared.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "launch/commands/command.h"
#include "launch/convert/merged_source.h"
#include "launch/convert/write_conversion.h"
#include "launch/train/base_model.h"
#include "launch/train/initial_weights.h"
#include "launch/train/logits.h"

namespace strata {
namespace {

struct MergeArguments {
  std::string adapters, target, base, to = "hf", dtype = "keep", memory = "2GiB";
  int threads = 0;
};

OpenedCheckpoint open_adapters(FileSystem& files, const std::string& path) {
  OpenedCheckpoint opened = open_checkpoint(files, path);
  if (!opened.adapter)
    throw Error(Fault::model, {.what = "there are no adapters in this",
                               .where = path,
                               .found = opened.stored->format() + ", a whole model",
                               .expected = "a run with adapter.type = \"lora\", or a folder of peft",
                               .fix = "`strata convert` turns a whole model into another form"});
  return opened;
}

OpenedCheckpoint open_base(FileSystem& files, const std::string& path) {
  if (path.empty() || !files.info(path))
    throw Error(Fault::model, {.what = "the model that the adapters were trained beside is not there",
                               .where = path.empty() ? "the adapters' own description" : path,
                               .found = "nothing",
                               .fix = "say where it lies: --base MODEL"});
  OpenedCheckpoint base = open_checkpoint(files, path);
  if (!base.logical || base.adapter || !model_of(base))
    throw Error(Fault::model, {.what = "adapters cannot be merged into this",
                               .where = path,
                               .found = base.stored->format(),
                               .expected = "a whole model whose configuration is known"});
  return base;
}

// The model with the adapters beside it.
ModelSpec with_adapters(ModelSpec spec, const OpenedCheckpoint& adapters) {
  spec.lora = {.rank = adapters.adapter->rank, .scale = static_cast<float>(adapters.adapter->scale())};
  for (const TensorSpec& tensor : adapters.source().tensors()) {
    const size_t dot = std::min(tensor.name.rfind('.'), tensor.name.size());
    const std::string layer = tensor.name.substr(0, dot), end = tensor.name.substr(dot);
    if (tensor.state != "param" || end == kLoraB) continue;
    (end == kLoraA ? spec.lora.targets : spec.lora.whole).push_back(layer);
  }
  return spec;
}

std::vector<int32_t> some_tokens(int64_t vocab) {
  constexpr int kTokens = 16;
  std::vector<int32_t> ids;
  for (uint64_t i = 0; i < kTokens; ++i)
    ids.push_back(static_cast<int32_t>(mix64(i) % static_cast<uint64_t>(vocab)));
  return ids;
}

std::vector<float> logits_beside(const OpenedCheckpoint& base, const OpenedCheckpoint& adapters,
                                 const ModelSpec& spec, std::span<const int32_t> ids) {
  return model_logits(
      with_adapters(spec, adapters),
      [&](StepRunner& runner, const UpdateRule& rule, const Loading& loading) {
        const uint64_t digest = load_values(base.source(), RunTensors::Wanted::model, runner, rule, loading);
        const auto known = base_of(adapters.source().metadata());
        if (known && known->digest != 0 && known->digest != digest)
          throw Error(Fault::model,
                      {.what = "the model is not the one that the adapters were trained beside",
                       .where = base.stored->path(),
                       .found = fmt::format("weights with digest {:016x}", digest),
                       .expected = fmt::format("{:016x}, as it lay at {}", known->digest, known->path),
                       .fix = "say where the right one lies: --base MODEL"});
        load_values(adapters.source(), RunTensors::Wanted::adapters, runner, rule, loading);
      },
      ids);
}

int merge(const MergeArguments& arguments) {
  const auto files = make_posix_file_system();
  WorkerPool pool(arguments.threads);
  const OpenedCheckpoint adapters = open_adapters(*files, arguments.adapters);
  const std::string base_path = arguments.base.empty() ? adapters.adapter->base : arguments.base;
  OpenedCheckpoint base = open_base(*files, base_path);
  const ModelSpec spec = model_of(base)->spec;
  require_same_ties(*adapters.adapter, adapters.source().tensors(), spec.tied, adapters.stored->path());
  auto merged = std::make_unique<MergedSource>(base.source(), adapters.source(), adapters.adapter->scale());
  fmt::print(
      "adapters  {}: rank {}, alpha {}{}, of {} layers{}\n", adapters.stored->path(), adapters.adapter->rank,
      adapters.adapter->alpha, adapters.adapter->rank_stabilized ? ", rank-stabilised" : "",
      merged->num_merged(),
      merged->num_replaced() > 0 ? fmt::format("; trained whole: {} tensors", merged->num_replaced()) : "");
  fmt::print("model     {}: {}\n", base.stored->path(), base.stored->format());
  const std::vector<int32_t> ids = some_tokens(spec.vocab);
  const std::vector<float> beside = logits_beside(base, adapters, spec, ids);

  base.merged = std::move(merged);
  const auto type = arguments.dtype == "keep" ? std::nullopt : element_type_named(arguments.dtype);
  const ConversionPlan plan =
      plan_conversion(base, {.format = *target_format_named(arguments.to), .type = type});
  write_conversion(*files, base, plan,
                   {.target = arguments.target,
                    .identity = identity_of(arguments.adapters) + identity_of(base_path),
                    .memory = arguments.memory},
                   pool);

  const OpenedCheckpoint written = open_checkpoint(*files, arguments.target);
  const std::vector<float> inside = model_logits(
      spec,
      [&](StepRunner& runner, const UpdateRule& rule, const Loading& loading) {
        load_values(written.source(), RunTensors::Wanted::model, runner, rule, loading);
      },
      ids);
  const LogitsDistance distance = logits_distance(inside, beside, spec.vocab);
  fmt::print(
      "check     logits after {} tokens: merged and apart differ by {:.2e} at most, of {:.1f}; "
      "the likeliest token is the same after {}\n",
      distance.tokens, distance.largest, distance.magnitude, distance.same_choices);
  // Weights of 16 bits are rounded once more than those the adapters were trained beside.
  bool wide = true;
  for (const TensorSpec& tensor : plan.source->tensors()) wide = wide && tensor.type == ElementType::f32;
  const double bound = (wide ? 1e-4 : 0.1) * distance.magnitude;
  if (!(distance.largest <= bound))
    throw Error(Fault::numeric,
                {.what = "the merged model is not what the adapters and their model are together",
                 .where = arguments.target,
                 .found = fmt::format("logits that differ by {:.2e}", distance.largest),
                 .expected = fmt::format("at most {:.2e}", bound),
                 .fix = "merge with --dtype f32"});
  return 0;
}

}  // namespace

Run add_merge(CLI::App& app) {
  const auto arguments = std::make_shared<MergeArguments>();
  app.add_option("RUN", arguments->adapters,
                 "a run that trained adapters, one of its checkpoints, or a folder of peft")
      ->required();
  app.add_option("OUT", arguments->target, "the folder to make")->required();
  app.add_option("--base", arguments->base, "the model they were trained beside; default: where it lay");
  app.add_option("--to", arguments->to, "hf, or strata for a checkpoint of ours")
      ->capture_default_str()
      ->check(CLI::IsMember({"hf", "strata"}));
  app.add_option("--dtype", arguments->dtype,
                 "of the weights: keep (as the model has them), f32, bf16 or f16")
      ->capture_default_str()
      ->check(CLI::IsMember({"keep", "f32", "bf16", "f16"}));
  app.add_option("--memory", arguments->memory, "most memory to use while writing")->capture_default_str();
  app.add_option("--threads", arguments->threads, "0: one a core")->check(CLI::Range(0, 1024));
  app.footer("Example:\n  strata merge runs/tuned tuned-model");
  return [=] { return merge(*arguments); };
}

}  // namespace strata
