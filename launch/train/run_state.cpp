// SPDX-License-Identifier: Apache-2.0
#include "launch/train/run_state.h"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "checkpoint/adapters/mapped_source.h"
#include "checkpoint/step_folders.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "launch/train/precision.h"
#include "launch/train/run_tensors.h"

namespace strata {

nlohmann::json run_meta(const RunPosition& position, const UpdateRule& rule, const std::string& config_toml,
                        uint64_t data_fingerprint, const std::string& layout) {
  return {{"step", position.step},
          {"updates", position.updates},
          {"cursor", position.cursor},
          {"tokens_seen", position.tokens_seen},
          {"guard", {{"losses", position.guard.losses}, {"gradient_norms", position.guard.gradient_norms}}},
          {"update_rule", rule.name()},
          {"data", data_fingerprint},
          {"layout", layout},
          {"config", config_toml}};
}

RunPosition position_of(const nlohmann::json& meta, const UpdateRule& rule, uint64_t data_fingerprint,
                        const std::string& where) {
  RunPosition position;
  try {
    if (meta.at("data") != data_fingerprint)
      throw Error(Fault::data,
                  {.what = "the data is not what this run was trained on so far",
                   .where = where,
                   .found = fmt::format("data fingerprint {:016x}", data_fingerprint),
                   .expected = fmt::format("{:016x}", meta.at("data").get<uint64_t>()),
                   .fix = "restore data.train, data.valid and data.tokenizer, or start a new run.out"});
    // Another state format of the same optimizer is converted.
    const auto optimizer = [](const std::string& name) { return name.substr(0, name.find('/')); };
    if (optimizer(meta.at("update_rule").get<std::string>()) != optimizer(rule.name()))
      throw Error(
          Fault::model,
          {.what = "the checkpoint holds the state of another optimizer",
           .where = where,
           .found = meta.at("update_rule").get<std::string>(),
           .expected = rule.name(),
           .fix = "keep optimizer.type, or begin with its weights alone: model.from in a new run.out"});
    position = {.step = meta.at("step"),
                .updates = meta.at("updates"),
                .cursor = meta.at("cursor"),
                .tokens_seen = meta.at("tokens_seen")};
    position.guard.losses = meta.at("guard").at("losses").get<std::vector<double>>();
    position.guard.gradient_norms = meta.at("guard").at("gradient_norms").get<std::vector<double>>();
  } catch (const nlohmann::json::exception& e) {
    throw Error(
        Fault::model,
        {.what = "the checkpoint does not say where its run stood", .where = where, .found = e.what()});
  }
  return position;
}

RunPosition load_run(const StrataSource& checkpoint, StepRunner& runner, const UpdateRule& rule,
                     uint64_t data_fingerprint, const Loading& loading) {
  const RunPosition position = position_of(checkpoint.metadata(), rule, data_fingerprint, checkpoint.path());
  const MappedSource state =
      select_tensors(checkpoint, [](const TensorSpec& tensor) { return !is_scale_history(tensor); });
  RestoreReport report =
      RunTensors(runner, rule, loading.stream).restore(state, loading.peers, loading.pool, loading.rules);
  if (loading.report) *loading.report = std::move(report);
  runner.weights_changed();
  return position;
}

void load_weights(const StrataSource& checkpoint, StepRunner& runner, const UpdateRule& rule,
                  const Loading& loading) {
  RestoreRules rules = loading.rules;
  rules.ignore_extra.push_back("*");  // the optimizer's state
  RunTensors(runner, rule, loading.stream).restore(checkpoint, loading.peers, loading.pool, rules);
  runner.weights_changed();
}

LoadedConfig checkpoint_config(const StrataSource& checkpoint) {
  const auto text = checkpoint.metadata().find("config");
  if (text == checkpoint.metadata().end() || !text->is_string())
    throw Error(Fault::model,
                {.what = "the checkpoint does not hold a configuration", .where = checkpoint.path()});
  return parse_config(text->get<std::string>(), checkpoint.path() + ":config");
}

bool holds_checkpoint(FileSystem& files, const std::string& path) {
  const auto info = files.info(path);
  if (!info || info->type != FileInfo::Type::directory) return false;
  return files.info(path + "/" + std::string(kManifestName)) ||
         !list_steps(files, path + "/checkpoints").empty() || !list_steps(files, path).empty();
}

std::string find_checkpoint(FileSystem& files, const std::string& path) {
  if (const auto info = files.info(path); info && info->type != FileInfo::Type::directory)
    throw Error(Fault::model, {.what = "a checkpoint is a folder",
                               .where = path,
                               .found = "a file",
                               .expected = "a run's OUT, or a folder step-N with a manifest.json",
                               .fix = "name the folder: " + parent_directory(path)});
  if (files.info(path + "/" + std::string(kManifestName))) return path;
  for (const std::string& directory : {path + "/checkpoints", path}) {
    const StepChoice choice = choose_step(files, directory);
    if (choice.folder) {
      for (const std::string& damaged : choice.passed_over) log::warn("passed over {}", damaged);
      return choice.folder->path;
    }
    if (!choice.passed_over.empty())
      throw Error(Fault::model, {.what = "no checkpoint in this folder is whole",
                                 .where = directory,
                                 .found = fmt::format("{}", fmt::join(choice.passed_over, "\n            ")),
                                 .expected = "a checkpoint with its manifest.json, which is written last",
                                 .fix = "restore one, or use another run"});
  }
  throw Error(Fault::model,
              {.what = "there is no checkpoint here",
               .where = path,
               .found = files.info(path) ? "a folder without one" : "no such folder",
               .expected = "a run's OUT, or a folder step-N with a manifest.json",
               .fix = "name the OUT folder of a run that has saved, or one of its checkpoints"});
}

}  // namespace strata
