// SPDX-License-Identifier: Apache-2.0
// strata eval CKPT --data FILE
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "launch/commands/command.h"
#include "launch/train/evaluate.h"
#include "launch/train/run_data.h"
#include "launch/train/temporary_folder.h"
#include "launch/train/trained_model.h"

namespace strata {
namespace {

struct EvalArguments {
  std::string checkpoint;
  std::string data;
  int64_t tokens = 0;
  int threads = 0;
  bool json = false;
};

constexpr int64_t kRows = 8;

int evaluate(const EvalArguments& arguments) {
  TrainedModel trained(arguments.checkpoint, arguments.threads, kRows);
  const TemporaryFolder cache("eval");
  const auto dataset = open_eval_data(trained.config(), arguments.data, cache.path(), trained.tokenizer());
  const DataSource source(dataset,
                          {.order = SampleOrder::sequential, .vocab_size = trained.tokenizer().vocab_size()});
  int64_t samples = dataset->num_samples();
  if (arguments.tokens > 0) samples = std::min(samples, div_up(arguments.tokens, dataset->seq_len()));
  const LossSum sum = evaluate_samples(trained.runner(), source, kRows, samples, {});
  const double loss = sum.mean();
  if (arguments.json)
    fmt::print("{}\n", nlohmann::json{{"checkpoint", trained.path()},
                                      {"step", trained.step()},
                                      {"data", arguments.data},
                                      {"tokens", sum.targets},
                                      {"loss", loss},
                                      {"perplexity", std::exp(loss)}}
                           .dump());
  else
    fmt::print("{} after step {}: loss {:.4f} nats per token, perplexity {:.2f} over {} tokens of {}\n",
               trained.path(), trained.step(), loss, std::exp(loss), sum.targets, arguments.data);
  return 0;
}

}  // namespace

Run add_eval(CLI::App& app) {
  const auto arguments = std::make_shared<EvalArguments>();
  app.add_option("CKPT", arguments->checkpoint, "a run's folder, or one of its checkpoints")->required();
  app.add_option("--data", arguments->data, "text, or a token file")->required();
  app.add_option("--tokens", arguments->tokens, "only about the first so many; 0: all")
      ->capture_default_str();
  app.add_option("--threads", arguments->threads, "0: one per core")->capture_default_str();
  app.add_flag("--json", arguments->json, "one JSON object");
  app.footer("Example:\n  strata eval runs/tiny --data other.txt");
  return [=] { return evaluate(*arguments); };
}

}  // namespace strata
