// SPDX-License-Identifier: Apache-2.0
#include "launch/convert/conversion_plan.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "checkpoint/adapters/cast_source.h"
#include "checkpoint/adapters/gguf_content.h"
#include "checkpoint/adapters/gguf_description.h"
#include "checkpoint/adapters/gguf_names.h"
#include "checkpoint/adapters/gguf_rotary.h"
#include "checkpoint/adapters/gguf_vocabulary.h"
#include "checkpoint/adapters/megatron_model.h"
#include "checkpoint/adapters/megatron_names.h"
#include "checkpoint/adapters/model_tensors.h"
#include "checkpoint/adapters/quantized_source.h"
#include "checkpoint/name_rules.h"
#include "core/base/error.h"
#include "launch/metrics/humanize.h"
#include "launch/train/precision.h"

namespace strata {
namespace {

struct Row {
  TargetFormat format;
  std::string_view name;
};
constexpr Row kRows[] = {{TargetFormat::strata, "strata"},
                         {TargetFormat::hugging_face, "hf"},
                         {TargetFormat::safetensors, "safetensors"},
                         {TargetFormat::dcp, "dcp"},
                         {TargetFormat::universal, "universal"},
                         {TargetFormat::megatron, "megatron"},
                         {TargetFormat::peft, "peft"},
                         {TargetFormat::gguf, "gguf"}};

constexpr bool is_float(ElementType type) {
  return type == ElementType::f64 || type == ElementType::f32 || type == ElementType::f16 ||
         type == ElementType::bf16;
}

// config.json as it came, or made from what is known of the model; of weights that were converted, with their
// type.
void add_config(ConversionPlan& plan, const HfModel& model, std::optional<ElementType> type) {
  const auto config = std::find_if(plan.assets.begin(), plan.assets.end(),
                                   [](const Asset& a) { return a.name == "config.json"; });
  if (config == plan.assets.end()) {
    ElementType stored = ElementType::f32;
    for (const TensorSpec& tensor : plan.source->tensors())
      if (is_float(tensor.type)) stored = tensor.type;
    if (type) stored = *type;
    plan.assets.push_back({"config.json", make_hf_config(model.spec, stored).dump(2) + "\n"});
  } else if (type) {
    auto json = nlohmann::ordered_json::parse(config->content);
    const nlohmann::ordered_json made = make_hf_config(model.spec, *type);
    json[json.contains("dtype") ? "dtype" : "torch_dtype"] = made["torch_dtype"];
    config->content = json.dump(2) + "\n";
  }
}

// Without what the target has no place for, and what is to be left out.
struct Wanted {
  bool state = false, histories = false;  // the optimizer's, and those of delayed scales
};
void leave_out(ConversionPlan& plan, const Wanted& wanted, const std::vector<std::string>& reinit) {
  struct Left {
    int64_t tensors = 0, bytes = 0;
  };
  NameRules rules("reinit", reinit);
  std::vector<MappedTensor> kept;
  std::map<std::string, Left> left;  // by whose they are
  bool any = false;
  for (size_t t = 0; t < plan.source->tensors().size(); ++t) {
    const TensorSpec& tensor = plan.source->tensors()[t];
    if (rules.apply(tensor.name)) {
      any = true;
      plan.dropped.push_back(to_string(tensor) + ": left out, for a run to make anew");
    } else if (tensor.state == "param" || (is_scale_history(tensor) ? wanted.histories : wanted.state)) {
      kept.push_back({tensor, {whole_piece(t, tensor.shape)}});
    } else {
      Left& of_state = left[fmt::format(
          "{} '{}'", is_scale_history(tensor) ? "histories of delayed scales," : "the optimizer's",
          tensor.state)];
      ++of_state.tensors;
      of_state.bytes += tensor.bytes();
    }
  }
  std::vector<std::string> unused;
  rules.list_unused(unused);
  if (!unused.empty())
    throw Error(Fault::usage, {.what = "a rule of the command line is of no use",
                               .where = plan.source->path(),
                               .found = fmt::format("{}", fmt::join(unused, "; ")),
                               .fix = "names are those of our tensors; one that ends with '*' means many"});
  if (left.empty() && !any) return;
  for (const auto& [whose, size] : left)
    plan.dropped.push_back(fmt::format("{}: {} tensors, {}", whose, size.tensors, human_bytes(size.bytes)));
  plan.steps.push_back(
      std::make_unique<MappedSource>(*plan.source, std::move(kept), plan.source->metadata(), plan.assets));
  plan.source = plan.steps.back().get();
}

// Whether a tensor that `rule` means is a model's, and is not there.
bool any_missing(const HfModel& model, const TensorSource& source, const std::string& rule) {
  std::set<std::string> there;
  for (const TensorSpec& tensor : source.tensors()) there.insert(tensor.name);
  const std::vector<std::string> rules{rule};
  NameRules means("allow-missing", rules);
  for (const ModelTensor& tensor : model_tensors(model.spec))
    if (!there.contains(tensor.name) && means.apply(tensor.name)) return true;
  return false;
}

void name_for_hugging_face(ConversionPlan& plan, const OpenedCheckpoint& opened, const ConversionWish& wish) {
  const auto model = opened.logical ? model_of(opened) : std::nullopt;
  if (!model)
    throw Error(Fault::usage,
                {.what = "no model of Hugging Face can be made of this",
                 .where = opened.stored->path(),
                 .found = opened.logical ? "no configuration of a model that transformers knows"
                                         : "tensors without a config.json, whose names mean nothing here",
                 .expected = "a checkpoint of strata train, or a model of transformers",
                 .fix = "--to safetensors, or --names ours, writes the tensors under the names they have"});
  std::vector<std::string> missing = wish.allow_missing;
  missing.insert(missing.end(), wish.reinit.begin(), wish.reinit.end());
  for (const std::string& name : opened.missing) missing.push_back(name.substr(0, name.find(' ')));
  // What was not there, or left out, was said to be: a rule that means nothing here did there.
  std::erase_if(missing, [&](const std::string& rule) { return !any_missing(*model, *plan.source, rule); });
  HfMapping mapping =
      to_hugging_face(*model, plan.source->tensors(), opened.stored->path(), opened.hf_prefix, missing);
  plan.dropped.insert(plan.dropped.end(), mapping.dropped.begin(), mapping.dropped.end());
  plan.steps.push_back(std::make_unique<MappedSource>(*plan.source, std::move(mapping.tensors),
                                                      plan.source->metadata(), plan.assets));
  plan.source = plan.steps.back().get();
  std::erase_if(plan.assets, [](const Asset& asset) { return asset.name == "config.toml"; });
  add_config(plan, *model, wish.type);
}

// Linear layers as codes and factors, rounded once from what they are; other weights as `rest`.
void store_in_8_bits(ConversionPlan& plan, ScaleKind kind, ElementType rest) {
  const std::span<const TensorSpec> tensors = plan.source->tensors();
  std::vector<bool> chosen(tensors.size());
  std::vector<ElementType> types(tensors.size());
  for (size_t t = 0; t < tensors.size(); ++t) {
    chosen[t] = tensors[t].shape.rank() == 2 && is_hugging_face_linear(tensors[t].name);
    types[t] = chosen[t] ? ElementType::f32 : is_float(tensors[t].type) ? rest : tensors[t].type;
  }
  if (std::find(chosen.begin(), chosen.end(), true) == chosen.end())
    throw Error(Fault::usage, {.what = "this model has no linear layers that transformers keeps in 8 bits",
                               .where = "command line",
                               .found = "--dtype fp8",
                               .expected = "a model of the Llama family",
                               .fix = "--dtype bf16"});
  plan.steps.push_back(std::make_unique<CastSource>(*plan.source, types));
  plan.steps.push_back(std::make_unique<QuantizedSource>(*plan.steps.back(), chosen, kind));
  plan.source = plan.steps.back().get();
  const auto config = std::find_if(plan.assets.begin(), plan.assets.end(),
                                   [](const Asset& a) { return a.name == "config.json"; });
  auto json = nlohmann::ordered_json::parse(config->content);
  json[kHfQuantization] = make_hf_quantization();
  config->content = json.dump(2) + "\n";
  plan.notes.push_back(fmt::format("linear layers in e4m3, {} for 128x128 weights; the others in {}",
                                   kind == ScaleKind::pow2 ? "a power of two" : "a factor of fp32",
                                   name(rest)));
  const ScaledBlocks blocks;
  for (size_t t = 0; t < tensors.size(); ++t)
    if (chosen[t] && (tensors[t].shape[0] % blocks.rows != 0 || tensors[t].shape[1] % blocks.columns != 0)) {
      plan.notes.push_back(
          fmt::format("{} does not consist of whole blocks: transformers decodes such "
                      "matrices wrongly where it has no kernels for 8 bits",
                      tensors[t].name));
      break;
    }
}

void name_for_peft(ConversionPlan& plan, const OpenedCheckpoint& opened) {
  if (!opened.adapter)
    throw Error(Fault::usage, {.what = "there are no adapters in this",
                               .where = opened.stored->path(),
                               .found = opened.stored->format() + ", a whole model",
                               .expected = "a run with adapter.type = \"lora\"",
                               .fix = "--to hf writes a whole model"});
  std::vector<MappedTensor> tensors = to_peft(*opened.adapter, plan.source->tensors(), opened.stored->path());
  std::erase_if(plan.assets, [](const Asset& asset) {
    return asset.name == "config.toml" || asset.name == "config.json";
  });
  plan.assets.push_back(
      {std::string(kPeftConfigName), make_peft_config(*opened.adapter, tensors).dump(2) + "\n"});
  plan.steps.push_back(std::make_unique<MappedSource>(*plan.source, std::move(tensors),
                                                      nlohmann::json::object(), plan.assets));
  plan.source = plan.steps.back().get();
}

GgufFileType file_type(const TensorSource& content, const ConversionWish& wish) {
  if (wish.q8_0) return GgufFileType::q8_0;
  for (const TensorSpec& tensor : content.tensors()) {
    if (tensor.shape.rank() != 2) continue;
    return tensor.type == ElementType::bf16  ? GgufFileType::bf16
           : tensor.type == ElementType::f16 ? GgufFileType::f16
                                             : GgufFileType::f32;
  }
  return GgufFileType::f32;
}

// Names, order of heads, types and what stands in front of them, as llama.cpp has them.
void make_gguf(ConversionPlan& plan, const OpenedCheckpoint& opened, const ConversionWish& wish) {
  const auto model = opened.logical ? model_of(opened) : std::nullopt;
  if (!model)
    throw Error(Fault::usage, {.what = "no GGUF file can be made of this",
                               .where = opened.stored->path(),
                               .found = "no configuration of a model that these files have",
                               .expected = "a checkpoint of strata train, or a model of transformers",
                               .fix = "--to safetensors writes the tensors under the names they have"});
  const std::string arch = gguf_architecture(*model);
  GgufMapping mapping = to_gguf(*model, plan.source->tensors(), opened.stored->path());
  plan.steps.push_back(std::make_unique<RotaryOrderSource>(*plan.source, std::move(mapping.head_rows),
                                                           RotaryOrderSource::To::gguf));
  plan.steps.push_back(std::make_unique<MappedSource>(*plan.steps.back(), std::move(mapping.tensors),
                                                      nlohmann::json::object(), plan.assets));
  GgufContentWish content{.type = wish.type, .q8_0 = wish.q8_0};
  if (model->spec.rope.llama3_scaling && arch != "gpt2")
    content.rope_factors = llama3_rope_factors(model->spec.rope, model->spec.head_dim);
  auto made = std::make_unique<GgufContent>(*plan.steps.back(), std::move(content));
  plan.gguf.emplace();
  plan.gguf->in_blocks = made->in_blocks();
  plan.steps.push_back(std::move(made));
  plan.source = plan.steps.back().get();
  const std::filesystem::path path = opened.stored->path();
  describe_gguf_model(*model, path.stem().string(), file_type(*plan.source, wish), plan.gguf->values);
  const std::string note = embed_gguf_vocabulary(plan.assets, model->spec.vocab, plan.gguf->values);
  if (!note.empty()) plan.notes.push_back(note);
  plan.assets.clear();  // inside
}

void refuse_adapters(const OpenedCheckpoint& opened) {
  if (opened.adapter)
    throw Error(Fault::usage,
                {.what = "these are adapters beside a model, not a model",
                 .where = opened.stored->path(),
                 .found = fmt::format("adapters of rank {}", opened.adapter->rank),
                 .expected = "a whole model",
                 .fix = fmt::format("`strata merge {} OUT` makes one; --to peft keeps the adapters apart",
                                    opened.stored->path())});
}

// Stacked and fused tensors, arguments, and nothing else: tokenizers lie elsewhere there.
void make_megatron(ConversionPlan& plan, const OpenedCheckpoint& opened) {
  const auto model = opened.logical ? model_of(opened) : std::nullopt;
  if (!model)
    throw Error(Fault::usage, {.what = "no checkpoint of Megatron can be made of this",
                               .where = opened.stored->path(),
                               .found = "no configuration of a model that these files have",
                               .expected = "a checkpoint of strata train, or a model of transformers"});
  const auto step = plan.source->metadata().find("step");
  const int64_t iteration =
      step != plan.source->metadata().end() && step->is_number_integer() ? step->get<int64_t>() : 0;
  plan.assets = make_megatron_files(model->spec, iteration);
  plan.objects = make_megatron_extra_states(model->spec);
  plan.steps.push_back(std::make_unique<MappedSource>(
      *plan.source, to_megatron(*model, plan.source->tensors(), opened.stored->path()),
      nlohmann::json{{"step", iteration}}, plan.assets));
  plan.source = plan.steps.back().get();
}

}  // namespace

std::string_view name(TargetFormat format) { return kRows[static_cast<size_t>(format)].name; }

std::optional<TargetFormat> target_format_named(std::string_view name) {
  for (const Row& row : kRows)
    if (row.name == name) return row.format;
  return std::nullopt;
}

ConversionPlan plan_conversion(const OpenedCheckpoint& opened, const ConversionWish& wish) {
  ConversionPlan plan{.format = wish.format,
                      .source = &opened.source(),
                      .assets = opened.source().assets(),
                      .dropped = opened.dropped};
  for (const std::string& name : opened.missing) plan.dropped.push_back(name + ": missing, as was allowed");
  // DeepSpeed keeps parameters and moments as f32.
  const auto type = wish.format == TargetFormat::universal ? std::optional(ElementType::f32) : wish.type;
  if (type && !wish.fp8 && wish.format != TargetFormat::gguf) {
    plan.steps.push_back(std::make_unique<CastSource>(*plan.source, *type));
    plan.source = plan.steps.back().get();
  }
  const bool megatron = wish.format == TargetFormat::megatron;
  const bool theirs = wish.format == TargetFormat::dcp || wish.format == TargetFormat::universal;
  const bool ours = wish.format == TargetFormat::strata;
  // The optimizer knows nothing of merged weights.
  leave_out(plan, {.state = (ours || theirs || megatron) && !opened.merged, .histories = ours && !opened.merged},
            wish.reinit);
  if (wish.format == TargetFormat::peft) name_for_peft(plan, opened);
  if (megatron) {
    refuse_adapters(opened);
    make_megatron(plan, opened);
    return plan;
  }
  if (wish.format == TargetFormat::gguf) {
    refuse_adapters(opened);
    make_gguf(plan, opened, wish);
    return plan;
  }
  if (wish.format == TargetFormat::hugging_face || wish.names == TargetNames::hugging_face ||
      (theirs && wish.names == TargetNames::automatic && opened.logical && !opened.adapter &&
       model_of(opened))) {
    refuse_adapters(opened);
    name_for_hugging_face(plan, opened, wish);
  }
  if (wish.fp8) store_in_8_bits(plan, *wish.fp8, *wish.type);
  return plan;
}

}  // namespace strata
