// SPDX-License-Identifier: Apache-2.0
// strata sample CKPT --prompt TEXT [--prompt TEXT ...] [--chat]
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/data/records/chat_format.h"
#include "core/data/utf8.h"
#include "launch/commands/command.h"
#include "launch/train/generate.h"

namespace strata {
namespace {

struct SampleArguments {
  std::string checkpoint;
  std::vector<std::string> prompts;
  std::string file;  // with a prompt a line
  bool chat = false;
  std::string system, chat_template;
  bool json = false;
  int threads = 0;
  GenerateOptions generate;
};

[[noreturn]] void usage(std::string what, std::string found, std::string fix) {
  throw Error(Fault::usage, {.what = std::move(what),
                             .where = "command line",
                             .found = std::move(found),
                             .expected = "--prompt TEXT, several of them, or --prompts FILE with one a line",
                             .fix = std::move(fix)});
}

std::vector<std::string> prompts_of(const SampleArguments& arguments) {
  std::vector<std::string> prompts = arguments.prompts;
  if (!arguments.file.empty()) {
    std::ifstream file(arguments.file);
    if (!file) usage("the file of prompts cannot be read", arguments.file, "check the path");
    for (std::string line; std::getline(file, line);)
      if (!line.empty()) prompts.push_back(line);
    if (prompts.empty()) usage("the file of prompts is empty", arguments.file, "write a prompt on each line");
  }
  return prompts;
}

// How the model was taught to hold a conversation.
class Conversation {
 public:
  Conversation(const TrainedModel& trained, const SampleArguments& arguments)
      : tokenizer_(trained.tokenizer()), format_(open(trained, arguments)) {
    if (!arguments.system.empty()) messages_.push_back({{"role", "system"}, {"content", arguments.system}});
  }

  // What the model answers after.
  std::vector<int32_t> asked(const std::string& question) const {
    nlohmann::ordered_json messages = messages_;
    messages.push_back({{"role", "user"}, {"content", question}});
    std::vector<int32_t> ids;
    tokenizer_.encode(format_.chat.render(messages, {.add_generation_prompt = true,
                                                     .bos_token = format_.bos_token,
                                                     .eos_token = format_.eos_token,
                                                     .variables = nlohmann::ordered_json::object()}),
                      ids);
    return ids;
  }
  void remember(const std::string& question, const std::string& answer) {
    messages_.push_back({{"role", "user"}, {"content", question}});
    messages_.push_back({{"role", "assistant"}, {"content", answer}});
  }
  // The token that ends a turn, where the tokenizer has it as one.
  std::optional<int32_t> end_of_turn() const {
    std::vector<int32_t> ids;
    if (!format_.eos_token.empty()) tokenizer_.encode(format_.eos_token, ids);
    return ids.size() == 1 ? std::optional(ids[0]) : std::nullopt;
  }

 private:
  static ChatFormat open(const TrainedModel& trained, const SampleArguments& arguments) {
    const DataConfig& data = trained.config().data;
    try {
      return open_chat_format(arguments.chat_template.empty() ? data.chat_template : arguments.chat_template,
                              data.tokenizer);
    } catch (const Error& error) {
      Report report = error.report();
      report.what = "the checkpoint has no chat template that could be used: " + report.what;
      report.where = arguments.chat_template.empty() ? trained.path() : "--template";
      report.fix = "name the one it was trained with: --template chatml";
      throw Error(error.fault(), std::move(report));
    }
  }

  const Tokenizer& tokenizer_;
  ChatFormat format_;
  nlohmann::ordered_json messages_ = nlohmann::ordered_json::array();
};

void print_piece(size_t, std::string_view text) {
  fmt::print("{}", text);
  std::fflush(stdout);
}

void print_json(const std::string& prompt, const Generated& made) {
  // What is no UTF-8 in an argument could not be written as JSON.
  fmt::print("{}\n", nlohmann::json{{"prompt", repaired_utf8(prompt)},
                                    {"text", made.text},
                                    {"tokens", made.tokens},
                                    {"stopped", made.stopped}}
                         .dump());
}

// A line of standard input is what the user says next.
int talk(TrainedModel& trained, Conversation& conversation, const GenerateOptions& options, bool json) {
  for (std::string question; std::getline(std::cin, question);) {
    if (question.empty()) continue;
    const std::vector<Generated> made =
        json ? generate(trained, {conversation.asked(question)}, options)
             : generate(trained, {conversation.asked(question)}, options, print_piece);
    if (json)
      print_json(question, made[0]);
    else
      fmt::print("\n");
    std::fflush(stdout);
    conversation.remember(question, made[0].text);
  }
  return 0;
}

int sample(const SampleArguments& arguments) {
  if (!arguments.chat && !(arguments.system.empty() && arguments.chat_template.empty()))
    usage("--system and --template are of conversations", "no --chat", "add --chat");
  TokenSampler{arguments.generate.sampling};  // refuses bad options before the model is read
  const std::vector<std::string> prompts = prompts_of(arguments);
  if (prompts.empty() && !arguments.chat)
    usage("there is no prompt", "none", "--prompt \"In the beginning\"");
  TrainedModel trained(arguments.checkpoint, arguments.threads);
  const Tokenizer& tokenizer = trained.tokenizer();
  std::optional<Conversation> conversation;
  if (arguments.chat) conversation.emplace(trained, arguments);

  GenerateOptions options = arguments.generate;
  if (const auto end = tokenizer.end_of_document()) options.stops.push_back(*end);
  if (conversation)
    if (const auto end = conversation->end_of_turn()) options.stops.push_back(*end);
  if (prompts.empty()) return talk(trained, *conversation, options, arguments.json);

  std::vector<std::vector<int32_t>> ids;
  for (const std::string& prompt : prompts) {
    ids.emplace_back();
    if (conversation) {
      ids.back() = conversation->asked(prompt);
    } else {
      if (const auto begin = tokenizer.begin_of_document()) ids.back().push_back(*begin);
      tokenizer.encode(prompt, ids.back());
    }
    if (ids.back().empty()) usage("the prompt is empty", "\"\"", "--prompt \"In the beginning\"");
  }
  const bool streams = prompts.size() == 1 && !arguments.json;
  if (streams && !conversation) fmt::print("{}", prompts[0]);
  const std::vector<Generated> made =
      streams ? generate(trained, ids, options, print_piece) : generate(trained, ids, options);
  if (streams) {
    fmt::print("\n");
    return 0;
  }
  for (size_t i = 0; i < made.size(); ++i)
    if (arguments.json)
      print_json(prompts[i], made[i]);
    else
      fmt::print("--- prompt {}: {}\n{}{}\n", i + 1, prompts[i], conversation ? "" : prompts[i],
                 made[i].text);
  return 0;
}

}  // namespace

Run add_sample(CLI::App& app) {
  const auto arguments = std::make_shared<SampleArguments>();
  app.add_option("CKPT", arguments->checkpoint, "a run's folder, or one of its checkpoints")->required();
  app.add_option("--prompt", arguments->prompts, "the text to go on from; several go on at the same time")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);  // else "[a]" would be read as a list
  app.add_option("--prompts", arguments->file, "a file with a prompt on each line");
  app.add_flag(
      "--chat", arguments->chat,
      "a prompt is what a user says, written as the template in the checkpoint has it; without prompts, "
      "the lines of standard input are a conversation");
  app.add_option("--system", arguments->system, "with --chat: what the conversation begins with");
  app.add_option("--template", arguments->chat_template,
                 "with --chat: another template, as data.chat_template");
  app.add_option("--tokens", arguments->generate.tokens, "most tokens to draw for a text")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  SamplingOptions& sampling = arguments->generate.sampling;
  app.add_option("--temperature", sampling.temperature, "0: always the likeliest token")
      ->capture_default_str();
  app.add_option("--top-k", sampling.top_k, "draw among the k likeliest only; 0: all")->capture_default_str();
  app.add_option("--top-p", sampling.top_p, "draw among the likeliest that reach this probability")
      ->capture_default_str();
  app.add_option("--seed", sampling.seed,
                 "the same seed draws the same text; the second text has the next seed")
      ->capture_default_str();
  app.add_option("--threads", arguments->threads, "0: one per core")->capture_default_str();
  app.add_flag("--json", arguments->json, "one JSON object a line: prompt, text, tokens, stopped");
  app.footer(
      "Examples:\n"
      "  strata sample runs/tiny --prompt \"In the beginning\" --temperature 0.8\n"
      "  strata sample runs/tiny --prompt \"In the\" --prompt \"And he\" --top-k 40 --top-p 0.95\n"
      "  strata sample runs/chat --chat --prompt \"What is a mesh?\" --system \"Answer in one line.\"\n"
      "  strata sample runs/chat --chat          type what you say, a line at a time; Ctrl-D ends it");
  return [=] { return sample(*arguments); };
}

}  // namespace strata
