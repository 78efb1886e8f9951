// SPDX-License-Identifier: Apache-2.0
// strata bench gemm|step|train|adam|comm|disk|checkpoint|converter
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "launch/bench/adam.h"
#include "launch/bench/checkpoint.h"
#include "launch/bench/comm.h"
#include "launch/bench/converter.h"
#include "launch/bench/disk.h"
#include "launch/bench/fp8_gemm.h"
#include "launch/bench/gemm.h"
#include "launch/bench/step.h"
#include "launch/bench/train.h"
#include "launch/commands/command.h"
#include "launch/config/load.h"
#include "launch/train/job.h"

namespace strata {
namespace {

struct BenchArguments {
  int threads = 0;
  bool json = false;
  StepBenchOptions step;
  TrainBenchOptions train;
  std::string device = "auto", compute = "bf16";
  GemmBenchOptions gemm;
  bool fp8 = false;
  std::string config;
  AdamBenchOptions adam;
  CommBenchOptions comm;
  DiskBenchOptions disk;
  CheckpointBenchOptions checkpoint;
  ConverterBenchOptions converter;
};

DeviceChoice device_named(const std::string& name) {
  if (name == "auto") return DeviceChoice::automatic;
  return name == "cpu" ? DeviceChoice::cpu : DeviceChoice::cuda;
}

template <typename Bench>
int print(const Bench& bench, bool json) {
  fmt::print("{}", json ? to_json(bench).dump(2) + "\n" : to_text(bench));
  return 0;
}

// Over the processes that a launcher started, or else over threads of this one.
int run_comm(const CommBenchOptions& options, bool json) {
  return run_job([&](const Job& job) {
    if (job.world.size() == 1) return print(bench_comm(options), json);
    const CommBench bench = bench_comm(job.world, options);
    return job.world.rank() == 0 ? print(bench, json) : 0;
  });
}

}  // namespace

Run add_bench(CLI::App& app) {
  const auto arguments = std::make_shared<BenchArguments>();
  app.require_subcommand(1);
  auto add = [&](const char* name, const char* help) {
    CLI::App* const command = app.add_subcommand(name, help);
    command->add_option("--threads", arguments->threads, "0: one per core")->capture_default_str();
    command->add_flag("--json", arguments->json, "one JSON object");
    return command;
  };
  CLI::App* const gemm = add("gemm", "matrix products beside the instruction peak and another library");
  gemm->add_option("--rounds", arguments->gemm.rounds, "medians over so many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  CLI::Option* const fp8 =
      gemm->add_flag("--fp8", arguments->fp8, "products on 8-bit codes beside bf16, for each recipe");
  gemm->add_option(
          "--config", arguments->config,
          "a configuration: the layers, tokens and recipe of its run; precision.follow takes the JSON")
      ->needs(fp8)
      ->check(CLI::ExistingFile);
  CLI::App* const step = add("step", "training steps of GPT-2 124M, and where their time goes");
  step->add_option("--rows", arguments->step.rows, "sequences per step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  step->add_option("--seq-len", arguments->step.seq_len, "tokens per sequence")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  step->add_option("--steps", arguments->step.steps, "medians over so many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  step->add_option("--state", arguments->step.state, "state format: fp32, split, split8 or sr8")
      ->capture_default_str();
  step->add_option("--compute", arguments->compute, "f32 goes with --state fp32")
      ->check(CLI::IsMember({"bf16", "f32"}))
      ->capture_default_str();
  step->add_flag("--neighbour", arguments->step.neighbour, "also steps beside one busy thread");
  CLI::App* const train = add("train", "training steps of known models on a CPU or GPU");
  train
      ->add_option("--model", arguments->train.model,
                   fmt::format("{}", fmt::join(train_bench_models(), ", ")))
      ->capture_default_str();
  train->add_option("--device", arguments->device, "what computes")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  train->add_option("--rows", arguments->train.rows, "sequences of a micro-batch")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  train->add_option("--seq-len", arguments->train.seq_len, "tokens per sequence")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  train->add_option("--micro-batches", arguments->train.micro_batches, "of a step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  train->add_option("--steps", arguments->train.steps, "medians over so many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  train->add_option("--state", arguments->train.state, "state format: fp32 or split")->capture_default_str();
  train->add_flag("--recompute", arguments->train.recompute, "activations are computed again");
  CLI::App* const adam = add("adam", "optimizer updates beside an increment in place");
  adam->add_option("--rounds", arguments->adam.rounds, "medians over so many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  CLI::App* const checkpoint =
      add("checkpoint", "saving and loading beside fio, what a save holds up, planning");
  checkpoint->add_option("--folder", arguments->checkpoint.folder, "on the disk to measure")
      ->capture_default_str();
  checkpoint
      ->add_option("--bytes", arguments->checkpoint.bytes, "of the state; it and two copies are in memory")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(int64_t{64} << 20, int64_t{1} << 40))
      ->default_str("2 GiB");
  checkpoint->add_option("--rounds", arguments->checkpoint.rounds, "medians over so many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  CLI::App* const converter = add("converter", "the most memory that conversions take");
  converter->add_option("--folder", arguments->converter.folder, "where models are written")
      ->capture_default_str();
  converter->add_option("--bytes", arguments->converter.bytes, "of the model that is written in full")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(int64_t{1} << 30, int64_t{1} << 42))
      ->default_str("5 GB");
  CLI::App* const comm =
      app.add_subcommand("comm", "collectives beside copies; under mpirun, between its processes");
  comm->add_flag("--json", arguments->json, "one JSON object");
  comm->add_option("--ranks", arguments->comm.ranks, "threads that play ranks; 0: one per core")
      ->check(CLI::Range(2, 64) | CLI::IsMember({0}))
      ->capture_default_str();
  comm->add_option("--rounds", arguments->comm.rounds, "medians over so many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  comm->add_option("--largest", arguments->comm.largest, "bytes of the largest buffer")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(int64_t{4} << 10, int64_t{1} << 32))
      ->default_str("64 MiB");
  gemm->footer(
      "Examples:\n  strata bench gemm --threads 2\n  strata bench gemm --fp8\n"
      "  strata bench gemm --fp8 --config mine.toml --json > table.json");
  step->footer("Example:\n  strata bench step --seq-len 256 --compute f32 --state fp32");
  train->footer("Example:\n  strata bench train --model tiny --rows 2 --seq-len 256 --device cpu");
  adam->footer("Example:\n  strata bench adam --json");
  comm->footer("Examples:\n  strata bench comm --ranks 4\n  mpirun -n 2 strata bench comm --largest 1MiB");
  CLI::App* const disk =
      app.add_subcommand("disk", "the drive below offload.paths, beside fio where it is there");
  disk->add_flag("--json", arguments->json, "one JSON object");
  disk->add_option("--path", arguments->disk.folder, "a folder on it")->capture_default_str();
  const auto size = [&](const char* option, int64_t& value, const char* help, const char* standard) {
    disk->add_option(option, value, help)->transform(CLI::AsSizeValue(false))->default_str(standard);
  };
  size("--size", arguments->disk.bytes, "moved by every measurement; twice as much is needed", "1 GiB");
  size("--block", arguments->disk.block, "of a request", "1 MiB");
  disk->add_option("--depth", arguments->disk.depth, "requests in flight")
      ->check(CLI::Range(2, 1024))
      ->capture_default_str();
  disk->add_option("--rounds", arguments->disk.rounds, "medians over so many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  checkpoint->footer("Example:\n  strata bench checkpoint --folder /scratch --bytes 1GiB");
  converter->footer("Example:\n  strata bench converter --folder /scratch");
  disk->footer("Example:\n  strata bench disk --path /nvme0 --size 256MiB");
  app.footer("Examples:\n  strata bench step --seq-len 256\n  strata bench disk --path /nvme0");
  return [=] {
    if (comm->parsed()) return run_comm(arguments->comm, arguments->json);
    if (train->parsed()) {
      RunDevice device(choose_device(device_named(arguments->device), 0), arguments->threads);
      return print(bench_train(device, arguments->train), arguments->json);
    }
    if (disk->parsed()) return print(bench_disk(*make_posix_file_system(), arguments->disk), arguments->json);
    WorkerPool pool(arguments->threads);
    if (gemm->parsed() && arguments->fp8) {
      Fp8GemmOptions options;
      if (!arguments->config.empty()) options = fp8_gemm_options(load_config(arguments->config).config);
      options.rounds = arguments->gemm.rounds;
      return print(bench_fp8_gemm(pool, options), arguments->json);
    }
    if (gemm->parsed()) return print(bench_gemm(pool, arguments->gemm), arguments->json);
    arguments->step.compute = arguments->compute == "f32" ? DType::f32 : DType::bf16;
    if (step->parsed()) return print(bench_step(pool, arguments->step), arguments->json);
    if (checkpoint->parsed()) return print(bench_checkpoint(pool, arguments->checkpoint), arguments->json);
    if (converter->parsed()) return print(bench_converter(pool, arguments->converter), arguments->json);
    return print(bench_adam(pool, arguments->adam), arguments->json);
  };
}

}  // namespace strata
