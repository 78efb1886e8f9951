// SPDX-License-Identifier: Apache-2.0
#include "launch/commands/command.h"

namespace strata {

Run add_bench(CLI::App& app);
Run add_bisect(CLI::App& app);
Run add_completion(CLI::App& app);
Run add_config(CLI::App& app);
Run add_convert(CLI::App& app);
Run add_data(CLI::App& app);
Run add_diff(CLI::App& app);
Run add_doctor(CLI::App& app);
Run add_eval(CLI::App& app);
Run add_finetune(CLI::App& app);
Run add_init(CLI::App& app);
Run add_inspect(CLI::App& app);
Run add_merge(CLI::App& app);
Run add_plan(CLI::App& app);
Run add_sample(CLI::App& app);
Run add_slurm(CLI::App& app);
Run add_tokenize(CLI::App& app);
Run add_train(CLI::App& app);
Run add_verify(CLI::App& app);
Run add_version(CLI::App& app);

std::span<const Command> commands() {
  // In the order of --help.
  static constexpr Command kCommands[] = {
      {"init", "write a commented configuration from a recipe", add_init},
      {"plan", "say what a step will do, need and take, without running it", add_plan},
      {"train", "train a model, or go on with a run", add_train},
      {"finetune", "train a model you have on data you have, in the best way that fits", add_finetune},
      {"sample", "let a trained model go on with a text", add_sample},
      {"eval", "measure a trained model's loss and perplexity on a text", add_eval},
      {"slurm", "write the batch script that trains under Slurm", add_slurm},
      {"tokenize", "turn text into a token file", add_tokenize},
      {"data", "show which tokens of texts and records are learned", add_data},
      {"convert", "turn a checkpoint of one format into another", add_convert},
      {"merge", "work adapters into the model they were trained beside", add_merge},
      {"inspect", "say what a checkpoint holds", add_inspect},
      {"verify", "read every byte of a checkpoint and compare it with its checksums", add_verify},
      {"diff", "name the tensors in which two checkpoints differ", add_diff},
      {"bisect", "name the first place where two runs or layouts differ", add_bisect},
      {"bench", "measure this machine: matrix products, whole steps, optimizer updates", add_bench},
      {"doctor", "say what is good and bad about this machine, and what mends it", add_doctor},
      {"config", "check or show a configuration, list its keys", add_config},
      {"completion", "print a script that completes command lines in bash, zsh or fish", add_completion},
      {"version", "say which version this is and how it was built", add_version},
  };
  return kCommands;
}

}  // namespace strata
