// SPDX-License-Identifier: Apache-2.0
#include "launch/convert/open_checkpoint.h"

#include <algorithm>
#include <map>
#include <set>

#include "checkpoint/adapters/dcp_source.h"
#include "checkpoint/adapters/gguf_model.h"
#include "checkpoint/adapters/gguf_names.h"
#include "checkpoint/adapters/gguf_rotary.h"
#include "checkpoint/adapters/gguf_tokenizer.h"
#include "checkpoint/adapters/megatron_model.h"
#include "checkpoint/adapters/megatron_names.h"
#include "checkpoint/adapters/megatron_source.h"
#include "checkpoint/adapters/safetensors_source.h"
#include "checkpoint/adapters/scaled_source.h"
#include "checkpoint/adapters/torch_source.h"
#include "checkpoint/adapters/universal_source.h"
#include "checkpoint/adapters/zero_source.h"
#include "checkpoint/strata_source.h"
#include "checkpoint/strict_json.h"
#include "core/base/error.h"
#include "launch/convert/name_map.h"
#include "launch/train/build.h"
#include "launch/train/run_state.h"

namespace strata {
namespace {

constexpr JsonLimits kConfigLimits{.depth = 32, .values = 100'000};

template <typename Assets>
auto config_of(Assets& assets) -> decltype(&assets[0]) {
  const auto found =
      std::find_if(assets.begin(), assets.end(), [](const Asset& a) { return a.name == "config.json"; });
  return found == assets.end() ? nullptr : &*found;
}

template <typename Source>
std::unique_ptr<TensorSource> open_as(FileSystem& files, const std::string& path, OpenedCheckpoint& opened) {
  auto source = std::make_unique<Source>(files, path);
  if constexpr (requires { source->shared(); }) opened.dropped = source->shared();
  if constexpr (requires { source->left_out(); }) opened.dropped = source->left_out();
  if constexpr (requires { source->model(); }) opened.model = source->model();
  return source;
}

// What a path may hold, the first that fits. A folder of ZeRO may have a universal checkpoint beside: the
// optimizer's own comes first.
struct Format {
  bool (*recognises)(FileSystem& files, const std::string& path);
  std::unique_ptr<TensorSource> (*open)(FileSystem& files, const std::string& path, OpenedCheckpoint& opened);
};
template <typename Source>
constexpr Format format_of() {
  return {&Source::recognises, &open_as<Source>};
}
constexpr Format kFormats[] = {format_of<SafetensorsSource>(), format_of<DcpSource>(),
                               format_of<MegatronSource>(),    format_of<ZeroSource>(),
                               format_of<UniversalSource>(),   format_of<TorchSource>()};

const Format* find_format(FileSystem& files, const std::string& path) {
  const auto found = std::find_if(std::begin(kFormats), std::end(kFormats),
                                  [&](const Format& format) { return format.recognises(files, path); });
  return found == std::end(kFormats) ? nullptr : found;
}

bool is_peft(FileSystem& files, const std::string& path) {
  return files.info(path + "/" + std::string(kPeftConfigName)).has_value();
}

OpenedCheckpoint open_peft(FileSystem& files, const std::string& path) {
  const std::string where = path + "/" + std::string(kPeftConfigName);
  OpenedCheckpoint opened;
  opened.adapter = parse_peft_config(parse_strict_json(read_file(files, where), where, kConfigLimits), where);
  opened.stored = std::make_unique<SafetensorsSource>(files, path + "/" + std::string(kPeftModelName));
  nlohmann::json metadata = opened.stored->metadata();
  metadata["adapter"] = to_json(*opened.adapter);
  metadata["base"] = {{"path", opened.adapter->base}};
  std::vector<Asset> assets = hf_assets(files, path);
  std::erase_if(assets, [](const Asset& asset) { return asset.name == "config.json"; });
  opened.renamed = std::make_unique<MappedSource>(*opened.stored,
                                                  from_peft(*opened.adapter, opened.stored->tensors(), path),
                                                  std::move(metadata), std::move(assets));
  opened.logical = true;
  return opened;
}

// Weights of 8 bits as the numbers that they stand for; the configuration says nothing of them any more.
void decode_weights(OpenedCheckpoint& opened, Asset& config, const std::string& where) {
  auto json = nlohmann::ordered_json::parse(config.content);
  const bool codes = ScaledSource::is_needed(*opened.stored);
  if (!codes && !json.contains(kHfQuantization)) return;
  const ScaledBlocks blocks = parse_hf_quantization(nlohmann::json(json), where);
  json.erase(kHfQuantization);
  config.content = json.dump(2) + "\n";
  if (!codes) return;
  opened.codes = std::move(opened.stored);
  opened.stored = std::make_unique<ScaledSource>(*opened.codes, blocks);
}

// Every tensor under the name that it is to be taken for.
void rename_stored(OpenedCheckpoint& opened, const OpenRules& rules) {
  if (rules.rename.empty()) return;
  std::map<std::string, std::string> names(rules.rename.begin(), rules.rename.end());
  std::set<std::string> used;
  std::vector<MappedTensor> tensors;
  for (size_t t = 0; t < opened.stored->tensors().size(); ++t) {
    TensorSpec tensor = opened.stored->tensors()[t];
    if (const auto rule = names.find(tensor.name); rule != names.end()) {
      used.insert(tensor.name);
      tensor.name = rule->second;
      check_logical(tensor, "--rename");
    }
    tensors.push_back({tensor, {whole_piece(t, tensor.shape)}});
  }
  for (const auto& [name, to] : names)
    if (!used.contains(name))
      throw Error(Fault::usage, {.what = "a tensor to rename is not there",
                                 .where = opened.stored->path(),
                                 .found = fmt::format("--rename {}={}", name, to),
                                 .fix = "strata inspect lists the names"});
  opened.files = std::move(opened.stored);
  opened.stored = std::make_unique<MappedSource>(*opened.files, std::move(tensors), opened.files->metadata(),
                                                 opened.files->assets());
}

// Tensors that have our own names, perhaps within a state dict ("model.embedding.weight"): as another format
// of what was once ours. Nothing of another program is called so.
bool name_ours(OpenedCheckpoint& opened, const std::vector<Asset>& assets) {
  const auto has = [&](const std::string& name) {
    const auto tensors = opened.stored->tensors();
    return std::any_of(tensors.begin(), tensors.end(), [&](const TensorSpec& t) { return t.name == name; });
  };
  for (const std::string& prefix : {std::string(), std::string("model.")}) {
    if (!has(prefix + "embedding.weight") || !has(prefix + "final_norm.weight")) continue;
    std::vector<MappedTensor> tensors;
    for (size_t t = 0; t < opened.stored->tensors().size(); ++t) {
      TensorSpec tensor = opened.stored->tensors()[t];
      if (!tensor.name.starts_with(prefix)) return false;
      tensor.name.erase(0, prefix.size());
      tensors.push_back({tensor, {whole_piece(t, tensor.shape)}});
    }
    opened.renamed =
        std::make_unique<MappedSource>(*opened.stored, std::move(tensors), opened.stored->metadata(), assets);
    opened.logical = true;
    return true;
  }
  return false;
}

// The tensors as our logical ones, where it is known what theirs are.
void name_logical(OpenedCheckpoint& opened, HfMapping mapping, std::vector<Asset> assets,
                  std::optional<int64_t> step) {
  nlohmann::json metadata = opened.stored->metadata();
  if (step) metadata["step"] = *step;
  metadata["hugging_face"] = {{"family", opened.model->family}, {"prefix", mapping.prefix}};
  opened.hf_prefix = mapping.prefix;
  opened.missing = std::move(mapping.missing);
  opened.dropped.insert(opened.dropped.end(), mapping.dropped.begin(), mapping.dropped.end());
  opened.twins = std::move(mapping.twins);
  opened.renamed = std::make_unique<MappedSource>(*opened.stored, std::move(mapping.tensors),
                                                  std::move(metadata), std::move(assets));
  opened.logical = true;
}

// A foreign checkpoint: of Megatron, of ours once, or with Hugging Face's names where there is a config.json.
OpenedCheckpoint open_model(FileSystem& files, const std::string& given, const OpenRules& rules) {
  OpenedCheckpoint opened;
  const std::string path = megatron_folder(files, given);
  opened.stored = find_format(files, path)->open(files, path, opened);
  const auto info = files.info(path);
  const std::string folder = info && info->type == FileInfo::Type::directory ? path : parent_directory(path);
  std::vector<Asset> assets = hf_assets(files, folder);
  Asset* const config = config_of(assets);
  if (config) {
    const std::string where = folder + "/config.json";
    opened.model = parse_hf_config(parse_strict_json(config->content, where, kConfigLimits), where);
    decode_weights(opened, *config, where);
  }
  rename_stored(opened, rules);
  if (!rules.map.empty()) {
    opened.renamed = map_names(*opened.stored, files, rules.map, assets, opened.dropped);
    opened.logical = true;
    return opened;
  }
  if (name_ours(opened, assets)) return opened;
  const std::span<const TensorSpec> stored = opened.stored->tensors();
  const bool megatron = has_megatron_names(stored);
  if (megatron && !opened.model) opened.model = megatron_model(files, folder);
  if (!opened.model) {
    opened.notes.push_back(
        megatron ? "neither Megatron's arguments nor a config.json are there: names stay as they are"
                 : "there is no config.json beside the tensors: their names stay as they are");
    return opened;
  }
  opened.notes = opened.model->notes;
  if (!config)
    assets.push_back({"config.json", make_hf_config(opened.model->spec, ElementType::f32).dump(2) + "\n"});
  name_logical(opened,
               megatron ? from_megatron(*opened.model, stored, path, rules.allow_missing)
                        : from_hugging_face(*opened.model, stored, path, rules.allow_missing),
               std::move(assets), megatron ? megatron_step(files, folder) : std::nullopt);
  return opened;
}

// The configuration that a folder of Hugging Face would have, with the ids of special tokens.
Asset config_of_gguf(const GgufSource& source, const HfModel& model) {
  nlohmann::ordered_json config = make_hf_config(model.spec, ElementType::f32);
  for (const auto& [which, key] : {std::pair("bos", "bos_token_id"), std::pair("eos", "eos_token_id"),
                                   std::pair("padding", "pad_token_id")})
    if (const auto id = gguf_token_id(source, which)) config[key] = *id;
  return {"config.json", config.dump(2) + "\n"};
}

OpenedCheckpoint open_gguf(FileSystem& files, const std::string& path, const OpenRules& rules) {
  OpenedCheckpoint opened;
  auto source = std::make_unique<GgufSource>(files, path);
  opened.model = parse_gguf_model(*source);
  GgufMapping mapping = from_gguf(*opened.model, source->tensors(), path, rules.allow_missing);
  opened.missing = std::move(mapping.missing);
  opened.dropped = std::move(mapping.dropped);
  GgufTokenizer tokenizer = make_gguf_tokenizer(*source);
  if (!tokenizer.note.empty()) opened.notes.push_back(std::move(tokenizer.note));
  std::vector<Asset> assets = std::move(tokenizer.assets);
  assets.push_back(config_of_gguf(*source, *opened.model));
  opened.reordered = std::make_unique<RotaryOrderSource>(*source, std::move(mapping.head_rows));
  opened.renamed = std::make_unique<MappedSource>(*opened.reordered, std::move(mapping.tensors),
                                                  source->metadata(), std::move(assets));
  opened.stored = std::move(source);
  opened.logical = true;
  return opened;
}

OpenedCheckpoint open_strata(FileSystem& files, const std::string& path, const OpenRules& rules) {
  OpenedCheckpoint opened;
  auto checkpoint = std::make_unique<StrataSource>(files, find_checkpoint(files, path));
  opened.logical = true;
  const std::vector<Asset> assets = checkpoint->assets();
  if (const Asset* const config = config_of(assets)) {
    const std::string where = checkpoint->path() + "/assets/config.json";
    opened.model = parse_hf_config(parse_strict_json(config->content, where, kConfigLimits), where);
  }
  const nlohmann::json& meta = checkpoint->metadata();
  if (const auto there = meta.find("hugging_face"); there != meta.end() && there->is_object() &&
                                                    there->contains("prefix") &&
                                                    (*there)["prefix"].is_string())
    opened.hf_prefix = (*there)["prefix"].get<std::string>();
  opened.adapter = adapter_info(meta);
  opened.stored = std::move(checkpoint);
  if (!rules.rename.empty()) opened.model = model_of(opened);  // which the names tell
  rename_stored(opened, rules);
  return opened;
}

}  // namespace

std::optional<HfModel> model_of(const OpenedCheckpoint& opened) {
  if (opened.model) return opened.model;
  const auto* const checkpoint = dynamic_cast<const StrataSource*>(opened.stored.get());
  if (!checkpoint || !checkpoint->metadata().contains("config")) return std::nullopt;
  // The vocabulary may be the tokenizer's, of which the configuration says nothing: the embedding has it.
  const auto table = checkpoint->find("embedding.weight", "param");
  if (!table || checkpoint->tensors()[*table].shape.rank() != 2) return std::nullopt;
  const LoadedConfig loaded = checkpoint_config(*checkpoint);
  HfModel model{.spec = model_spec(loaded.config.model, checkpoint->tensors()[*table].shape[0])};
  if (model.spec.qk_norm && model.spec.qkv_bias) return std::nullopt;
  model.family = hf_family(model.spec);
  return model;
}

bool is_foreign(FileSystem& files, const std::string& path) {
  return !files.info(path + "/" + std::string(kManifestName)) &&
         (GgufSource::recognises(files, path) || find_format(files, megatron_folder(files, path)) != nullptr);
}

OpenedCheckpoint open_checkpoint(FileSystem& files, const std::string& path, const OpenRules& rules) {
  const bool foreign = is_foreign(files, path), gguf = foreign && GgufSource::recognises(files, path);
  if (!rules.map.empty() && (!foreign || gguf))
    throw Error(Fault::usage, {.what = "--map is for foreign names",
                               .where = "command line",
                               .found = path + (gguf ? ", a GGUF file, whose names are known"
                                                     : ", whose names are ours or which is no checkpoint"),
                               .fix = "leave --map out"});
  if (const auto info = files.info(path); !foreign && info && info->type != FileInfo::Type::directory)
    throw Error(Fault::model,
                {.what = "this file is in no format that we read",
                 .where = path,
                 .expected = "safetensors, torch.save or GGUF; or the folder of a checkpoint or model",
                 .fix = "name the folder if it is a part of one"});
  if (gguf && !rules.rename.empty())
    throw Error(Fault::usage, {.what = "--rename is for names that are not known",
                               .where = "command line",
                               .found = path + ", a GGUF file",
                               .fix = "leave --rename out"});
  if (gguf) return open_gguf(files, path, rules);
  if (foreign && rules.map.empty() && is_peft(files, path)) return open_peft(files, path);
  return foreign ? open_model(files, path, rules) : open_strata(files, path, rules);
}

}  // namespace strata
