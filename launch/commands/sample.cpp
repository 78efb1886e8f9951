// SPDX-License-Identifier: Apache-2.0
// strata sample CKPT --prompt TEXT
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "core/base/error.h"
#include "core/step/text_model.h"
#include "launch/commands/command.h"
#include "launch/train/sampling.h"
#include "launch/train/trained_model.h"

namespace strata {
namespace {

struct Arguments {
  std::string checkpoint;
  std::string prompt;
  int64_t tokens = 400;
  int threads = 0;
  SamplingOptions sampling;
};

// Text goes out as it comes. When the sequence reaches the model's positions, its second half becomes the new
// beginning.
int sample(const Arguments& arguments) {
  TokenSampler sampler(arguments.sampling);
  TrainedModel trained(arguments.checkpoint, arguments.threads);
  const Tokenizer& tokenizer = trained.tokenizer();
  TextModel model(trained.model(), trained.runner(), trained.stream(), trained.allocator());

  std::vector<int32_t> text;
  tokenizer.encode(arguments.prompt, text);
  if (text.empty())
    throw Error(
        Fault::usage,
        {.what = "the prompt is empty", .where = "command line", .fix = "--prompt \"In the beginning\""});
  const auto window = static_cast<size_t>(model.max_length());
  auto recent = [&](size_t count) {
    return std::span<const int32_t>(text).last(std::min(count, text.size()));
  };

  StreamDecoder decoder(tokenizer);
  fmt::print("{}", arguments.prompt);
  std::span<const float> logits = model.feed(recent(window / 2 + 1));
  for (int64_t i = 0; i < arguments.tokens; ++i) {
    const int32_t id = sampler.draw(logits.first(static_cast<size_t>(tokenizer.vocab_size())), i);
    if (tokenizer.end_of_document() == id) break;
    text.push_back(id);
    fmt::print("{}", decoder.push(id));
    std::fflush(stdout);
    if (model.length() == model.max_length()) {
      model.reset();
      logits = model.feed(recent(window / 2 + 1));
    } else {
      logits = model.feed(recent(1));
    }
  }
  fmt::print("{}\n", decoder.finish());
  return 0;
}

}  // namespace

Run add_sample(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("CKPT", arguments->checkpoint, "a run's folder, or one of its checkpoints")->required();
  app.add_option("--prompt", arguments->prompt, "the text to go on from")->required();
  app.add_option("--tokens", arguments->tokens, "most tokens to draw")->capture_default_str();
  app.add_option("--temperature", arguments->sampling.temperature, "0: always the likeliest token")
      ->capture_default_str();
  app.add_option("--top-k", arguments->sampling.top_k, "draw among the k likeliest only; 0: all")
      ->capture_default_str();
  app.add_option("--top-p", arguments->sampling.top_p, "draw among the likeliest that reach this probability")
      ->capture_default_str();
  app.add_option("--seed", arguments->sampling.seed, "the same seed draws the same text")
      ->capture_default_str();
  app.add_option("--threads", arguments->threads, "0: one per core")->capture_default_str();
  app.footer("Example:\n  strata sample runs/tiny --prompt \"In the beginning\" --temperature 0.8");
  return [=] { return sample(*arguments); };
}

}  // namespace strata
