// SPDX-License-Identifier: Apache-2.0
#include "launch/train/base_model.h"

#include <charconv>
#include <cmath>
#include <filesystem>

#include "core/base/error.h"
#include "launch/convert/open_checkpoint.h"
#include "launch/train/initial_weights.h"
#include "launch/train/loading_rules.h"
#include "launch/train/run_tensors.h"

namespace strata {

bool trains_adapters(const Config& config) { return config.adapter.type != AdapterType::none; }

AdapterInfo adapter_info(const AdapterConfig& adapter) {
  return {.rank = adapter.rank,
          .alpha = adapter.alpha,
          .rank_stabilized = adapter.rank_stabilized,
          .dropout = adapter.dropout};
}

void require_same_ties(const AdapterInfo& adapter, std::span<const TensorSpec> tensors, bool tied,
                       const std::string& where) {
  if (!tied || adapter.tied) return;
  for (const TensorSpec& tensor : tensors)
    if (tensor.name == "embedding.weight")
      throw Error(Fault::model, {.what = "the embedding was trained apart from the head that it is tied to",
                                 .where = where,
                                 .found = "an embedding of its own, for a model that has one table for both",
                                 .expected = "adapters that peft made with ensure_weight_tying = true",
                                 .fix = "merge them in peft, which unties the model"});
}

void describe_adapters(nlohmann::json& meta, const Config& config, const BaseModel& base) {
  AdapterInfo info = adapter_info(config.adapter);
  info.tied = config.model.tied;
  meta["adapter"] = to_json(info);
  meta["base"] = {{"path", base.path}, {"digest", fmt::format("{:016x}", base.digest)}};
}

std::optional<BaseModel> base_of(const nlohmann::json& meta) {
  try {
    const auto at = meta.find("base");
    if (at == meta.end()) return std::nullopt;
    const std::string digest = at->value("digest", "");
    BaseModel base{.path = at->at("path")};
    std::from_chars(digest.data(), digest.data() + digest.size(), base.digest, 16);
    return base;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

BaseModel load_base(FileSystem& files, const Config& config, const std::optional<BaseModel>& of_checkpoint,
                    StepRunner& runner, const UpdateRule& rule, const Loading& loading) {
  std::string path = config.model.from;
  if (of_checkpoint && !files.info(path) && files.info(of_checkpoint->path)) path = of_checkpoint->path;
  std::error_code ignored;
  BaseModel base{.path = std::filesystem::absolute(path, ignored).lexically_normal().string()};
  Loading of_model = loading;
  of_model.rules = rules_about(LoadedPart::model, loading.rules, runner.plan().model());
  base.digest = load_initial_weights(files, path, runner, rule, of_model);
  if (of_checkpoint && of_checkpoint->digest != 0 && of_checkpoint->digest != base.digest)
    throw Error(
        Fault::model,
        {.what = "the model is not the one that the adapters were trained beside",
         .where = path,
         .found = fmt::format("weights with digest {:016x}", base.digest),
         .expected = fmt::format("{:016x}, as it lay at {}", of_checkpoint->digest, of_checkpoint->path),
         .fix = "put the model back where model.from says, or train new adapters in another run.out"});
  return base;
}

void load_adapters(FileSystem& files, const AdapterConfig& adapter, StepRunner& runner,
                   const UpdateRule& rule, const Loading& loading) {
  const auto refuse = [&](std::string what, std::string found, std::string expected, std::string fix) {
    throw Error(Fault::model, {.what = std::move(what),
                               .where = "adapter.from = " + adapter.from,
                               .found = std::move(found),
                               .expected = std::move(expected),
                               .fix = std::move(fix)});
  };
  if (!files.info(adapter.from))
    refuse("there are no adapters to begin with", "nothing of that name",
           "a folder of peft, or a run with adapters",
           "check the path, or leave adapter.from out for new ones");
  const OpenedCheckpoint opened = open_checkpoint(files, adapter.from);
  if (!opened.adapter)
    refuse("this holds no adapters", opened.stored->format(), "a folder of peft, or a run with adapters",
           "model.from takes whole models");
  const AdapterInfo here = adapter_info(adapter), there = *opened.adapter;
  if (there.rank != here.rank || std::abs(there.scale() - here.scale()) > 1e-6 * here.scale())
    refuse("the adapters have another rank or scale",
           fmt::format("rank {}, alpha {}{}", there.rank, there.alpha,
                       there.rank_stabilized ? ", rank-stabilised" : ""),
           fmt::format("rank {}, alpha {}{}", here.rank, here.alpha,
                       here.rank_stabilized ? ", rank-stabilised" : ""),
           fmt::format("adapter.rank={} adapter.alpha={} adapter.rank_stabilized={}", there.rank, there.alpha,
                       there.rank_stabilized));
  require_same_ties(there, opened.source().tensors(), runner.plan().model().spec.tied,
                    "adapter.from = " + adapter.from);
  Loading of_adapters = loading;
  of_adapters.rules = rules_about(LoadedPart::adapters, loading.rules, runner.plan().model());
  load_values(opened.source(), RunTensors::Wanted::adapters, runner, rule, of_adapters);
}

}  // namespace strata
