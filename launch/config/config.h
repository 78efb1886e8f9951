// SPDX-License-Identifier: Apache-2.0
// What one training run is asked to do: plain structs, one per section of the TOML file. The initialisers are
// the defaults. What a key is called, means and may be is said once, in key_table.cpp; section structs hold
// no logic.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/data/records/data_format.h"
#include "core/data/sampler.h"
#include "core/program/program.h"
#include "core/program/tiers.h"
#include "launch/config/units.h"

namespace strata {

enum class DeviceChoice { automatic, cpu, cuda };
enum class RunMode { fast, ordered };
enum class DocumentEnd { file, blank_line };
enum class RopeScalingKind { none, llama3 };
enum class ComputeType { fp32, bf16, fp8 };
enum class StateFormat { fp32, split, split8, sr8 };
inline std::string_view name(StateFormat format) {  // as optimizer_table calls it
  constexpr std::string_view kNames[] = {"fp32", "split", "split8", "sr8"};
  return kNames[static_cast<size_t>(format)];
}
enum class UpdateTiming { sync };
enum class Recompute { none, full };
enum class NanAction { stop, skip };
enum class LossKind { cross_entropy, dpo };
enum class AdapterType { none, lora };
enum class BaseWeights { compute, int8, nf4 };

struct RunConfig {
  std::string name = "run";
  std::string out;  // resolved: runs/NAME when left out
  int64_t seed = 1234;
  int64_t steps = 0;
  DeviceChoice device = DeviceChoice::automatic;
  int64_t threads = 0;  // 0: one per core this process may use
  RunMode mode = RunMode::fast;
  std::string program;  // file with the programs of a step; empty: made from the configuration
};

// Zeros marked "resolved" are replaced by resolve(): the program never sees them.
struct ModelConfig {
  std::string from;  // a model whose weights a run begins with; empty: random ones
  std::string arch = "llama";
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;       // resolved: heads
  int64_t head_dim = 0;       // resolved: hidden / heads
  int64_t ffn = 0;            // resolved: llama 8/3 hidden rounded up to 64, gpt2 4 hidden
  int64_t vocab = 0;          // 0 stays: the tokenizer's, known once the data is open
  int64_t max_positions = 0;  // resolved: data.seq_len
  double rope_theta = 10000.0;
  RopeScalingKind rope_scaling = RopeScalingKind::none;
  double rope_factor = 8.0;
  double rope_low_freq_factor = 1.0;
  double rope_high_freq_factor = 4.0;
  int64_t rope_original_positions = 8192;
  double norm_eps = 1e-5;
  bool tied = true;
  bool qk_norm = false;
  bool qkv_bias = false;
  double init_std = 0.02;
};

struct AdapterConfig {
  AdapterType type = AdapterType::none;
  std::string from;  // adapters to begin with; empty: new ones
  int64_t rank = 16;
  double alpha = 32;
  bool rank_stabilized = false;
  double dropout = 0;
  std::vector<std::string> target = {"all-linear"};
  std::vector<std::string> trained_whole;  // layers, beside the adapters
  BaseWeights base_weights = BaseWeights::compute;
};

struct DataConfig {
  std::vector<std::string> train;
  std::vector<double> weights;     // of the files of train; empty: they are one text
  std::vector<std::string> valid;  // empty: valid_fraction of train
  double valid_fraction = 0.02;
  int64_t seq_len = 256;
  Packing packing = Packing::isolated;
  Overlong overlong = Overlong::cut;
  std::string tokenizer = "byte";
  DocumentEnd document = DocumentEnd::file;
  DataFormat format = DataFormat::automatic;
  std::string chat_template;  // empty: of the tokenizer's folder
};

struct LossConfig {
  LossKind kind = LossKind::cross_entropy;
  double beta = 0.1;  // these two of dpo
  double label_smoothing = 0;
};

struct BatchConfig {
  int64_t tokens_per_step = 8192;
  int64_t micro_batch = 4;  // rows of seq_len tokens
};

struct OptimizerConfig {
  std::string type = "adamw";
  double lr = 3e-4;
  std::array<double, 2> betas = {0.9, 0.95};
  double eps = 1e-8;
  double momentum = 0.95;  // of muon
  double weight_decay = 0.1;
  double grad_clip = 1.0;              // 0: off
  std::vector<std::string> trainable;  // patterns of tensor names; empty: all
  std::vector<std::string> frozen;     // of them, those that are not trained
  UpdateTiming timing = UpdateTiming::sync;
};

struct ScheduleConfig {
  std::string type = "cosine";
  int64_t warmup = 0;   // steps
  double decay = 0.2;   // of all steps, wsd only
  double min_lr = 0.1;  // of optimizer.lr
};

struct PrecisionConfig {
  ComputeType compute = ComputeType::bf16;
  StateFormat state = StateFormat::fp32;
  // With compute fp8.
  std::string recipe = "block";
  std::string scales = "recipe";
  std::vector<std::string> products = {"forward", "backward_input", "backward_weight"};
  std::string gather = "bf16";
  std::vector<std::string> high_precision;  // patterns of linear layers
  int64_t keep_first = 0, keep_last = 0;    // layers
  int64_t smallest = 0;                     // elements
  std::string follow;                       // a file of `strata bench gemm --fp8 --json`
  int64_t history = 1024;                   // steps
  int64_t margin = 0;                       // powers of two
  bool counters = false;
};

struct ParallelConfig {
  int64_t tp = 1, pp = 1, cp = 1;
  int64_t dp = 0;  // 0: what the other sizes leave of the ranks
  bool sequence_parallel = false;
  std::string schedule = "1f1b";
  int64_t virtual_stages = 1;
  std::string partition = "zero1";
  int64_t gather_ahead = 1;
  Recompute recompute = Recompute::none;
};

struct OffloadConfig {
  Tier weights = Tier::device, gradients = Tier::device, master = Tier::device, moments = Tier::device,
       activations = Tier::device;
  ActivationFormat activations_format = ActivationFormat::values;  // away from the device
  // On the next faster tier, of the bytes.
  double weights_kept = 0, gradients_kept = 0, master_kept = 0, moments_kept = 0, activations_kept = 0;
  int64_t prefetch = -1;  // blocks; -1: as rates suggest
  Timing timing = Timing::sync;
  int64_t group = 1;                     // micro-batches; 0: all of a step
  std::string device_limit, host_limit;  // sizes; empty: none
  int64_t slots = 1;
  std::vector<std::string> paths;  // empty: the folder "offload" of run.out
  bool any_volume = false;
  double endurance = 0;  // of all drives, TB; 0: not known
};

struct CheckpointConfig {
  Period every = {.steps = 100};
  int64_t keep = 3;
  std::string resume = "auto";  // auto, none, or the path of a checkpoint
  // What may differ between the model and a checkpoint, or a model.from, that was written without these
  // rules.
  std::vector<std::string> allow_missing, reinit, ignore_extra;  // names; of many, ending with *
  std::vector<std::string> rename;                               // "STORED=NAME"
};

struct EvalConfig {
  Period every = {.steps = 100};
  int64_t tokens = 0;  // 0: all validation tokens
};

struct LogConfig {
  Period every = {.steps = 10};
  bool tensorboard = true;
  int64_t trace_steps = 0;
  std::string record;  // empty: none
};

struct GuardConfig {
  NanAction nan = NanAction::stop;
  std::optional<double> spike;  // z-score; empty: off
  double stall_timeout = 0;     // seconds; 0: the larger of a minute and five planned steps
};

struct Config {
  RunConfig run;
  ModelConfig model;
  AdapterConfig adapter;
  DataConfig data;
  LossConfig loss;
  BatchConfig batch;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  PrecisionConfig precision;
  ParallelConfig parallel;
  OffloadConfig offload;
  CheckpointConfig checkpoint;
  EvalConfig eval;
  LogConfig log;
  GuardConfig guard;
};

}  // namespace strata
