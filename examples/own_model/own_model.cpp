// SPDX-License-Identifier: Apache-2.0
// A model of one's own from Strata's blocks, trained in one process: an hourglass whose outer layers are wide
// and whose inner ones are narrow. It learns to count.
#include <fmt/core.h>

#include <memory>

#include "core/device/cpu/cpu_stream.h"
#include "core/nn/embedding_block.h"
#include "core/nn/loss_head.h"
#include "core/nn/transformer_block.h"
#include "core/step/step_runner.h"
#include "optim/clip.h"
#include "optim/optimizer_table.h"

using namespace strata;

// Any list of blocks between an embedding and a head is a model: layouts, memory plans and checkpoints follow
// from it.
Model make_hourglass(const ModelSpec& spec) {
  Model model;
  model.spec = spec;
  model.rotary = true;
  model.blocks.push_back(make_embedding_block({.vocab = spec.vocab,
                                               .hidden = spec.hidden,
                                               .padded_vocab = padded_vocab(spec.vocab, 1),
                                               .init_std = 0.02f}));
  for (int layer = 0; layer < spec.layers; ++layer) {
    const bool outer = layer == 0 || layer + 1 == spec.layers;
    model.blocks.push_back(make_transformer_block({.layer = layer,
                                                   .hidden = spec.hidden,
                                                   .heads = spec.heads,
                                                   .kv_heads = outer ? spec.heads : 1,
                                                   .head_dim = spec.head_dim,
                                                   .ffn = outer ? spec.ffn : spec.ffn / 2}));
  }
  model.head = make_loss_head({.vocab = spec.vocab,
                               .padded_vocab = padded_vocab(spec.vocab, 1),
                               .hidden = spec.hidden,
                               .init_std = 0.02f});
  return model;
}

// Every row counts up from a number of its own.
Batch counting(int64_t rows, int64_t length, int64_t vocab, int64_t from) {
  Batch batch{.rows = rows, .seq_len = length, .num_targets = rows * length};
  for (int64_t i = 0; i < rows * length; ++i) {
    const int64_t number = from + i / length * 31 + i % length;
    batch.tokens.push_back(static_cast<int32_t>(number % vocab));
    batch.targets.push_back(static_cast<int32_t>((number + 1) % vocab));
    batch.positions.push_back(static_cast<int32_t>(i % length));
    if (i % length == 0) batch.segment_begin.push_back(static_cast<int32_t>(i));
  }
  batch.segment_begin.push_back(static_cast<int32_t>(rows * length));
  return batch;
}

int main() {
  const Model model = make_hourglass({.layers = 4,
                                      .hidden = 64,
                                      .heads = 4,
                                      .kv_heads = 4,
                                      .head_dim = 16,
                                      .ffn = 256,
                                      .vocab = 90,
                                      .max_positions = 32});
  const auto rule = make_update_rule("adamw", "fp32", DType::f32, {});
  const StepPlan plan(model,
                      {.geometry = {.rows = 8, .seq_len = 32, .micro_batches = 1}, .rule = rule.get()});
  fmt::print("{} parameters, {:.1f} MiB for all of it\n", model.num_parameters(),
             plan.arena_bytes() / 1048576.0);

  WorkerPool pool(2);
  CpuStream stream(pool);
  const auto memory = make_cpu_allocator();
  StepRunner runner(plan, {stream}, *memory, [](StepScalars& sums) {
    sums.coefficient = clip_by_norm(sums.squares, 1).gradient_scale;
  });
  runner.initialize(1);
  double loss = 0;
  for (int64_t step = 1; step <= 60; ++step) {
    const Batch batch = counting(8, 32, 90, step * 17);
    loss =
        runner
            .train_step({&batch, 1},
                        [&](const Parameter&) { return UpdateScalars{.learning_rate = 3e-3f, .step = step}; })
            .loss.value() /
        static_cast<double>(batch.num_targets);
    if (step % 20 == 0) fmt::print("step {}  loss {:.4f}\n", step, loss);
  }
  return loss < 0.1 ? 0 : 1;
}
