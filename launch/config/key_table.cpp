// SPDX-License-Identifier: Apache-2.0
#include "launch/config/key_table.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "launch/config/key_binding.h"

namespace strata {
namespace {

constexpr KeyRange at_least(double low) { return {.low = low}; }
constexpr KeyRange above(double low) { return {.low = low, .low_open = true}; }
constexpr KeyRange between(double low, double high) { return {.low = low, .high = high}; }
constexpr KeyRange from_to_below(double low, double high) {
  return {.low = low, .high = high, .high_open = true};
}
// Counts of layers, rows and the like: far above any real model, far below overflow of their products.
constexpr KeyRange count(double low) { return between(low, 1e9); }
constexpr KeyRange kRanks = between(1, 32767);
constexpr KeyRange kSteps = between(0, 1e12);

// ---- the table
// ------------------------------------------------------------------------------------------------

void run_keys(KeyRows& rows) {
  SectionRows(rows, &Config::run, "run",
              "What the run is called, where it writes, how long and where it runs.")
      .key("name", &RunConfig::name,
           {.doc = "Name shown in logs and reports.",
            .effect = KeyEffect::execution,
            .aliases = {"run_name", "experiment_name", "job_name"}})
      .key("out", &RunConfig::out,
           {.doc = "Folder for checkpoints, metrics and reports, relative to the working folder; \"\" is "
                   "runs/NAME.",
            .effect = KeyEffect::execution,
            .aliases = {"output_dir", "out_dir", "save_dir"}})
      .key("seed", &RunConfig::seed,
           {.doc = "Seed of the initial weights and the order of the data.", .range = at_least(0)})
      .key("steps", &RunConfig::steps,
           {.doc = "Optimizer steps of the whole run; raising it later continues the run.",
            .unit = "steps",
            .range = between(1, 1e12),
            .required = true,
            .effect = KeyEffect::execution,
            .aliases = {"max_steps", "train_iters", "num_iterations", "total_steps", "max_iters"}})
      .key("device", &RunConfig::device,
           {.doc = "What computes; auto takes a GPU when this program was built for one and one is present.",
            .choices = {"auto", "cpu", "cuda"},
            .effect = KeyEffect::execution})
      .key("threads", &RunConfig::threads,
           {.doc =
                "CPU threads; 0 is one per core that this process may use. The result does not depend on it.",
            .unit = "threads",
            .range = between(0, 4096),
            .effect = KeyEffect::execution,
            .aliases = {"num_threads"}})
      .key("mode", &RunConfig::mode,
           {.doc = "fast repeats its own bits, on any number of threads; ordered has the same bits on every "
                   "number "
                   "of data ranks, every partition and every pipeline.",
            .choices = {"fast", "ordered"}})
      .key("program", &RunConfig::program,
           {.doc = "A file with the programs of a training step, as 'strata plan --dump' prints them; they "
                   "are proved before "
                   "they run. \"\": made from the configuration.",
            .effect = KeyEffect::execution});
}

void model_keys(KeyRows& rows) {
  const OnlyWhen llama = {"arch", {"llama"}};
  const OnlyWhen llama3_rope = {"rope_scaling", {"llama3"}};
  SectionRows(rows, &Config::model, "model", "Architecture and sizes.")
      .key("from", &ModelConfig::from,
           {.doc =
                "A model to begin with: a Hugging Face folder, or a checkpoint of Strata. Its sizes must be "
                "those below; `strata init --from` writes them. Empty: random weights.",
            .aliases = {"model_name_or_path", "base_model", "init_from", "pretrained"}})
      .key("arch", &ModelConfig::arch,
           {.doc = "Architecture: llama (RMSNorm, rotary positions, SwiGLU) or gpt2 (LayerNorm, learned "
                   "positions, "
                   "GELU).",
            .choices = {"llama", "gpt2"},
            .aliases = {"model_type", "architecture"}})
      .key("layers", &ModelConfig::layers,
           {.doc = "Transformer blocks.",
            .range = between(1, 1e5),
            .required = true,
            .aliases = {"num_hidden_layers", "num_layers", "n_layer", "n_layers"}})
      .key("hidden", &ModelConfig::hidden,
           {.doc = "Width of the residual stream.",
            .range = between(1, 1e6),
            .required = true,
            .aliases = {"hidden_size", "n_embd", "d_model", "dim"}})
      .key("heads", &ModelConfig::heads,
           {.doc = "Attention heads (of the queries).",
            .range = between(1, 1e5),
            .required = true,
            .aliases = {"num_attention_heads", "num_heads", "n_head", "n_heads"}})
      .key("kv_heads", &ModelConfig::kv_heads,
           {.doc = "Heads of keys and values, shared by groups of query heads; 0 is heads.",
            .range = between(0, 1e5),
            .aliases = {"num_key_value_heads", "num_query_groups", "n_kv_heads"}})
      .key("head_dim", &ModelConfig::head_dim,
           {.doc = "Width of one head; 0 is hidden / heads.",
            .range = between(0, 1e5),
            .aliases = {"kv_channels"}})
      .key("ffn", &ModelConfig::ffn,
           {.doc = "Inner width of the feed-forward part; 0 is 8/3 hidden rounded up to a multiple of 64 for "
                   "llama, "
                   "4 hidden for gpt2.",
            .range = between(0, 1e7),
            .aliases = {"intermediate_size", "ffn_hidden_size", "n_inner"}})
      .key("vocab", &ModelConfig::vocab,
           {.doc = "Tokens the model knows; 0 is the tokenizer's number.",
            .unit = "tokens",
            .range = between(0, 2147483647),
            .aliases = {"vocab_size"}})
      .key("max_positions", &ModelConfig::max_positions,
           {.doc = "Longest sequence the model is made for; 0 is data.seq_len.",
            .unit = "tokens",
            .range = count(0),
            .aliases = {"max_position_embeddings", "n_positions", "n_ctx"}})
      .key("rope_theta", &ModelConfig::rope_theta,
           {.doc = "Base of the rotary wavelengths.",
            .range = above(1),
            .only_when = llama,
            .aliases = {"rotary_base", "rope_base"}})
      .key("rope_scaling", &ModelConfig::rope_scaling,
           {.doc = "Stretching of the rotary wavelengths for contexts longer than the original one.",
            .choices = {"none", "llama3"},
            .only_when = llama})
      .key("rope_factor", &ModelConfig::rope_factor,
           {.doc = "How much the long wavelengths are stretched.",
            .range = at_least(1),
            .only_when = llama3_rope})
      .key("rope_low_freq_factor", &ModelConfig::rope_low_freq_factor,
           {.doc = "Wavelengths above rope_original_positions / this are stretched in full.",
            .range = above(0),
            .only_when = llama3_rope})
      .key("rope_high_freq_factor", &ModelConfig::rope_high_freq_factor,
           {.doc = "Wavelengths below rope_original_positions / this stay as they are.",
            .range = above(0),
            .only_when = llama3_rope})
      .key("rope_original_positions", &ModelConfig::rope_original_positions,
           {.doc = "Context length before stretching.",
            .unit = "tokens",
            .range = count(1),
            .only_when = llama3_rope,
            .aliases = {"original_max_position_embeddings"}})
      .key("norm_eps", &ModelConfig::norm_eps,
           {.doc = "Added to the mean square (RMSNorm) or variance (LayerNorm) before the root.",
            .range = {.low = 0, .high = 1, .low_open = true, .high_open = true},
            .aliases = {"rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "layernorm_epsilon"}})
      .key("tied", &ModelConfig::tied,
           {.doc = "The output head is the token embedding.", .aliases = {"tie_word_embeddings"}})
      .key("qk_norm", &ModelConfig::qk_norm,
           {.doc = "RMSNorm on each head of queries and keys before the rotation, as in Qwen3.",
            .only_when = llama,
            .aliases = {"qk_layernorm"}})
      .key("qkv_bias", &ModelConfig::qkv_bias,
           {.doc = "Biases on the query, key and value projections, as in Qwen2; gpt2 always has them.",
            .only_when = llama,
            .aliases = {"add_qkv_bias", "attention_bias"}})
      .key("init_std", &ModelConfig::init_std,
           {.doc = "Standard deviation of the initial weights.",
            .range = {.low = 0, .high = 1, .low_open = true},
            .aliases = {"initializer_range", "init_method_std"}});
}

void adapter_keys(KeyRows& rows) {
  const OnlyWhen lora = {"type", {"lora"}};
  SectionRows(rows, &Config::adapter, "adapter",
              "Small matrices beside the linear layers, trained in place of the model (LoRA).")
      .key("type", &AdapterConfig::type,
           {.doc = "lora freezes the model and trains y = x W^T + s x A^T B^T beside its layers (Hu et al. "
                   "2021); "
                   "none trains the model itself.",
            .choices = {"none", "lora"},
            .aliases = {"kind", "adapter_type"}})
      .key("from", &AdapterConfig::from,
           {.doc = "Adapters to begin with: a folder of peft, or a run with adapters. Empty: new ones.",
            .only_when = lora,
            .aliases = {"adapter_name_or_path", "lora_model_dir"}})
      .key("rank", &AdapterConfig::rank,
           {.doc = "Width between A and B.",
            .range = between(1, 65536),
            .only_when = lora,
            .aliases = {"r", "lora_r", "lora_rank"}})
      .key("alpha", &AdapterConfig::alpha,
           {.doc = "s is alpha / rank.", .range = above(0), .only_when = lora, .aliases = {"lora_alpha"}})
      .key("rank_stabilized", &AdapterConfig::rank_stabilized,
           {.doc = "s is alpha / sqrt(rank) (Kalajdzievski 2023).",
            .only_when = lora,
            .aliases = {"use_rslora", "rslora"}})
      .key("dropout", &AdapterConfig::dropout,
           {.doc = "Probability of an element of x to be dropped before A while training; the same for the "
                   "adapters of one fused matrix.",
            .range = {.low = 0, .high = 0.9},
            .only_when = lora,
            .aliases = {"lora_dropout"}})
      .key("target", &AdapterConfig::target,
           {.doc = "Linear layers that get adapters: all-linear (the head is not among them), names such as "
                   "attention.query, mlp.* or those of transformers (q_proj); * stands for any characters.",
            .only_when = lora,
            .aliases = {"target_modules", "lora_target_modules", "targets", "lora_target"}})
      .key("trained_whole", &AdapterConfig::trained_whole,
           {.doc = "Layers that are trained themselves, beside the adapters: head, embedding, mlp_norm, or "
                   "those of transformers (lm_head, embed_tokens). They travel with the adapters.",
            .only_when = lora,
            .aliases = {"modules_to_save", "lora_modules_to_save", "additional_target"}})
      .key("base_weights", &AdapterConfig::base_weights,
           {.doc = "How the frozen matrices of the model's layers are kept: as they compute, or in blocks of "
                   "64 with a "
                   "factor each, 8 bits (int8) or 4 (nf4, QLoRA; Dettmers et al. 2023), decoded before every "
                   "product.",
            .choices = {"compute", "int8", "nf4"},
            .only_when = lora,
            .aliases = {"quantization_bit", "quantize", "bnb_4bit_quant_type"}});
}

void data_keys(KeyRows& rows) {
  SectionRows(rows, &Config::data, "data", "Texts or token files, and how samples are cut from them.")
      .key("train", &DataConfig::train,
           {.doc = "UTF-8 text files, .jsonl records or token files (.bin beside .idx, and .mask when a part "
                   "is learned), "
                   "relative to the working folder.",
            .required = true,
            .aliases = {"train_files", "train_data", "train_data_path", "datasets"}})
      .key(
          "weights", &DataConfig::weights,
          {.doc =
               "Shares of the files of data.train in the samples of training, one number a file: 3 and 1 are "
               "three quarters and one. []: the files are one text, each as large as it is.",
           .range = above(0),
           .aliases = {"dataset_weights", "mixing_weights", "interleave_probs"}})
      .key("valid", &DataConfig::valid,
           {.doc = "Files for validation; with an empty list valid_fraction of data.train is kept for it.",
            .aliases = {"valid_files", "valid_data_path", "eval_data", "val_data"}})
      .key("valid_fraction", &DataConfig::valid_fraction,
           {.doc = "The last part of data.train that is kept for validation when data.valid is empty.",
            .range = between(0, 0.5),
            .aliases = {"val_size", "val_set_size", "test_size"}})
      .key("seq_len", &DataConfig::seq_len,
           {.doc = "Length of one sample.",
            .unit = "tokens",
            .range = between(1, 1e8),
            .aliases = {"seq_length", "sequence_len", "sequence_length", "cutoff_len", "max_seq_len",
                        "max_seq_length", "block_size", "max_length"}})
      .key(
          "packing", &DataConfig::packing,
          {.doc =
               "How documents share a row: isolated cuts the text into rows and lets no token see another "
               "document; concat does, and lets it; best_fit fills rows with whole documents, isolated, and "
               "pads what is left; pairs, for preferences, has a chosen and a rejected response in each row.",
           .choices = {"isolated", "concat", "best_fit", "pairs"}})
      .key("overlong", &DataConfig::overlong,
           {.doc = "Documents longer than a row are cut into rows, or dropped.",
            .choices = {"cut", "drop"},
            .only_when = {"packing", {"best_fit"}}})
      .key("tokenizer", &DataConfig::tokenizer,
           {.doc = "How text becomes tokens: byte, or the path of a tokenizer.json, of a model's folder that "
                   "holds "
                   "one, or of a SentencePiece .model.",
            .aliases = {"tokenizer_type", "tokenizer_name"}})
      .key("document", &DataConfig::document,
           {.doc = "What ends a document in a text file: the end of the file, or a blank line.",
            .choices = {"file", "blank_line"}})
      .key("format", &DataConfig::format,
           {.doc = "What files without tokens hold: plain text, or jsonl records of {text}, of {prompt, "
                   "completion}, "
                   "of {messages} (chat) or of {prompt, chosen, rejected} (preference). auto: a .jsonl holds "
                   "records like its first, other files plain text.",
            .choices = {"auto", "plain", "text", "completion", "chat", "preference"},
            .aliases = {"dataset_type", "dataset_format"}})
      .key("chat_template", &DataConfig::chat_template,
           {.doc = "How conversations are written: chatml, llama3, mistral, deepseek, the path of a Jinja "
                   "template or "
                   "of a model's folder; empty for the template beside the tokenizer.",
            .aliases = {"chat_format"}});
}

void loss_keys(KeyRows& rows) {
  SectionRows(rows, &Config::loss, "loss", "What is made small.")
      .key("kind", &LossConfig::kind,
           {.doc = "cross_entropy learns the text. dpo learns from pairs of responses (data.packing = "
                   "\"pairs\") which one "
                   "is better, against the model that the run begins with (direct preference optimization).",
            .choices = {"cross_entropy", "dpo"}})
      .key("beta", &LossConfig::beta,
           {.doc = "How dear it is to leave the model that the run begins with.",
            .range = {.low = 0, .high = 100, .low_open = true},
            .only_when = {"kind", {"dpo"}},
            .aliases = {"dpo_beta", "rl_beta"}})
      .key("label_smoothing", &LossConfig::label_smoothing,
           {.doc = "The share of pairs that are taken to be the wrong way round.",
            .range = from_to_below(0, 0.5),
            .only_when = {"kind", {"dpo"}}});
}

void batch_keys(KeyRows& rows) {
  SectionRows(rows, &Config::batch, "batch",
              "How much text one optimizer step sees; accumulation is derived.")
      .key("tokens_per_step", &BatchConfig::tokens_per_step,
           {.doc = "Tokens of one optimizer step: a multiple of micro_batch x data.seq_len.",
            .unit = "tokens",
            .range = count(1),
            .aliases = {"tokens_per_batch", "total_batch_size", "batch_size_in_tokens"}})
      .key("micro_batch", &BatchConfig::micro_batch,
           {.doc =
                "Samples computed at once: more needs more memory; the loss stays the same but for rounding.",
            .unit = "samples",
            .range = between(1, 1e6),
            .effect = KeyEffect::execution,
            .aliases = {"micro_batch_size", "per_device_train_batch_size", "train_micro_batch_size_per_gpu",
                        "device_batch_size"}});
}

void optimizer_keys(KeyRows& rows) {
  SectionRows(rows, &Config::optimizer, "optimizer", "The update rule.")
      .key("type", &OptimizerConfig::type,
           {.doc = "Update rule. muon makes the steps of layers' matrices orthogonal and is AdamW for all "
                   "else, where matrices are whole.",
            .choices = {"adamw", "muon"},
            .aliases = {"optim", "optimizer_type"}})
      .key("lr", &OptimizerConfig::lr,
           {.doc = "Peak learning rate; the schedule scales it.",
            .range = {.low = 0, .high = 10, .low_open = true},
            .aliases = {"learning_rate", "max_lr", "peak_lr"}})
      .key("betas", &OptimizerConfig::betas,
           {.doc = "Decay of the running means of the gradient and of its square.",
            .range = from_to_below(0, 1),
            .aliases = {"adam_betas"}})
      .key("eps", &OptimizerConfig::eps,
           {.doc = "Added to the root of the second moment.",
            .range = {.low = 0, .high = 1, .low_open = true},
            .aliases = {"adam_epsilon", "adam_eps"}})
      .key("momentum", &OptimizerConfig::momentum,
           {.doc = "Decay rate of the matrices' momentum.",
            .range = from_to_below(0, 1),
            .only_when = {"type", {"muon"}},
            .aliases = {"muon_momentum"}})
      .key("weight_decay", &OptimizerConfig::weight_decay,
           {.doc = "Decoupled decay per step, times the learning rate; norms and biases are left out.",
            .range = between(0, 10),
            .aliases = {"wd"}})
      .key("grad_clip", &OptimizerConfig::grad_clip,
           {.doc = "Largest global gradient norm; 0 is no clipping.",
            .range = between(0, 1e6),
            .aliases = {"max_grad_norm", "clip_grad", "gradient_clipping", "gradient_clip_val",
                        "clip_grad_norm"}})
      .key("trainable", &OptimizerConfig::trainable,
           {.doc = "Names of tensors that are trained, all others being frozen; * stands for any characters, "
                   "as in "
                   "\"layers.3.*\". An empty list: all."})
      .key("frozen", &OptimizerConfig::frozen,
           {.doc =
                "Names of tensors that are not trained; * stands for any characters, as in \"layers.0.*\"."})
      .key("timing", &OptimizerConfig::timing,
           {.doc = "When the update runs: sync is right after the gradients.",
            .choices = {"sync"},
            .effect = KeyEffect::execution});
}

void schedule_keys(KeyRows& rows) {
  SectionRows(rows, &Config::schedule, "schedule", "The learning rate over the run.")
      .key("type", &ScheduleConfig::type,
           {.doc = "Shape after the warm-up; wsd holds the peak and falls at the end.",
            .choices = {"cosine", "linear", "wsd", "constant"},
            .aliases = {"lr_scheduler_type", "lr_scheduler", "lr_decay_style"}})
      .key("warmup", &ScheduleConfig::warmup,
           {.doc = "Steps in which the rate rises from 0 to its peak.",
            .unit = "steps",
            .range = kSteps,
            .aliases = {"warmup_steps", "lr_warmup_iters", "warmup_iters", "num_warmup_steps"}})
      .key("decay", &ScheduleConfig::decay,
           {.doc = "Part of all steps, at the end, in which the rate falls.",
            .range = between(0, 1),
            .only_when = {"type", {"wsd"}}})
      .key("min_lr", &ScheduleConfig::min_lr,
           {.doc = "The last rate as a part of optimizer.lr.",
            .range = between(0, 1),
            .only_when = {"type", {"cosine", "linear", "wsd"}},
            .aliases = {"min_lr_ratio"}});
}

void execution_keys(KeyRows& rows) {
  const OnlyWhen fp8{"compute", {"fp8"}};
  SectionRows(rows, &Config::precision, "precision", "Number formats.")
      .key("compute", &PrecisionConfig::compute,
           {.doc = "Format of weights and activations in matrix products; sums are fp32. fp8: those of the "
                   "layers' "
                   "linear parts by precision.recipe, everything else in bf16.",
            .choices = {"fp32", "bf16", "fp8"},
            .aliases = {"dtype", "mixed_precision"}})
      .key("state", &PrecisionConfig::state,
           {.doc =
                "Optimizer state: fp32 (14 bytes per parameter), split (8: the bf16 weight is the high half "
                "of "
                "its own master), split8 (6: moments in 8 bits) or sr8 (4: no master, the bf16 weight is "
                "rounded "
                "stochastically). A checkpoint of one is gone on with in another (checkpoint.resume in a new "
                "run.out).",
            .choices = {"fp32", "split", "split8", "sr8"}})
      .key("recipe", &PrecisionConfig::recipe,
           {.doc =
                "Which elements of an 8-bit operand share a factor: all (tensor-current; tensor-delayed: the "
                "factor "
                "comes from earlier steps; tensor-hybrid: gradients as e5m2), a row, or 1x128 of activations "
                "and "
                "gradients and 128x128 of weights (block, as DeepSeek-V3; block-hybrid: gradients as e5m2).",
            .choices = {"tensor-current", "tensor-delayed", "tensor-hybrid", "row", "block", "block-hybrid"},
            .only_when = fp8,
            .aliases = {"fp8_recipe", "fp8_format"}})
      .key("scales", &PrecisionConfig::scales,
           {.doc = "Factors are any fp32 numbers or powers of two.",
            .choices = {"recipe", "fp32", "pow2"},
            .only_when = fp8})
      .key("products", &PrecisionConfig::products,
           {.doc = "Products that are made in 8 bits: forward, backward_input, backward_weight.",
            .only_when = fp8})
      .key("gather", &PrecisionConfig::gather,
           {.doc = "What ranks that share weights (parallel.partition) send each other of those that are "
                   "multiplied in 8 bits: values (bf16) or the codes made of them (fp8: half the bytes, the "
                   "same bits). Not with factors of rows.",
            .choices = {"bf16", "fp8"},
            .effect = KeyEffect::execution,
            .only_when = fp8})
      .key(
          "high_precision", &PrecisionConfig::high_precision,
          {.doc =
               "Linear layers left in bf16: names such as layers.0.*, mlp.down; * stands for any characters.",
           .only_when = fp8})
      .key("keep_first", &PrecisionConfig::keep_first,
           {.doc = "Layers at the beginning left in bf16.",
            .unit = "layers",
            .range = kSteps,
            .only_when = fp8})
      .key("keep_last", &PrecisionConfig::keep_last,
           {.doc = "Layers at the end left in bf16.", .unit = "layers", .range = kSteps, .only_when = fp8})
      .key("smallest", &PrecisionConfig::smallest,
           {.doc = "Matrices of fewer elements are left in bf16: 8 bits gain nothing there.",
            .unit = "elements",
            .range = kSteps,
            .only_when = fp8})
      .key("follow", &PrecisionConfig::follow,
           {.doc =
                "A file that `strata bench gemm --fp8 --config CONFIG --json` wrote: products that it found "
                "to be no faster in 8 bits are left in bf16.",
            .only_when = fp8})
      .key("history", &PrecisionConfig::history,
           {.doc = "Steps whose largest magnitudes make a delayed factor.",
            .unit = "steps",
            .range = kSteps,
            .only_when = {"recipe", {"tensor-delayed"}},
            .aliases = {"fp8_amax_history_len"}})
      .key("margin", &PrecisionConfig::margin,
           {.doc = "Room above the largest magnitude of a delayed factor, in powers of two.",
            .range = kSteps,
            .only_when = {"recipe", {"tensor-delayed"}},
            .aliases = {"fp8_margin"}})
      .key(
          "counters", &PrecisionConfig::counters,
          {.doc = "Counts, layer by layer, what became too large, what fell to zero and the noise added, for "
                  "metrics.jsonl. Costs a second look at every operand.",
           .effect = KeyEffect::execution,
           .only_when = fp8});
  SectionRows(rows, &Config::parallel, "parallel", "How work and memory are spread over the ranks of a job.")
      .key("tp", &ParallelConfig::tp,
           {.doc = "Ranks that share every layer: heads, features and vocabulary are cut.",
            .unit = "ranks",
            .range = kRanks,
            .effect = KeyEffect::execution,
            .aliases = {"tensor_model_parallel_size", "tensor_parallel_size"}})
      .key("pp", &ParallelConfig::pp,
           {.doc = "Pipeline ranks: each holds some of the layers.",
            .unit = "ranks",
            .range = kRanks,
            .effect = KeyEffect::execution,
            .aliases = {"pipeline_model_parallel_size", "pipeline_parallel_size"}})
      .key("cp", &ParallelConfig::cp,
           {.doc = "Ranks that share every sequence; keys and values go round them.",
            .unit = "ranks",
            .range = kRanks,
            .effect = KeyEffect::execution,
            .aliases = {"context_parallel_size"}})
      .key("dp", &ParallelConfig::dp,
           {.doc = "Ranks that share every step's samples; 0 is what the other sizes leave.",
            .unit = "ranks",
            .range = between(0, 32767),
            .effect = KeyEffect::execution,
            .aliases = {"data_parallel_size"}})
      .key("sequence_parallel", &ParallelConfig::sequence_parallel,
           {.doc = "Between layers, the ranks of tp hold a part of the tokens each.",
            .effect = KeyEffect::execution})
      .key("schedule", &ParallelConfig::schedule,
           {.doc = "Order of a pipeline's work: 1f1b, gpipe, interleaved, zb-h1, zb-h2, or the path of a "
                   "text file, one "
                   "line per pipeline rank.",
            .effect = KeyEffect::execution})
      .key("virtual_stages", &ParallelConfig::virtual_stages,
           {.doc = "Pieces of the model that each pipeline rank holds (interleaved).",
            .range = count(1),
            .effect = KeyEffect::execution})
      .key("partition", &ParallelConfig::partition,
           {.doc = "How data ranks share state: ddp (not), zero1 (optimizer state), zero2 (and gradients), "
                   "zero3 (and "
                   "weights), or three numbers of shards of weights, gradients and state, as 2/4/8.",
            .effect = KeyEffect::execution,
            .aliases = {"zero_stage"}})
      .key("gather_ahead", &ParallelConfig::gather_ahead,
           {.doc = "Weights that data ranks share are gathered this many blocks before their use.",
            .range = between(0, 1000),
            .effect = KeyEffect::execution})
      .key("recompute", &ParallelConfig::recompute,
           {.doc = "full keeps only block inputs and computes the rest again in the backward pass.",
            .choices = {"none", "full"},
            .effect = KeyEffect::execution});
  const auto home = [](std::string_view what) {
    return KeyTraits{.doc = what, .choices = {"device", "host", "nvme"}, .effect = KeyEffect::execution};
  };
  const auto kept = [](std::string_view what) {
    return KeyTraits{.doc = what, .range = between(0, 1), .effect = KeyEffect::execution};
  };
  SectionRows(rows, &Config::offload, "offload",
              "State away from where it is computed with: in memory of the host or on drives. The bits of a "
              "run do not depend on it, but for what activations_format and group say.")
      .key("weights", &OffloadConfig::weights, home("Where weights live between their uses."))
      .key("gradients", &OffloadConfig::gradients,
           home("Where the sums of gradients wait between micro-batches and for the update."))
      .key("master", &OffloadConfig::master,
           home("Where masters live: what an optimizer keeps of the weights beyond their own bits."))
      .key("moments", &OffloadConfig::moments, home("Where the optimizer's moments live."))
      .key("activations", &OffloadConfig::activations,
           home("Where the inputs of layers wait from their forward to their backward pass."))
      .key(
          "activations_format", &OffloadConfig::activations_format,
          {.doc =
               "What activations are while they are away: their values, or 8-bit codes (e4m3, a power-of-two "
               "factor for 128 elements of a row), half the bytes. The backward pass then reads rounded "
               "inputs, but for layers that activations_kept leaves on the device.",
           .choices = {"values", "fp8"},
           .only_when = {"activations", {"host", "nvme"}}})
      .key("weights_kept", &OffloadConfig::weights_kept,
           kept("Share of the weights that stays on the next faster tier, in whole layers."))
      .key("gradients_kept", &OffloadConfig::gradients_kept, kept("The same of gradients."))
      .key("master_kept", &OffloadConfig::master_kept, kept("The same of masters."))
      .key("moments_kept", &OffloadConfig::moments_kept, kept("The same of moments."))
      .key("activations_kept", &OffloadConfig::activations_kept, kept("The same of activations."))
      .key("group", &OffloadConfig::group,
           {.doc =
                "Micro-batches that pass a layer before the next layer works, so that its state moves once "
                "for "
                "all of them; 0: all of a step. Takes memory for as many activations. With a tied table and "
                "run.mode = \"fast\" sums have another order where it is not 1.",
            .unit = "micro-batches",
            .range = count(0)})
      .key("prefetch", &OffloadConfig::prefetch,
           {.doc =
                "State is loaded this many blocks before its use: more hides slower drives, and takes memory "
                "for as many blocks; -1: as few as cost no time, by the rates of links and drives.",
            .unit = "blocks",
            .range = between(-1, 1000),
            .effect = KeyEffect::execution})
      .key("timing", &OffloadConfig::timing,
           {.doc =
                "When layers are updated: sync behind their step, deferred in the next one, each before its "
                "forward pass, so that its state travels while others compute; gradients then keep their "
                "memory from step to step.",
            .choices = {"sync", "deferred"},
            .effect = KeyEffect::execution})
      .key("device_limit", &OffloadConfig::device_limit,
           {.doc = "Memory of the device for a step, as \"64GiB\"; \"\": as much as it takes.",
            .effect = KeyEffect::execution})
      .key("host_limit", &OffloadConfig::host_limit,
           {.doc = "Memory of the host for state kept there; \"\": as much as it takes.",
            .effect = KeyEffect::execution})
      .key("paths", &OffloadConfig::paths,
           {.doc = "Folders on the drives for state on nvme, one per drive; []: the folder \"offload\" of "
                   "run.out.",
            .effect = KeyEffect::execution})
      .key(
          "slots", &OffloadConfig::slots,
          {.doc =
               "Versions of state that drives keep: with 2 a run that was killed goes on from its last step, "
               "which takes twice the space and needs weights, master and moments on nvme as a whole; with 1 "
               "from its last checkpoint.",
           .range = between(1, 2),
           .effect = KeyEffect::execution})
      .key("any_volume", &OffloadConfig::any_volume,
           {.doc = "Also use folders in memory, in container layers and on networks, which are refused "
                   "otherwise.",
            .effect = KeyEffect::execution})
      .key(
          "endurance", &OffloadConfig::endurance,
          {.doc = "What may be written to the drives of paths together before they wear out, as their makers "
                  "say (TBW): how long they last is told; 0: not known.",
           .unit = "TB",
           .range = between(0, 1e9),
           .effect = KeyEffect::execution});
  SectionRows(rows, &Config::checkpoint, "checkpoint", "Saving and resuming.")
      .key("every", &CheckpointConfig::every,
           {.doc = "Save this often; 0 is only at the end.",
            .unit = "steps",
            .range = kSteps,
            .effect = KeyEffect::execution,
            .aliases = {"save_steps", "save_interval", "checkpoint_interval"}})
      .key("keep", &CheckpointConfig::keep,
           {.doc = "Newest checkpoints kept, at least two; older ones are deleted.",
            .range = between(1, 1e6),
            .effect = KeyEffect::execution,
            .aliases = {"save_total_limit", "keep_last", "keep_last_n"}})
      .key("resume", &CheckpointConfig::resume,
           {.doc = "auto goes on from the newest checkpoint in run.out, none starts afresh, anything else is "
                   "the path "
                   "of a checkpoint.",
            .effect = KeyEffect::execution,
            .aliases = {"resume_from_checkpoint", "load_path"}})
      .key("allow_missing", &CheckpointConfig::allow_missing,
           {.doc = "Tensors, by name (or many, ending with *), that a checkpoint or model.from need not "
                   "hold: they "
                   "begin as in a new run. With reinit, ignore_extra and rename, applied once: not to "
                   "checkpoints "
                   "that were saved under the same rules.",
            .effect = KeyEffect::execution})
      .key("reinit", &CheckpointConfig::reinit,
           {.doc = "Tensors that begin as in a new run even if they are stored, with their optimizer state.",
            .effect = KeyEffect::execution})
      .key("ignore_extra", &CheckpointConfig::ignore_extra,
           {.doc = "Stored tensors that the model does not have, and that are left out.",
            .effect = KeyEffect::execution})
      .key("rename", &CheckpointConfig::rename,
           {.doc = "\"STORED=NAME\": take the stored tensor STORED, all states of it, for the model's NAME.",
            .effect = KeyEffect::execution});
}

void watching_keys(KeyRows& rows) {
  SectionRows(rows, &Config::eval, "eval", "Loss on the validation text.")
      .key("every", &EvalConfig::every,
           {.doc = "Evaluate this often; 0 is never.",
            .unit = "steps",
            .range = kSteps,
            .effect = KeyEffect::execution,
            .aliases = {"eval_steps", "eval_interval", "val_check_interval"}})
      .key("tokens", &EvalConfig::tokens,
           {.doc = "Tokens of one evaluation; 0 is the whole validation text.",
            .unit = "tokens",
            .range = between(0, 1e12),
            .effect = KeyEffect::execution});
  SectionRows(rows, &Config::log, "log", "What is shown and recorded.")
      .key("every", &LogConfig::every,
           {.doc = "Print a line this often when the output is not a terminal; 0 is never.",
            .unit = "steps",
            .range = kSteps,
            .effect = KeyEffect::execution,
            .aliases = {"logging_steps", "log_interval", "log_freq", "console_every"}})
      .key("tensorboard", &LogConfig::tensorboard,
           {.doc = "Write TensorBoard event files.",
            .effect = KeyEffect::execution,
            .aliases = {"use_tensorboard"}})
      .key("trace_steps", &LogConfig::trace_steps,
           {.doc = "Steps recorded as a Chrome/Perfetto trace; 0 is none.",
            .unit = "steps",
            .range = between(0, 1e6),
            .effect = KeyEffect::execution})
      .key("record", &LogConfig::record,
           {.doc = "File for a summary of everything that the steps compute, which strata bisect compares; "
                   "\"\" is none.",
            .effect = KeyEffect::execution});
  SectionRows(rows, &Config::guard, "guard", "What happens when training goes wrong.")
      .key("nan", &GuardConfig::nan,
           {.doc = "On a loss or gradient that is not finite: stop the run, or skip the update.",
            .choices = {"stop", "skip"}})
      .key("spike", &GuardConfig::spike,
           {.doc = "Skip the update when the loss or the gradient norm lies this many standard deviations "
                   "above its recent mean.",
            .unit = "standard deviations",
            .range = above(0)})
      .key("stall_timeout", &GuardConfig::stall_timeout,
           {.doc = "A job of several ranks ends when one is silent, or all stand still, for this long; 0 is "
                   "the larger "
                   "of a minute and five planned steps.",
            .unit = "seconds",
            .range = between(0, 1e6),
            .effect = KeyEffect::execution});
}

KeyRows all_rows() {
  KeyRows rows;
  run_keys(rows);
  model_keys(rows);
  adapter_keys(rows);
  data_keys(rows);
  loss_keys(rows);
  batch_keys(rows);
  optimizer_keys(rows);
  schedule_keys(rows);
  execution_keys(rows);
  watching_keys(rows);
  return rows;
}

template <typename T, typename Matches>
const T* find_if(const std::vector<T>& items, Matches matches) {
  const auto at = std::ranges::find_if(items, matches);
  return at == items.end() ? nullptr : &*at;
}

}  // namespace

KeyTable::KeyTable(std::vector<KeySection> sections, std::vector<Key> keys)
    : sections_(std::move(sections)), keys_(std::move(keys)) {
  for (const Key& key : keys_) check(section(key.section) != nullptr, "[config] {} has no section", key.path);
}

const KeySection* KeyTable::section(std::string_view name) const {
  return find_if(sections_, [&](const KeySection& section) { return section.name == name; });
}

const Key* KeyTable::find(std::string_view path) const {
  return find_if(keys_, [&](const Key& key) { return key.path == path; });
}

const Key* KeyTable::by_alias(std::string_view name) const {
  std::string normal(name);
  std::ranges::replace(normal, '-', '_');
  return find_if(keys_, [&](const Key& key) { return std::ranges::count(key.traits.aliases, normal) != 0; });
}

const Key* KeyTable::by_name(std::string_view name) const {
  return find_if(keys_, [&](const Key& key) { return key.name == name; });
}

const KeyTable& key_table() {
  static const KeyTable table = [] {
    KeyRows rows = all_rows();
    return KeyTable(std::move(rows.sections), std::move(rows.keys));
  }();
  return table;
}

}  // namespace strata
