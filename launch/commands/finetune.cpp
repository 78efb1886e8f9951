// SPDX-License-Identifier: Apache-2.0
// strata finetune MODEL DATA: plans the ways to train the model on the data with this machine, chooses one,
// writes its configuration and starts it.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>

#include "core/base/error.h"
#include "launch/commands/command.h"
#include "launch/config/key_table.h"
#include "launch/finetune/ways.h"
#include "launch/recipes/start_model.h"
#include "launch/train/job.h"
#include "launch/train/temporary_folder.h"
#include "launch/train/trainer.h"
#include "launch/write_new_file.h"

namespace strata {
namespace {

namespace fs = std::filesystem;

struct FinetuneArguments {
  std::string model, data, out, method = "auto";
  std::vector<std::string> overrides;
  double epochs = 0;  // 0: 3 of records, 1 of text
  bool dry_run = false, yes = false;
};

Method method_named(const std::string& name) {
  return name == "full"    ? Method::full
         : name == "lora"  ? Method::lora
         : name == "qlora" ? Method::qlora
                           : Method::automatic;
}

std::string stem(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const std::string name = fs::path(path).stem().string();
  return name.empty() ? "model" : name;
}

// What overrides say of the keys that planning itself needs; all of them are looked at with the model's
// sizes.
LoadedConfig overridden(const FinetuneArguments& arguments) {
  constexpr std::string_view kSeqLen = "data.seq_len=";
  std::string row = "1";  // a step of one row goes with any length
  std::vector<std::string> overrides;
  for (const std::string& word : arguments.overrides)
    for (const std::string_view key :
         {std::string_view("run.device="), std::string_view("run.steps="), kSeqLen,
          std::string_view("data.tokenizer="), std::string_view("data.format="),
          std::string_view("data.chat_template="), std::string_view("offload.any_volume=")}) {
      if (!word.starts_with(key)) continue;
      overrides.push_back(word);
      if (key == kSeqLen) row = word.substr(key.size());
    }
  if (row.empty() || row.size() > 9 || row.find_first_not_of("0123456789") != std::string::npos) row = "1";
  return parse_config(
      "[run]\nsteps = 1\n[model]\nlayers = 1\nhidden = 64\nheads = 1\n[data]\ntrain = [\"data\"]\nseq_len = "
      "1\n[batch]\nmicro_batch = 1\ntokens_per_step = " +
          std::to_string(std::stol(row)) + "\n",
      "defaults", overrides);
}

bool confirmed() {
  fmt::print("\nstart? [Y/n] ");
  std::cout.flush();
  std::string answer;
  std::getline(std::cin, answer);
  return answer.empty() || answer[0] == 'y' || answer[0] == 'Y';
}

void require_fit(const std::vector<Way>& ways, const FinetuneArguments& arguments) {
  std::string found;
  for (const Way& way : ways)
    if (arguments.method == "auto" || way.method == method_named(arguments.method))
      found += fmt::format("{}{}: {}", found.empty() ? "" : "; ", way.name, way.obstacle);
  throw Error(
      Fault::memory,
      {.what = arguments.method == "auto"
                   ? "no way to train this model fits this machine"
                   : fmt::format("training by '{}' does not fit this machine", arguments.method),
       .where = arguments.model,
       .found = found,
       .expected = "enough memory and room on the drive of " + arguments.out,
       .fix = arguments.method == "auto"
                  ? "take a smaller model, shorter rows (data.seq_len=512), or --out on a larger drive"
                  : "leave --method out, or free what is missing"});
}

// A configuration that an earlier start wrote: the same command goes on.
void require_same_question(const LoadedConfig& loaded, const FinetuneArguments& arguments,
                           const std::string& file) {
  const Config& c = loaded.config;
  if (c.model.from == arguments.model && c.data.train == std::vector{arguments.data}) return;
  throw Error(Fault::usage,
              {.what = "another fine-tuning has its configuration there",
               .where = file,
               .found = fmt::format("{} on {}", c.model.from, c.data.train.empty() ? "" : c.data.train[0]),
               .expected = fmt::format("{} on {}", arguments.model, arguments.data),
               .fix = "choose another --out"});
}

FinetuneQuestion look(FileSystem& files, const FinetuneArguments& arguments, const std::string& file,
                      const std::string& tokenizer_parent) {
  const LoadedConfig words = overridden(arguments);
  const Config& given = words.given;
  const auto given_or_0 = [&](const char* key, int64_t value) {
    return words.origin(key).starts_with("command line") ? value : 0;
  };
  FinetuneQuestion question{.overrides = arguments.overrides, .file = file};
  const StartModel model = open_start_model(files, arguments.model, tokenizer_parent);
  question.spec = model.model.spec;
  const std::string tokenizer = given.data.tokenizer == "byte" ? model.tokenizer : given.data.tokenizer;
  question.data = estimate_data(
      {.path = arguments.data, .tokenizer = tokenizer, .chat_template = given.data.chat_template});
  question.epochs = arguments.epochs > 0 ? arguments.epochs : question.data.records ? 3 : 1;
  question.start = fitted_to_data({.model = arguments.model,
                                   .tokenizer = tokenizer,
                                   .data = arguments.data,
                                   .name = stem(arguments.out),
                                   .out = arguments.out,
                                   .seq_len = given_or_0("data.seq_len", given.data.seq_len),
                                   .steps = given_or_0("run.steps", given.run.steps)},
                                  question.spec, question.data, question.epochs);
  question.machine =
      look_at_finetune_machine(files, given.run.device, arguments.out, given.offload.any_volume);
  fmt::print("model      {}: a {} of {} layers, {} wide\n", arguments.model, model.model.family,
             question.spec.layers, question.spec.hidden);
  fmt::print("data       {}: {}\n", arguments.data, to_string(question.data));
  fmt::print("{}", to_string(question.machine));
  return question;
}

int finetune(FinetuneArguments arguments, const Job& job) {
  if (job.world.size() > 1)
    throw Error(Fault::usage, {.what = "ways are planned for one process",
                               .where = "command line",
                               .found = fmt::format("{} ranks", job.world.size()),
                               .fix = "strata finetune ... --dry-run, then mpirun -n N strata train FILE"});
  if (arguments.out.empty())
    arguments.out = fmt::format("runs/{}-{}", stem(arguments.model), stem(arguments.data));
  while (arguments.out.size() > 1 && arguments.out.ends_with('/')) arguments.out.pop_back();
  const std::string file = arguments.out + ".toml";
  if (fs::exists(file) && !arguments.dry_run) {
    const LoadedConfig loaded = load_config(file, arguments.overrides);
    require_same_question(loaded, arguments, file);
    fmt::print("goes on by {}\n", file);
    return train(loaded, job);
  }
  const auto files = make_posix_file_system();
  const TemporaryFolder aside("finetune");
  const std::string beside = fs::path(file).parent_path().string();
  const FinetuneQuestion question = look(*files, arguments, file, arguments.dry_run ? aside.path() : beside);
  const std::vector<Way> ways = plan_ways(question);
  const Way* chosen = choose_way(ways, method_named(arguments.method));
  fmt::print("plan       {} steps of {} rows of {} tokens, {:g} times through the data\n\n{}\n",
             question.start.steps, question.start.rows, question.start.seq_len, question.epochs,
             to_string(ways, chosen));
  fmt::print("Memory is planned exactly but for the program's own; times are estimates from peak rates.\n");
  if (arguments.method == "auto") fmt::print("Chosen: {}.\n", kChoiceRule);
  if (!chosen) require_fit(ways, arguments);
  if (question.machine.gpus > 1)
    fmt::print("There are {} GPUs: mpirun -n {} strata train {} parallel.partition=zero3\n",
               question.machine.gpus, question.machine.gpus, file);
  if (arguments.dry_run) {
    fmt::print("\nNothing was written. Without --dry-run: {}, then training.\n", file);
    return 0;
  }
  if (!beside.empty()) fs::create_directories(beside);
  write_new_file(file, chosen->toml, "the configuration");
  fmt::print("wrote      {}\n", file);
  if (!arguments.yes && isatty(STDIN_FILENO) != 0 && !confirmed()) {
    fmt::print("strata train {} starts it\n", file);
    return 0;
  }
  return train(load_config(file), job);
}

}  // namespace

Run add_finetune(CLI::App& app) {
  const auto arguments = std::make_shared<FinetuneArguments>();
  app.add_option("MODEL", arguments->model, "a Hugging Face folder, a GGUF file, or a run of Strata")
      ->required();
  app.add_option("DATA", arguments->data,
                 "text, .jsonl records (chat, prompt and completion, text) or a token file")
      ->required();
  app.add_option("key=value", arguments->overrides, "values of the configuration, such as data.seq_len=512");
  app.add_option("--out", arguments->out,
                 "folder of the run; default runs/MODEL-DATA. OUT.toml is its configuration");
  app.add_option("--method", arguments->method, "auto: " + std::string(kChoiceRule))
      ->check(CLI::IsMember({"auto", "full", "lora", "qlora"}))
      ->capture_default_str();
  app.add_option("--epochs", arguments->epochs, "times through the data; default 3 of records, 1 of text")
      ->check(CLI::PositiveNumber);
  app.add_flag("--dry-run", arguments->dry_run, "print the ways and stop");
  app.add_flag("--yes", arguments->yes, "start without asking (without a terminal nothing is asked)");
  app.footer(
      "Examples:\n  strata finetune models/qwen3 chat.jsonl\n"
      "  strata finetune models/qwen3 chat.jsonl --method lora --out runs/support adapter.rank=8\n"
      "  strata finetune smollm2.gguf notes.txt --dry-run      what would fit here, and how long it would "
      "take");
  return [=] { return run_job([&](const Job& job) { return finetune(*arguments, job); }); };
}

}  // namespace strata
