// SPDX-License-Identifier: Apache-2.0
#include "launch/config/refused.h"

#include <algorithm>
#include <string>

namespace strata {
namespace {

// A row leaves this table when its feature enters key_table.cpp.
constexpr RefusedKey kRefused[] = {
    {"offload.order", "", "it has another form here",
     "offload.group = 0 for all micro-batches of a layer at once"},
    {"offload.update", "", "the device updates its state in this version", "remove it"},
    {"batch.micro_batch", "auto", "choosing the micro-batch is not available in this version",
     "batch.micro_batch = 4, then raise it while memory lasts"},
    {"parallel.ep", "", "experts are not available in this version", "remove it"},
    {"gradient_accumulation_steps", "", "the number of micro-batches is derived",
     "set batch.tokens_per_step to samples x data.seq_len x accumulation steps"},
    {"gradient_checkpointing", "", "it has another form here", "parallel.recompute = \"full\""},
    {"activation_checkpointing", "", "it has another form here", "parallel.recompute = \"full\""},
    {"num_epochs", "", "a run is measured in steps",
     "run.steps = epochs x training tokens / batch.tokens_per_step"},
    {"num_train_epochs", "", "a run is measured in steps",
     "run.steps = epochs x training tokens / batch.tokens_per_step"},
    {"warmup_ratio", "", "the warm-up is counted in steps", "schedule.warmup = ratio x run.steps"},
    {"global_batch_size", "", "a step is measured in tokens",
     "batch.tokens_per_step = global batch size x data.seq_len"},
    {"adam_beta1", "", "both betas are one key", "optimizer.betas = [0.9, 0.95]"},
    {"adam_beta2", "", "both betas are one key", "optimizer.betas = [0.9, 0.95]"},
    {"bf16", "", "number formats are one key", "precision.compute = \"bf16\""},
    {"fp16", "", "fp16 is not offered: bf16 needs no loss scaling", "precision.compute = \"bf16\""},
};

std::string_view leaf(std::string_view path) { return path.substr(path.rfind('.') + 1); }

}  // namespace

const RefusedKey* refused_key(std::string_view path) {
  std::string normal(path);
  std::ranges::replace(normal, '-', '_');
  const std::string section = normal.substr(0, normal.find('.')) + ".*";
  for (const RefusedKey& row : kRefused) {
    const bool foreign = row.name.find('.') == std::string_view::npos;
    if (row.value.empty() &&
        (row.name == normal || row.name == section || (foreign && row.name == leaf(normal))))
      return &row;
  }
  return nullptr;
}

const RefusedKey* refused_value(std::string_view path, std::string_view value) {
  for (const RefusedKey& row : kRefused)
    if (!row.value.empty() && row.name == path && row.value == value) return &row;
  return nullptr;
}

}  // namespace strata
