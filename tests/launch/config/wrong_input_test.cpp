// SPDX-License-Identifier: Apache-2.0
// What bad configurations get: one report per fault, with where, what was found and expected, and the fix.
#include <gmock/gmock.h>

#include "tests/launch/config/sample_config.h"

namespace strata::test {
namespace {

struct WrongInput {
  std::string name;
  std::string text;
  std::vector<std::string> overrides;
  Report report;  // each part must occur in the part of the message
};

void PrintTo(const WrongInput& wrong, std::ostream* out) { *out << wrong.name; }

const std::vector<WrongInput>& wrong_inputs() {
  const auto in = [](std::string section, std::string line) { return good_with(section, line); };
  static const std::vector<WrongInput> cases = {
      {"unknown_key",
       in("optimizer", "lrr = 1e-3"),
       {},
       {"unknown key optimizer.lrr", "run.toml:14:1", "optimizer.lrr", "a key of [optimizer]",
        "did you mean optimizer.lr?"}},
      {"unknown_key_no_guess",
       in("run", "zzzzzzzz = 1"),
       {},
       {"unknown key run.zzzzzzzz", "run.toml:2:1", "run.zzzzzzzz", "a key of [run]", "config keys"}},
      {"misspelt_alias",
       in("optimizer", "learning_rte = 1e-3"),
       {},
       {"unknown key", "run.toml:14:1", "learning_rte", "[optimizer]", "did you mean optimizer.lr?"}},
      {"misplaced",
       in("model", "seq_len = 64"),
       {},
       {"model.seq_len is in the wrong place: this key belongs to [data]", "run.toml:4:1", "model.seq_len",
        "data.seq_len", "move it to [data]"}},
      {"misplaced_alias",
       in("run", "learning_rate = 1e-3"),
       {},
       {"belongs to [optimizer]", "run.toml:2:1", "run.learning_rate", "optimizer.lr",
        "move it to [optimizer]"}},
      {"misplaced_many",
       in("data", "every = 3"),
       {},
       {"belongs to [checkpoint] or [eval] or [log]", "run.toml:8:1", "data.every",
        "checkpoint.every or eval.every or log.every", "move it"}},
      {"top_level_key",
       "seq_len = 3\n" + kGood,
       {},
       {"belongs to [data]", "run.toml:1:1", "seq_len", "data.seq_len", "[data]"}},
      {"unknown_section",
       in("optimiser", "lr = 1e-3"),
       {},
       {"unknown section [optimiser]", "run.toml:13", "[optimiser]", "one of: run, model",
        "did you mean [optimizer]?"}},
      {"section_as_key",
       "optimizer = 3\n" + kGood,
       {},
       {"optimizer is a section", "run.toml:1:13", "whole number 3", "[optimizer]", "write [optimizer]"}},
      {"duplicate",
       in("model", "layers = 3"),
       {},
       {"given twice", "run.toml:5", "layers", "once", "remove one"}},
      {"duplicate_section",
       kGood + "[run]\nseed = 1\n",
       {},
       {"given twice", "run.toml:13", "run", "once", "remove one"}},
      {"duplicate_by_alias",
       in("model", "num_layers = 3"),
       {},
       {"model.layers is given twice, under two names", "run.toml:5:1",
        "layers, and the same key at run.toml:4:1", "once", "remove one"}},
      {"wrong_type_text",
       in("optimizer", "lr = \"fast\""),
       {},
       {"optimizer.lr has the wrong type", "run.toml:14:6", "text \"fast\"", "number, above 0, at most 10",
        "optimizer.lr = 0.0003"}},
      {"number_in_quotes",
       in("optimizer", "lr = \"1e-3\""),
       {},
       {"wrong type", "run.toml:14:6", "text \"1e-3\"", "number", "optimizer.lr = 0.001"}},
      {"float_for_count",
       in("eval", "tokens = 4096.0"),
       {},
       {"wrong type", "run.toml:14:10", "number 4096.0", "whole number", "eval.tokens = 4096"}},
      {"integer_for_bool",
       in("model", "tied = 1"),
       {},
       {"wrong type", "run.toml:4:8", "whole number 1", "true or false", "model.tied = true"}},
      {"list_for_text",
       in("run", "name = [\"a\"]"),
       {},
       {"wrong type", "run.toml:2:8", "list of 1", "text", "run.name = \"run\""}},
      {"table_for_number",
       in("optimizer", "lr = {peak = 1}"),
       {},
       {"wrong type", "run.toml:14:6", "a table", "number", "optimizer.lr ="}},
      {"mixed_list",
       in("data", "valid = [\"a\", 3]"),
       {},
       {"wrong type", "run.toml:8:9", "list of 2", "list of texts", "data.valid"}},
      {"negative",
       in("optimizer", "lr = -1"),
       {},
       {"-1.0 is out of range", "run.toml:14:6", "whole number -1", "above 0", "optimizer.lr = 0.0003"}},
      {"infinite",
       in("optimizer", "weight_decay = inf"),
       {},
       {"out of range", "run.toml:14:16", "number inf", "at most 10", "0.1"}},
      {"not_a_number",
       in("guard", "spike = nan"),
       {},
       {"out of range", "run.toml:14:9", "number nan", "above 0", "guard.spike = \"off\""}},
      {"beta_one",
       in("optimizer", "betas = [0.9, 1.0]"),
       {},
       {"1.0 is out of range", "run.toml:14:9", "list of 2", "below 1", "[0.9, 0.95]"}},
      {"three_betas",
       in("optimizer", "betas = [0.9, 0.95, 0.99]"),
       {},
       {"the list has 3 numbers", "run.toml:14:9", "list of 3", "list of 2 numbers", "[0.9, 0.95]"}},
      {"no_layers",
       in("run", ""),
       {"model.layers=0"},
       {"model.layers: 0 is out of range", "command line: model.layers=0", "whole number 0", "at least 1",
        "model.layers = 1 or more"}},
      {"no_training_text",
       in("run", ""),
       {"data.train=[]"},
       {"the list is empty", "command line: data.train=[]", "list of 0", "list of texts", "data.train = ["}},
      {"misspelt_choice",
       in("schedule", "type = \"cosin\""),
       {},
       {"\"cosin\" is not a choice", "run.toml:14:8", "text \"cosin\"",
        "one of: cosine, linear, wsd, constant", "schedule.type = \"cosine\""}},
      {"bad_duration",
       in("checkpoint", "every = \"30 moons\""),
       {},
       {"wrong type", "run.toml:14:9", "text \"30 moons\"", "duration such as \"30min\"",
        "checkpoint.every = 100"}},
      {"duration_for_warmup",
       in("schedule", "warmup = \"30min\""),
       {},
       {"wrong type", "run.toml:14:10", "text \"30min\"", "whole number", "how fast the machine is"}},
      {"missing_required",
       "[run]\nsteps = 1\n[model]\nhidden = 8\nheads = 2\n[data]\ntrain = [\"a\"]\n",
       {},
       {"model.layers is missing", "run.toml", "no such key", "Transformer blocks",
        "add \"layers = ...\" to [model]"}},
      {"later_key",
       in("parallel", "ep = 2"),
       {},
       {"parallel.ep: experts are not available in this version", "run.toml:14:1", "parallel.ep", "",
        "remove"}},
      {"later_key_override",
       kGood,
       {"offload.update=host"},
       {"offload.update: the device updates its state in this version", "command line: offload.update=host",
        "offload.update", "config keys", "remove it"}},
      {"recipe_without_8_bits",
       kGood,
       {"precision.recipe=row"},
       {"precision.recipe has no effect here", "precision.recipe = \"row\" (command line)",
        "precision.compute", "precision.compute = \"fp8\"", "remove precision.recipe"}},
      {"format_of_activations_that_stay",
       kGood,
       {"offload.activations_format=fp8"},
       {"offload.activations_format has no effect here",
        "offload.activations_format = \"fp8\" (command line)", "offload.activations = \"device\"",
        "offload.activations = \"host\" or \"nvme\"",
        "remove offload.activations_format, or leave it at \"values\""}},
      {"recipe_misspelt",
       kGood,
       {"precision.compute=fp8", "precision.recipe=block-hybird"},
       {"precision.recipe: \"block-hybird\" is not a choice", "command line", "block-hybird",
        "tensor-current", "precision.recipe = \"block-hybrid\""}},
      {"later_value_other_type",
       in("run", ""),
       {"batch.micro_batch=auto"},
       {"not available in this version", "command line", "text \"auto\"", "whole number",
        "batch.micro_batch = 4"}},
      {"foreign_without_twin",
       "gradient_accumulation_steps = 4\n" + kGood,
       {},
       {"derived", "run.toml:1:1", "gradient_accumulation_steps", "", "batch.tokens_per_step"}},
      {"unquoted_text",
       in("run", "name = kjv"),
       {},
       {"not valid TOML", "run.toml:2", "", "key = value", "put text in double quotes"}},
      {"yaml",
       "run:\n  steps: 3\n",
       {},
       {"not valid TOML", "run.toml:1", "", "key = value", "looks like YAML"}},
      {"unclosed_list",
       in("data", "valid = [\"a\""),
       {},
       {"not valid TOML", "run.toml:", "", "", "brackets"}},
      {"not_utf8", "[run]\nname = \"\xff\xfe\"\n", {}, {"not valid TOML", "run.toml:2", "", "", ""}},
      {"override_without_value",
       kGood,
       {"optimizer.lr"},
       {"not of the form key=value", "command line: optimizer.lr", "optimizer.lr", "section.key=value",
        "optimizer.lr=1e-3"}},
      {"override_unknown",
       kGood,
       {"optimizer.weight_deacy=1"},
       {"unknown key optimizer.weight_deacy", "command line: optimizer.weight_deacy=1",
        "optimizer.weight_deacy", "", "did you mean optimizer.weight_decay?"}},
      {"override_without_section",
       kGood,
       {"seed=3"},
       {"belongs to [run]", "command line: seed=3", "seed", "run.seed", "run.seed=..."}},
      {"override_word_for_number",
       kGood,
       {"optimizer.lr=fast"},
       {"wrong type", "command line: optimizer.lr=fast", "text \"fast\"", "number", "0.0003"}},
      {"override_broken_list",
       kGood,
       {"optimizer.betas=[0.9,"},
       {"cannot be read", "command line: optimizer.betas=[0.9,", "", "list of 2 numbers", "quote it"}},
      {"override_two_values",
       kGood,
       {"run.steps=3\nrun.seed=4"},
       {"cannot be read", "command line", "", "whole number", ""}},
      {"heads",
       kGood,
       {"model.heads=5"},
       {"the heads do not divide the hidden width",
        "model.hidden = 64 (run.toml:5), model.heads = 5 (command line)",
        "hidden 64 / heads 5 = 12 remainder 4", "hidden = heads x head_dim",
        "model.heads = 4 or model.hidden = 65"}},
      {"kv_heads",
       kGood,
       {"model.kv_heads=3"},
       {"do not divide the query heads", "model.heads = 4 (run.toml:6), model.kv_heads = 3 (command line)",
        "heads 4 / kv_heads 3 = 1 remainder 1", "heads = kv_heads x", "model.kv_heads = 2"}},
      {"odd_head",
       kGood,
       {"model.head_dim=15"},
       {"pairs", "model.head_dim = 15 (command line)", "head_dim 15", "even", "model.head_dim = 16"}},
      {"gpt2_groups",
       kGood,
       {"model.arch=gpt2", "model.kv_heads=2"},
       {"gpt2 has no groups", "model.kv_heads = 2 (command line)", "kv_heads 2, heads 4", "kv_heads = heads",
        "remove model.kv_heads"}},
      {"gpt2_head_dim",
       kGood,
       {"model.arch=gpt2", "model.head_dim=8"},
       {"do not fill", "model.head_dim = 8", "heads 4 x head_dim 8 = 32, hidden 64",
        "heads x head_dim = hidden", "remove model.head_dim"}},
      {"gpt2_positions",
       kGood,
       {"model.arch=gpt2", "model.max_positions=16"},
       {"longer than the model's positions",
        "data.seq_len = 32 (run.toml:9), model.max_positions = 16 (command line)",
        "seq_len 32 > max_positions 16", "seq_len <= max_positions",
        "data.seq_len = 16 or model.max_positions = 32"}},
      {"gpt2_rope",
       kGood,
       {"model.arch=gpt2", "model.rope_theta=5e5"},
       {"model.rope_theta has no effect here", "command line",
        "model.rope_theta = 500000.0 with model.arch = \"gpt2\"", "model.arch = \"llama\"",
        "remove model.rope_theta"}},
      {"rope_order",
       kGood,
       {"model.rope_scaling=llama3", "model.rope_low_freq_factor=4"},
       {"not in order",
        "model.rope_low_freq_factor = 4.0 (command line), model.rope_high_freq_factor = 4.0 (default)",
        "4 >= ", "<", "model.rope_low_freq_factor = 1.0"}},
      {"rope_factor_alone",
       kGood,
       {"model.rope_factor=2"},
       {"no effect", "model.rope_scaling = \"none\" (default)", "model.rope_factor = 2.0",
        "model.rope_scaling = \"llama3\"", "leave it at 8.0"}},
      {"decay_without_wsd",
       kGood,
       {"schedule.decay=0.5"},
       {"schedule.decay has no effect", "schedule.type = \"cosine\" (default)", "schedule.decay = 0.5",
        "schedule.type = \"wsd\"", "0.2"}},
      {"tokens_per_step",
       kGood,
       {"batch.tokens_per_step=250"},
       {"not a whole number of micro-batches",
        "batch.tokens_per_step = 250 (command line), batch.micro_batch = 2 (run.toml:12)",
        "tokens_per_step 250 / (micro_batch 2 x seq_len 32 = 64) = 3 remainder 58",
        "tokens_per_step = micro_batch x seq_len", "batch.tokens_per_step = 256"}},
      {"warmup",
       kGood,
       {"schedule.warmup=101"},
       {"longer than the run", "schedule.warmup = 101 (command line), run.steps = 100 (run.toml:2)",
        "warmup 101 > steps 100", "warmup <= steps", "schedule.warmup = 10"}},
      {"wsd",
       kGood,
       {"schedule.type=wsd", "schedule.warmup=60", "schedule.decay=0.5"},
       {"together", "schedule.decay = 0.5 (command line)", "warmup 60 + decay 0.5 x steps 100 = 110 > 100",
        "<= steps", "schedule.warmup = 50"}},
      {"split_fp32",
       kGood,
       {"precision.state=split", "precision.compute=fp32"},
       {"split state", "precision.state = \"split\" (command line)", "fp32", "bf16",
        "precision.state = \"fp32\""}},
      {"nothing_to_evaluate",
       kGood,
       {"data.valid_fraction=0"},
       {"no text is kept", "eval.every = 100 (default)", "valid is empty", "validation", "eval.every = 0"}},
      {"weights_of_other_files",
       kGood,
       {"data.weights=[1, 2]"},
       {"not those of the training files", "data.weights = [1.0, 2.0] (command line)", "1 files, 2 weights",
        "one weight a file", "data.weights = [1]"}},
      {"weight_too_small",
       kGood,
       {"data.train=[\"a\", \"b\"]", "data.weights=[1, 5000]"},
       {"share is too small", "data.weights = [1.0, 5000.0] (command line)", "1 of 5001 for a",
        "one sample of 4096", "raise it to 1.2"}},
      {"weight_of_nothing",
       kGood,
       {"data.weights=[0]"},
       {"0.0 is out of range", "command line", "list of 1", "list of numbers, above 0", "data.weights = []"}},
      {"overlong_without_packing",
       kGood,
       {"data.overlong=drop"},
       {"data.overlong has no effect", "data.packing = \"isolated\" (default)", "data.overlong = \"drop\"",
        "data.packing = \"best_fit\"", "leave it at \"cut\""}},
      {"nameless",
       kGood,
       {"run.name="},
       {"run.name is empty", "run.name = \"\" (command line)", "\"\"", "name", "run.name = \"run\""}},
  };
  return cases;
}

class WrongInputTest : public testing::TestWithParam<WrongInput> {};

TEST_P(WrongInputTest, GetsOneReportWithAllParts) {
  const WrongInput& wrong = GetParam();
  const std::vector<Report> reports = faults_of(wrong.text, wrong.overrides);
  ASSERT_EQ(reports.size(), 1u);
  const Report& report = reports.front();
  EXPECT_THAT(report.what, testing::HasSubstr(wrong.report.what));
  EXPECT_THAT(report.where, testing::HasSubstr(wrong.report.where));
  EXPECT_THAT(report.found, testing::HasSubstr(wrong.report.found));
  EXPECT_THAT(report.expected, testing::HasSubstr(wrong.report.expected));
  EXPECT_THAT(report.fix, testing::HasSubstr(wrong.report.fix));
  for (const std::string& part : {report.what, report.where, report.found, report.expected, report.fix})
    EXPECT_THAT(part, testing::Not(testing::IsEmpty())) << to_string(report);
}

INSTANTIATE_TEST_SUITE_P(Table, WrongInputTest, testing::ValuesIn(wrong_inputs()),
                         [](const auto& wrong) { return wrong.param.name; });

TEST(WrongInput, EveryFaultOfAFileIsReportedAtOnce) {
  const std::string text = R"([run]
steps = "many"
colour = "red"
[model]
layers = 2
hidden = 64
heads = 5
[optimizer]
lr = -3
[data]
seq_len = 32
[trainer]
a = 1
b = 2
)";
  std::vector<std::string> whats;
  for (const Report& report : faults_of(text, {"eval.every=soon"})) whats.push_back(report.what);
  EXPECT_THAT(whats,
              testing::UnorderedElementsAre("run.steps has the wrong type", "unknown key run.colour",
                                            "optimizer.lr: -3.0 is out of range", "unknown section [trainer]",
                                            "eval.every has the wrong type", "data.train is missing",
                                            "the heads do not divide the hidden width"));
}

TEST(WrongInput, AConditionIsNotReportedBesideTheFaultOfItsOwnKey) {
  const std::vector<Report> reports = faults_of(kGood, {"model.heads=-5", "schedule.warmup=1000"});
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(reports[0].what, "model.heads: -5 is out of range");
  EXPECT_EQ(reports[1].what, "the warm-up is longer than the run");
  // 8192, the default behind the fault, is no multiple of 2 x 100 either, and that is nobody's mistake.
  const std::string no_tokens =
      "[run]\nsteps = 9\n[model]\nlayers = 2\nhidden = 64\nheads = 4\n[data]\ntrain = \"a\"\n"
      "seq_len = 100\n[batch]\nmicro_batch = 2\ntokens_per_step = \"many\"\n";
  ASSERT_EQ(faults_of(no_tokens).size(), 1u);
  EXPECT_EQ(faults_of(no_tokens)[0].what, "batch.tokens_per_step has the wrong type");
}

// The fixes of messages are worth their name: applied, they make the configuration load.
TEST(WrongInput, FixesMend) {
  EXPECT_EQ(load(kGood, {"model.heads=4"}).config.model.head_dim, 16);
  EXPECT_EQ(load(kGood, {"model.heads=5", "model.hidden=65", "model.head_dim=14"}).config.model.head_dim, 14);
  EXPECT_EQ(load(kGood, {"model.kv_heads=2"}).config.model.kv_heads, 2);
  EXPECT_EQ(
      load(kGood, {"schedule.type=wsd", "schedule.warmup=50", "schedule.decay=0.5"}).config.schedule.warmup,
      50);
  EXPECT_TRUE(load(kGood, {"data.valid_fraction=0", "eval.every=0"}).config.eval.every.never());
}

TEST(WrongInput, FilesThatCannotBeRead) {
  for (const std::string path : {"no/such/file.toml", "/"}) {
    try {
      load_config(path);
      ADD_FAILURE() << path;
    } catch (const ConfigFaults& faults) {
      EXPECT_EQ(faults.exit_code(), 2);
      EXPECT_EQ(faults.report().where, path);
      EXPECT_THAT(faults.report().found, testing::AnyOf("No such file or directory", "a folder"));
      EXPECT_THAT(faults.report().fix, testing::HasSubstr("strata init tiny"));
    }
  }
}

}  // namespace
}  // namespace strata::test
