// SPDX-License-Identifier: Apache-2.0
#include "launch/train/build.h"

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/models/architectures.h"
#include "launch/train/adapter.h"
#include "launch/train/precision.h"
#include "optim/clip.h"
#include "optim/optimizer_table.h"
#include "optim/parameter_group.h"

namespace strata {

DType compute_type(const Config& config) {
  return config.precision.compute == ComputeType::fp32 ? DType::f32 : DType::bf16;
}

ModelSpec model_spec(const ModelConfig& m, int64_t vocab) {
  return {.arch = m.arch,
          .layers = m.layers,
          .hidden = m.hidden,
          .heads = m.heads,
          .kv_heads = m.kv_heads,
          .head_dim = m.head_dim,
          .ffn = m.ffn,
          .vocab = vocab,
          .max_positions = m.max_positions,
          .norm_eps = static_cast<float>(m.norm_eps),
          .init_std = static_cast<float>(m.init_std),
          .tied = m.tied,
          .qk_norm = m.qk_norm,
          .qkv_bias = m.qkv_bias,
          .rope = {.theta = m.rope_theta,
                   .llama3_scaling = m.rope_scaling == RopeScalingKind::llama3,
                   .factor = m.rope_factor,
                   .low_freq_factor = m.rope_low_freq_factor,
                   .high_freq_factor = m.rope_high_freq_factor,
                   .original_positions = static_cast<double>(m.rope_original_positions)}};
}

Model build_model(const Config& config, int64_t tokenizer_vocab, const Split& split) {
  const ModelConfig& m = config.model;
  if (m.vocab != 0 && m.vocab < tokenizer_vocab)
    throw Error(Fault::usage,
                {.what = "model.vocab is smaller than the tokenizer's vocabulary",
                 .where = fmt::format("model.vocab, data.tokenizer = \"{}\"", config.data.tokenizer),
                 .found = fmt::format("model.vocab = {}", m.vocab),
                 .expected = fmt::format("at least {}", tokenizer_vocab),
                 .fix = "use the model's own tokenizer; for a new model leave model.vocab out"});
  ModelSpec spec = model_spec(m, m.vocab ? m.vocab : tokenizer_vocab);
  spec.lora = lora_spec(config.adapter, config.run.seed);
  spec.preference = {.on = config.loss.kind == LossKind::dpo,
                     .beta = static_cast<float>(config.loss.beta),
                     .smoothing = static_cast<float>(config.loss.label_smoothing)};
  Model model = make_model(spec, compute_type(config), split);
  choose_trained(config, model);
  if (config.precision.compute == ComputeType::fp8) apply_recipe(recipe_options(config), model);
  return model;
}

std::unique_ptr<UpdateRule> build_update_rule(const Config& config) {
  return make_update_rule(config.optimizer.type, name(config.precision.state), compute_type(config),
                          {.beta1 = config.optimizer.betas[0],
                           .beta2 = config.optimizer.betas[1],
                           .eps = config.optimizer.eps,
                           .momentum = config.optimizer.momentum});
}

LearningRateSchedule build_learning_rate(const Config& config) {
  return LearningRateSchedule({.type = config.schedule.type,
                               .peak = config.optimizer.lr,
                               .steps = config.run.steps,
                               .warmup = config.schedule.warmup,
                               .decay = config.schedule.decay,
                               .min_lr = config.schedule.min_lr});
}

UpdateScalars update_scalars(const Config& config, const LearningRateSchedule& schedule,
                             const Parameter& parameter, int64_t step, int64_t update) {
  return {.learning_rate = static_cast<float>(schedule.rate(step)),
          .weight_decay = weight_decay_of(parameter, static_cast<float>(config.optimizer.weight_decay)),
          .step = update,
          .key = {.seed = static_cast<uint64_t>(config.run.seed),
                  .stream = hash_name(parameter.name),
                  .step = static_cast<uint32_t>(step)}};
}

ClipRule build_clip_rule(const Config& config, StepGuard& guard, const int64_t& step) {
  return [max_norm = config.optimizer.grad_clip, out = config.run.out, &guard, &step](StepScalars& sums) {
    const Clip clip = clip_by_norm(sums.squares, max_norm);
    sums.grad_norm = clip.norm;
    sums.coefficient = clip.gradient_scale;
    const double loss = sums.loss.mean();
    const StepVerdict verdict = guard.judge(loss, clip.norm);
    sums.skip = verdict.action == StepAction::skip;
    if (verdict.action == StepAction::stop)
      throw Error(Fault::numeric,
                  {.what = fmt::format("training stopped at step {}: {}", step, verdict.reason),
                   .where = out,
                   .found = fmt::format("loss {}, gradient norm {}", loss, clip.norm),
                   .expected = "finite numbers (guard.nan), and no spike (guard.spike)",
                   .fix = "lower optimizer.lr, lengthen schedule.warmup, or set guard.nan = \"skip\""});
  };
}

}  // namespace strata
