// SPDX-License-Identifier: Apache-2.0
#include "launch/recipes/start_model.h"

#include <algorithm>
#include <filesystem>

#include "core/base/error.h"
#include "launch/convert/open_checkpoint.h"
#include "launch/train/run_state.h"
#include "launch/write_new_file.h"

namespace strata {
namespace {

namespace fs = std::filesystem;

// The model's tokenizer lies beside its weights, if at all.
std::string tokenizer_beside(const std::string& model) {
  if (fs::exists(model + "/tokenizer.json")) return model;
  if (fs::exists(model + "/tokenizer.model")) return model + "/tokenizer.model";
  return "byte";
}

std::string write_tokenizer(const std::vector<Asset>& assets, const fs::path& folder) {
  if (fs::exists(folder)) return folder.string();
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed)
    throw Error(Fault::environment, {.what = "the model's tokenizer was not written",
                                     .where = folder.string(),
                                     .found = failed.message(),
                                     .fix = "choose another place with -o"});
  for (const Asset& asset : assets)
    if (asset.name.starts_with("tokenizer"))
      write_new_file((folder / asset.name).string(), asset.content, "the model's tokenizer");
  return folder.string();
}

}  // namespace

StartModel open_start_model(FileSystem& files, const std::string& path, const std::string& tokenizer_parent) {
  const bool foreign = is_foreign(files, path);
  if (!foreign && !holds_checkpoint(files, path))
    throw Error(Fault::model,
                {.what = "there is no model here",
                 .where = path,
                 .found = files.info(path) ? "nothing that we know" : "nothing of that name",
                 .expected = "a folder of Hugging Face (config.json beside the weights), a GGUF "
                             "file, or a run of Strata",
                 .fix = "check the path; `strata inspect` says what a path holds"});
  const OpenedCheckpoint opened = open_checkpoint(files, foreign ? path : find_checkpoint(files, path));
  std::optional<HfModel> model = model_of(opened);
  if (!model)
    throw Error(Fault::model, {.what = "this model's sizes are not known",
                               .where = path,
                               .found = opened.stored->format(),
                               .expected = "a config.json beside the weights, or a checkpoint of Strata",
                               .fix = "see what it holds with `strata inspect " + path + "`"});
  if (fs::is_directory(path)) return {std::move(*model), tokenizer_beside(path)};
  const std::vector<Asset> assets = opened.source().assets();
  if (std::none_of(assets.begin(), assets.end(), [](const Asset& a) { return a.name == "tokenizer.json"; }))
    return {std::move(*model), "byte"};
  const fs::path folder = fs::path(tokenizer_parent) / (fs::path(path).stem().string() + "-tokenizer");
  return {std::move(*model), write_tokenizer(assets, folder)};
}

}  // namespace strata
