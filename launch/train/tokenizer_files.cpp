// SPDX-License-Identifier: Apache-2.0
#include "launch/train/tokenizer_files.h"

#include "checkpoint/adapters/hugging_face.h"
#include "core/data/records/chat_format.h"

namespace strata {

namespace {

constexpr std::string_view kTemplate = "chat_template.jinja";

std::vector<Asset> files_of(FileSystem& files, const std::string& tokenizer) {
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

}  // namespace

std::vector<Asset> tokenizer_files(FileSystem& files, const std::string& tokenizer,
                                   const std::string& chat_template) {
  std::vector<Asset> assets = files_of(files, tokenizer);
  if (chat_template.empty()) return assets;
  std::erase_if(assets, [](const Asset& asset) { return asset.name == kTemplate; });
  assets.push_back({std::string(kTemplate), open_chat_format(chat_template, tokenizer).chat.source()});
  return assets;
}

std::string tokenizer_of_checkpoint(FileSystem& files, const std::string& checkpoint,
                                    const std::string& tokenizer) {
  const std::string assets = checkpoint + "/assets";
  if (files.info(assets + "/tokenizer.json")) return assets;
  if (files.info(assets + "/tokenizer.model")) return assets + "/tokenizer.model";
  return tokenizer;
}

std::string chat_template_of_checkpoint(FileSystem& files, const std::string& checkpoint,
                                        const std::string& chat_template) {
  if (is_built_in_chat_template(chat_template)) return chat_template;  // it brings its tokens
  const std::string own = checkpoint + "/assets/" + std::string(kTemplate);
  return files.info(own) ? own : chat_template;
}

}  // namespace strata
