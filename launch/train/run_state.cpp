// SPDX-License-Identifier: Apache-2.0
#include "launch/train/run_state.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "launch/train/gathered_state.h"

namespace strata {

void save_run(FileSystem& files, const std::string& path, const StepRunner& runner, const UpdateRule& rule,
              const RunPosition& position, const std::string& config_toml, uint64_t data_fingerprint,
              Communicator* everyone) {
  const nlohmann::json meta{
      {"step", position.step},
      {"updates", position.updates},
      {"cursor", position.cursor},
      {"tokens_seen", position.tokens_seen},
      {"guard", {{"losses", position.guard.losses}, {"gradient_norms", position.guard.gradient_norms}}},
      {"update_rule", rule.name()},
      {"data", data_fingerprint},
      {"config", config_toml}};
  const GatheredState state = gather_state(runner, rule, everyone);
  if (!everyone || everyone->rank() == 0) save_local_checkpoint(files, path, meta, state.tensors);
  if (everyone) everyone->barrier();  // nobody goes on before it is durable
}

RunPosition load_run(const LocalCheckpoint& checkpoint, StepRunner& runner, const UpdateRule& rule,
                     uint64_t data_fingerprint) {
  const nlohmann::json& meta = checkpoint.meta();
  try {
    if (meta.at("data") != data_fingerprint)
      throw Error(Fault::data,
                  {.what = "the data is not what this run was trained on so far",
                   .where = checkpoint.path(),
                   .found = fmt::format("data fingerprint {:016x}", data_fingerprint),
                   .expected = fmt::format("{:016x}", meta.at("data").get<uint64_t>()),
                   .fix = "restore data.train, data.valid and data.tokenizer, or start a new run.out"});
    if (meta.at("update_rule") != rule.name())
      throw Error(Fault::model,
                  {.what = "the checkpoint holds the state of another optimizer or state format",
                   .where = checkpoint.path(),
                   .found = meta.at("update_rule").get<std::string>(),
                   .expected = rule.name()});
    RunPosition position{.step = meta.at("step"),
                         .updates = meta.at("updates"),
                         .cursor = meta.at("cursor"),
                         .tokens_seen = meta.at("tokens_seen")};
    position.guard.losses = meta.at("guard").at("losses").get<std::vector<double>>();
    position.guard.gradient_norms = meta.at("guard").at("gradient_norms").get<std::vector<double>>();
    scatter_state(checkpoint, runner, &rule);
    runner.weights_changed();
    return position;
  } catch (const nlohmann::json::exception& e) {
    throw Error(Fault::model, {.what = "the checkpoint does not say where its run stood",
                               .where = checkpoint.path(),
                               .found = e.what()});
  }
}

void load_weights(const LocalCheckpoint& checkpoint, StepRunner& runner) {
  scatter_state(checkpoint, runner, nullptr);
  runner.weights_changed();
}

LoadedConfig checkpoint_config(const LocalCheckpoint& checkpoint) {
  const auto text = checkpoint.meta().find("config");
  if (text == checkpoint.meta().end() || !text->is_string())
    throw Error(Fault::model,
                {.what = "the checkpoint does not hold a configuration", .where = checkpoint.path()});
  return parse_config(text->get<std::string>(), checkpoint.path() + ":config");
}

std::string find_checkpoint(FileSystem& files, const std::string& path) {
  const auto info = files.info(path);
  if (info && info->type == FileInfo::Type::directory) {
    for (const std::string& directory : {path + "/checkpoints", path})
      if (const auto steps = list_checkpoints(files, directory); !steps.empty()) return steps.back().path;
    throw Error(Fault::model,
                {.what = "there is no checkpoint in this folder",
                 .where = path,
                 .expected = "a run's OUT, or files step-N.strata",
                 .fix = "name the OUT folder of a run that has saved, or one of its checkpoints"});
  }
  return path;
}

}  // namespace strata
