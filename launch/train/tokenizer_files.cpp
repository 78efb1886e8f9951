// SPDX-License-Identifier: Apache-2.0
#include "launch/train/tokenizer_files.h"

#include "checkpoint/adapters/hugging_face.h"

namespace strata {

std::vector<Asset> tokenizer_files(FileSystem& files, const std::string& tokenizer) {
  const auto info = files.info(tokenizer);
  if (!info) return {};
  if (info->type == FileInfo::Type::directory) {
    std::vector<Asset> assets = hf_assets(files, tokenizer);
    // The model that lay beside it may be another one.
    std::erase_if(assets, [](const Asset& asset) {
      return asset.name == "config.json" || asset.name == "generation_config.json";
    });
    return assets;
  }
  if (tokenizer.ends_with(".model")) return {{"tokenizer.model", read_file(files, tokenizer)}};
  std::vector<Asset> assets{{"tokenizer.json", read_file(files, tokenizer)}};
  const std::string beside = parent_directory(tokenizer) + "/tokenizer_config.json";
  if (files.info(beside)) assets.push_back({"tokenizer_config.json", read_file(files, beside)});
  return assets;
}

std::string tokenizer_of_checkpoint(FileSystem& files, const std::string& checkpoint,
                                    const std::string& tokenizer) {
  const std::string assets = checkpoint + "/assets";
  if (files.info(assets + "/tokenizer.json")) return assets;
  if (files.info(assets + "/tokenizer.model")) return assets + "/tokenizer.model";
  return tokenizer;
}

}  // namespace strata
