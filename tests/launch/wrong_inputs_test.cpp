// SPDX-License-Identifier: Apache-2.0
// Thirty things that people get wrong, each as they do it: the program ends with the exit code of the kind of
// fault, says it once, and says what is wrong, where, what was found, what was expected and what mends it.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/launch/program_run.h"

namespace strata {
namespace {

struct WrongInput {
  std::string name;     // number and fault
  std::string prepare;  // shell words that make it
  std::string command;  // of the program, or with "sh:" before it of the shell
  int code = 0;
  // What the five parts must hold.
  std::string what, where, found, expected, fix;
};

void PrintTo(const WrongInput& wrong, std::ostream* out) { *out << wrong.name; }

// A run of four steps of its own, `what` changed.
std::string train(const std::string& what) { return "train run.toml run.name=new " + what; }
std::string chat(const std::string& file) {
  return train("data.chat_template=chatml 'data.train=[\"" + file +
               "\"]' eval.every=0 data.valid_fraction=0");
}

constexpr const char* kGoodRecord =
    R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})";

std::string with_record(const std::string& file, const std::string& record) {
  return "printf '%s\\n%b\\n' '" + std::string(kGoodRecord) + "' '" + record + "' > " + file;
}

const std::vector<WrongInput>& wrong_inputs() {
  static const std::vector<WrongInput> cases = {
      {"01_misspelt_command", "", "trian run.toml", 2, "'trian' is not a command of 'strata'", "command line",
       "trian", "one of: init, plan, train", "did you mean 'strata train'?"},
      {"01_misspelt_option", "", "plan run.toml --rank=4", 2, "--rank", "command line", "--rank=4",
       "options of 'strata plan'", "did you mean --ranks?"},
      {"01_misspelt_choice_of_an_option", "", "convert hf x --to hff", 2, "hff not in", "command line",
       "--to hff", "options of 'strata convert'", "did you mean --to hf?"},
      {"02_unknown_key", "", train("optimizer.weight_deacy=1"), 2, "unknown key optimizer.weight_deacy",
       "command line: optimizer.weight_deacy=1", "weight_deacy", "a key of [optimizer]",
       "did you mean optimizer.weight_decay?"},
      {"03_key_in_the_wrong_section", "sed -i 's/^layers/seq_len = 8\\nlayers/' run.toml", "train run.toml",
       2, "model.seq_len is in the wrong place: this key belongs to [data]", "run.toml:6:1", "model.seq_len",
       "data.seq_len", "move it to [data]"},
      {"04_key_given_twice", "sed -i 's/^layers/layers = 3\\nlayers/' run.toml", "train run.toml", 2,
       "given twice", "run.toml:7", "layers", "every key and section once", "remove one of the two"},
      {"05_wrong_type", "", train("optimizer.lr=fast"), 2, "optimizer.lr has the wrong type",
       "command line: optimizer.lr=fast", "text \"fast\"", "number, above 0", "optimizer.lr = 0.0003"},
      {"06_out_of_range", "", train("optimizer.lr=-1"), 2, "-1.0 is out of range",
       "command line: optimizer.lr=-1", "-1", "above 0", "optimizer.lr = 0.0003"},
      {"07_yaml", "printf 'run:\\n\\tsteps: 3\\n' > yaml.toml", "train yaml.toml", 2, "not valid TOML",
       "yaml.toml:1", ".", "[section] and key = value", "looks like YAML"},
      {"08_out_cannot_be_made", "", train("run.out=text.txt/x"), 2, "text.txt/x", "run.out",
       "Not a directory", "a path at which a folder can be made", "run.out="},
      {"08_out_holds_another_run", "", "train run.toml optimizer.lr=1e-2", 2, "run.out holds another run",
       "runs/base", "optimizer.lr: 0.0003 there, 0.01 here", "the same values", "choose another run.out"},
      {"09_sizes_and_ranks", "", train("parallel.tp=2"), 2, "the sizes need 2 ranks, there are 1",
       "parallel.tp", "ranks 1 / (pp 1 x cp 1 x tp 2 = 2)", "ranks = pp x cp x tp x dp", "start 2 ranks"},
      {"10_heads_and_tensor_ranks", "", "plan run.toml --ranks 3 parallel.tp=3", 2,
       "tensor parallelism cannot split the model's heads", "parallel.tp", "heads 4 / tp 3 = 1 remainder 1",
       "tp that divides heads 4", "2 or 4 ranks"},
      {"10_parts_of_matrices_and_muon", "", "plan run.toml --ranks 2 parallel.tp=2 optimizer.type=muon", 2,
       "muon takes matrices whole", "parallel.tp", "tp = 2", "parallel.tp = 1", "optimizer.type = \"adamw\""},
      {"10_shared_state_and_muon", "", "plan run.toml --ranks 2 optimizer.type=muon", 2,
       "muon takes matrices whole", "parallel.partition", "state over 2 ranks",
       "parallel.partition = \"ddp\"", "parallel.partition = \"ddp\""},
      {"10_head_too_wide", "", train("model.hidden=4096"), 2, "a head is wider than attention can be",
       "model.hidden = 4096 (command line)", "head_dim 1024", "head_dim <= 256", "model.heads = 16"},
      {"11_fewer_layers_than_stages", "", "plan run.toml --ranks 4 parallel.pp=4", 2,
       "the layers do not divide", "parallel.pp", "layers 2 / pp 4", "layers = pp x virtual_stages",
       "pp 2 x dp 2"},
      {"12_tokens_per_step", "", train("batch.tokens_per_step=250"), 2, "not a whole number of micro-batches",
       "batch.tokens_per_step = 250 (command line)", "= 3 remainder 58", "micro_batch x seq_len",
       "batch.tokens_per_step = 256"},
      {"12_tokens_per_step_and_data_ranks", "", "plan run.toml --ranks 3", 2, "not whole micro-batches",
       "batch.tokens_per_step", "dp 3", "micro_batch x seq_len x dp", "batch.tokens_per_step ="},
      {"13_beyond_the_positions", "", train("model.max_positions=16"), 2, "longer than the model's positions",
       "data.seq_len = 32 (run.toml:", "seq_len 32 > max_positions 16", "seq_len <= max_positions",
       "data.seq_len = 16"},
      {"14_no_config_json", "rm hf/config.json", "init --from hf -o a.toml", 4, "sizes are not known", "hf",
       "safetensors", "config.json", "strata inspect hf"},
      {"14_shard_missing",
       R"(printf '{"weight_map": {"a": "model-1.safetensors"}}' > hf/model.safetensors.index.json; rm hf/model.safetensors)",
       train("model.from=hf"), 4, "a file of a sharded model is missing", "hf/model.safetensors.index.json",
       "no model-1.safetensors", "all 1 files", "again"},
      {"15_truncated_safetensors", "truncate -s 5000 hf/model.safetensors", train("model.from=hf"), 4,
       "safetensors", "hf/model.safetensors", "2968 bytes behind the header", ".", "again"},
      {"16_other_shape", "", train("model.from=hf model.ffn=96"), 4,
       "does not hold the tensors that are wanted", "hf", "f32 [96, 32]: stored as f32 [64, 32]",
       "the same names, types and shapes", "use the model's own checkpoint"},
      {"17_unknown_family", "sed -i 's/\"llama\"/\"mamba\"/' hf/config.json", "init --from hf -o a.toml", 4,
       "'model_type'", "hf/config.json", "\"mamba\"", "one of llama, qwen2", "a family that Strata trains"},
      {"17_unknown_architecture", "", train("model.arch=mamba"), 2, "\"mamba\" is not a choice",
       "model.arch=mamba", "text \"mamba\"", "one of: llama, gpt2", "model.arch = \"llama\""},
      {"18_vocabulary_too_small", "", train("model.vocab=100"), 2, "smaller than the tokenizer's vocabulary",
       "data.tokenizer = \"byte\"", "model.vocab = 100", "at least 257", "the model's own tokenizer"},
      {"19_unknown_pre_tokenizer",
       R"(printf '{"pre_tokenizer": {"type": "Bert"}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}' > t.json)",
       train("data.tokenizer=t.json"), 3, "a pre-tokenizer is not known", "t.json: pre_tokenizer", "\"Bert\"",
       "ByteLevel, Split", "supported kind"},
      {"19_unknown_template_construct",
       "printf '{%% include \"x\" %%}' > t.jinja; " + with_record("c.jsonl", kGoodRecord),
       train("data.chat_template=t.jinja 'data.train=[\"c.jsonl\"]'"), 3, "a chat template cannot be used",
       "t.jinja:1", "include", "the part of Jinja", "built-in"},
      {"20_record_is_not_json", with_record("c.jsonl", "{oops"), chat("c.jsonl"), 3, "a record is not JSON",
       "c.jsonl:2", "byte 2", "one JSON object a line", "mend the line"},
      {"20_record_is_not_utf8", with_record("c.jsonl", R"({"messages": "\0377"})"), chat("c.jsonl"), 3,
       "not UTF-8", "c.jsonl:2", "byte 0xFF", "UTF-8 text", "iconv"},
      {"21_record_without_the_fields", with_record("c.jsonl", R"({"message": []})"), chat("c.jsonl"), 3,
       "a record has the fields of no format", "c.jsonl:2", "fields \"message\"", "{\"messages\": [",
       "rename"},
      {"21_unknown_role", with_record("c.jsonl", R"({"messages": [{"role": "gpt", "content": "a"}]})"),
       chat("c.jsonl"), 3, "a role that is not known", "c.jsonl:2", "message 1: \"gpt\"",
       "system, developer, user, assistant", "write \"gpt\" as \"assistant\""},
      {"22_nothing_is_learned",
       R"(for i in $(seq 200); do echo '{"messages": [{"role": "user", "content": "why is it so?"}]}'; done > c.jsonl)",
       chat("c.jsonl"), 3, "nothing would be learned from the training data", "token 0",
       "all left out of the loss", "at least one token that is learned", "strata data show"},
      {"23_does_not_fit", "", train("model.hidden=65536 model.heads=512 model.layers=200 model.ffn=200000"),
       6, "memory", ".", ".", ".", "."},
      {"14_nothing_to_fine_tune", "", "finetune nowhere text.txt", 4, "there is no model here", "nowhere",
       "nothing of that name", "Hugging Face", "."},
      {"20_no_data_to_fine_tune_on", "", "finetune hf nowhere.txt", 3, "", "nowhere.txt", ".", ".", "."},
      {"21_record_to_fine_tune_on", with_record("c.jsonl", "{oops"), "finetune hf c.jsonl", 3,
       "a record is not JSON", "c.jsonl:2", "byte 2", "one JSON object a line", "mend the line"},
      {"01_misspelt_method", "", "finetune hf text.txt --method qlra", 2, "qlra not in", "command line",
       "--method qlra", "options of 'strata finetune'", "did you mean --method qlora?"},
      {"08_another_fine_tuning", "sed 's/^layers/from = \"hf\"\\nlayers/' run.toml > other.toml",
       "finetune hf2 text.txt --out other", 2, "another fine-tuning has its configuration there",
       "other.toml", "hf on text.txt", "hf2 on text.txt", "choose another --out"},
      {"23_no_way_fits", "",
       "finetune hf text.txt --method full model.hidden=65536 model.heads=512 model.layers=200 "
       "model.ffn=200000",
       6, "does not fit", "hf", "more", ".", "."},
      {"23_does_not_fit_a_limit", "", train("offload.moments=host offload.device_limit=100KiB"), 6,
       "the step does not fit into memory", "offload.device_limit", "the program needs",
       "at most 102400 bytes", "the smallest that works as configured"},
      {"24_state_on_a_file_system_in_memory", "",
       train("offload.moments=nvme 'offload.paths=[\"/dev/shm\"]'"), 5,
       "tiles of training state do not go on this file system", "/dev/shm", "tmpfs", "on a drive",
       "offload.any_volume"},
      {"25_no_gpu", "export STRATA_CUDA_DEVICES=0", train("run.device=cuda"), 5, "", "run.device", ".", ".",
       "run.device = \"cpu\""},
      {"25_part_of_a_matrix_in_8_bits", "",
       train("precision.compute=fp8 'precision.high_precision=[\"attention.key\"]'"), 2,
       "a pattern means only a part of a matrix", "precision.high_precision", "1 of the 3 layers",
       "whole matrices", "layers.0.attention.qkv"},
      {"28_newer_checkpoint",
       "sed -i 's/\"strata_checkpoint\":\\[1,/\"strata_checkpoint\":[9,/' "
       "runs/base/checkpoints/step-*/manifest.json",
       "sample runs/base --prompt a", 4, "no checkpoint in this folder is whole", "runs/base/checkpoints",
       "9", "manifest.json", "restore one"},
      {"28_half_written_checkpoint", "rm runs/base/checkpoints/step-*/manifest.json",
       "train run.toml run.steps=6", 4, "no checkpoint of this run is whole", "runs/base/checkpoints",
       "no manifest.json", "resume = \"auto\"", "restore one, or choose another run.out"},
      {"28_flipped_bytes",
       "for f in runs/base/checkpoints/step-*/shard-00000.h5; do printf '\\377\\377\\377\\377' | dd of=$f "
       "bs=1 seek=30000 "
       "conv=notrunc 2>/dev/null; done",
       "train run.toml run.steps=6", 4, "is damaged", "shard-00000.h5: block 0", "checksum", ".",
       "an earlier checkpoint"},
      {"29_other_data", "echo more >> text.txt", "train run.toml run.steps=6", 3,
       "the data is not what this run", "runs/base/checkpoints/step-00000004", "data fingerprint", ".",
       "restore data.train"},
      {"29_other_optimizer", "", "train run.toml run.steps=6 precision.state=split", 2,
       "run.out holds another run", "runs/base", "precision.state: \"fp32\" there, \"split\" here",
       "the same values", "another run.out"},
      {"29_other_tokenizer", "", "train run.toml run.steps=6 data.tokenizer=hf", 2,
       "run.out holds another run", "runs/base", "data.tokenizer: \"byte\" there, \"hf\" here",
       "the same values", "another run.out"},
      {"30_loss_not_finite", "",
       train(
           "run.steps=60 optimizer.lr=10 optimizer.weight_decay=10 optimizer.grad_clip=0 schedule.warmup=0"),
       7, "loss is not finite", "runs/new", "loss ", "finite numbers", "lower optimizer.lr"},
  };
  return cases;
}

// Those of jobs, where there is MPI. A rank that is lost: tests/launch/ranks.
const std::vector<WrongInput>& wrong_jobs() {
  static const std::vector<WrongInput> cases = {
      {"26_launcher_without_pmix", "",
       "sh:env SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 SLURM_JOB_ID=1 SLURM_STEP_ID=0 '" STRATA_PROGRAM "' " +
           train(""),
       5, "the job's launcher and MPI disagree about the ranks", ".", "Slurm says rank 0 of 4",
       "the same rank and number of ranks", "mpirun or srun"},
      {"27_ranks_with_other_configurations",
       "printf '#!/bin/sh\\nif [ $OMPI_COMM_WORLD_RANK = 1 ]; then exec \"$@\" optimizer.lr=1e-2; fi\\nexec "
       "\"$@\"\\n' > "
       "start.sh; chmod +x start.sh",
       "sh:" STRATA_MPIRUN " -n 2 ./start.sh '" STRATA_PROGRAM "' " + train("batch.micro_batch=1"), 5,
       "do not have the same configuration", "rank 1", "lr = ", "the same configuration on all 2 ranks",
       "start every rank with the same"},
  };
  return cases;
}

std::vector<WrongInput> all_of_this_build() {
  std::vector<WrongInput> all = wrong_inputs();
  if (*STRATA_MPIRUN != 0) all.insert(all.end(), wrong_jobs().begin(), wrong_jobs().end());
  return all;
}

class WrongInputs : public ProgramTest, public testing::WithParamInterface<WrongInput> {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    if (const std::string made = good(); !made.empty())
      std::filesystem::copy(made, folder_, std::filesystem::copy_options::recursive);
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(kept()); }

 private:
  static std::string kept() { return testing::TempDir() + "strata-good-" + std::to_string(getpid()); }
  // A run of four steps and its model as a Hugging Face folder, made once for all cases.
  const std::string& good() {
    static const std::string folder = [this] {
      write("run.toml", R"([run]
name = "base"
steps = 4
threads = 1
[model]
layers = 2
hidden = 32
heads = 4
ffn = 64
[data]
train = ["text.txt"]
seq_len = 32
[batch]
tokens_per_step = 256
micro_batch = 2
[checkpoint]
every = 2
[eval]
every = 4
[log]
every = 0
)");
      std::string text;
      for (int i = 0; i < 800; ++i)
        text += "verse " + std::to_string(i) + ": and " + std::to_string(i * i % 97) + " begat.\n";
      write("text.txt", text);
      EXPECT_EQ(run("train run.toml").code, 0) << read(".err");
      EXPECT_EQ(run("convert runs/base hf").code, 0) << read(".err");
      std::filesystem::remove_all(kept());
      std::filesystem::rename(folder_, kept());
      std::filesystem::create_directory(folder_);
      return kept();
    }();
    return folder;
  }
};

// The text behind "  name: " in a message, further lines of the part included.
std::string part(const std::string& message, const std::string& name) {
  const size_t at = message.find("\n  " + name + ":");
  if (at == std::string::npos) return "";
  size_t begin = message.find_first_not_of(' ', at + name.size() + 4), end = begin;
  do end = message.find('\n', end + 1);
  while (end != std::string::npos && message.substr(end + 1, 4) == "    ");
  return message.substr(begin, end - begin);
}

TEST_P(WrongInputs, AreRefusedWithAllThatHelps) {
  const WrongInput& wrong = GetParam();
  const std::string before = wrong.prepare.empty() ? "" : wrong.prepare + "; ";
  const std::string command =
      wrong.command.starts_with("sh:") ? wrong.command.substr(3) : "'" STRATA_PROGRAM "' " + wrong.command;
  const Outcome outcome = shell(before + command);
  EXPECT_EQ(outcome.code, wrong.code) << outcome.err;
  EXPECT_EQ(count(outcome.err, "strata: error: "), 1u) << outcome.err;
  const std::string message =
      outcome.err.substr(std::min(outcome.err.find("strata: error: "), outcome.err.size()));
  const std::string what = message.substr(0, message.find('\n'));
  EXPECT_THAT(what, testing::HasSubstr(wrong.what)) << message;
  for (const auto& [name, expected] :
       {std::pair("where", &wrong.where), std::pair("found", &wrong.found),
        std::pair("expected", &wrong.expected), std::pair("fix", &wrong.fix)}) {
    const std::string said = part(message, name);
    EXPECT_FALSE(said.empty()) << "nothing behind '" << name << "' in\n" << message;
    if (*expected == ".") continue;  // what it says is a matter of the machine
    EXPECT_THAT(said, testing::HasSubstr(*expected)) << message;
  }
}

INSTANTIATE_TEST_SUITE_P(Table, WrongInputs, testing::ValuesIn(all_of_this_build()),
                         [](const auto& wrong) { return "Case" + wrong.param.name; });

}  // namespace
}  // namespace strata
