// SPDX-License-Identifier: Apache-2.0
// strata finetune: from a folder of Hugging Face and a chat file to a tuned run, as users start it; and the
// rule by which one of the ways is chosen, on machines that are made up.
#include <gmock/gmock.h>

#include "launch/finetune/ways.h"
#include "tests/launch/program_run.h"

namespace strata {
namespace {

using testing::HasSubstr;
using testing::Not;

class FinetuneTest : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    std::string text, chats;
    for (int i = 0; i < 300; ++i) {
      const std::string n = std::to_string(i);
      text += "verse " + n + ": and " + std::to_string(i * i % 97) + " begat.\n";
      chats += R"({"messages": [{"role": "user", "content": "q)" + n +
               R"("}, {"role": "assistant", "content": "yes it is so"}]})" + "\n";
    }
    write("my.txt", text);
    write("chat.jsonl", chats);
    write(
        "model.toml",
        "[run]\nname = \"made\"\nsteps = 1\nthreads = 1\n[model]\nlayers = 2\nhidden = 64\nheads = 4\nffn = "
        "128\nmax_positions = 128\n[data]\ntrain = [\"my.txt\"]\nseq_len = 32\n[batch]\ntokens_per_step = "
        "64\nmicro_batch = 1\n[eval]\nevery = 0\n");
    ASSERT_EQ(run("train model.toml").code, 0) << read(".err");
    ASSERT_EQ(run("convert runs/made hf").code, 0) << read(".err");
  }
  // Of the runs in their order, the validation losses of the last.
  double valid_loss(const std::string& run) {
    const std::string log = read(run + "/metrics.jsonl");
    const size_t at = log.rfind("\"valid_loss\":");
    return at == std::string::npos ? -1 : std::stod(log.substr(at + 13));
  }
};

TEST_F(FinetuneTest, ADryRunPrintsTheWaysAndWritesNothing) {
  const Outcome dry = run("finetune hf chat.jsonl --dry-run run.threads=1");
  EXPECT_EQ(dry.code, 0) << dry.err;
  for (const char* words :
       {"records of chat", "by the template chatml", "-> full", "   lora", "   qlora",
        "   full, state on drives", "bound by", "3 times through the data", "Nothing was written"})
    EXPECT_THAT(dry.out, HasSubstr(words));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs/hf-chat.toml"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs/hf-chat"));
}

TEST_F(FinetuneTest, TrainsByTheConfigurationItWrote) {
  const Outcome tuned = run("finetune hf chat.jsonl --out runs/tuned --yes run.threads=1 optimizer.lr=3e-3");
  ASSERT_EQ(tuned.code, 0) << tuned.err << tuned.out;
  EXPECT_THAT(tuned.out, HasSubstr("-> full"));
  const std::string toml = read("runs/tuned.toml");
  for (const char* line : {"from = \"hf\"", "packing = \"best_fit\"", "chat_template = \"chatml\"",
                           "out = \"runs/tuned\"", "lr = 0.003", "threads = 1"})
    EXPECT_THAT(toml, HasSubstr(line));
  EXPECT_THAT(toml, Not(HasSubstr("[adapter]")));
  // All that it answers is one sentence, which is learned: a random byte costs 5.5 nats.
  EXPECT_GT(valid_loss("runs/tuned"), 0);
  EXPECT_LT(valid_loss("runs/tuned"), 1.0);
  // The same command goes on with the run, which is at its end; its configuration is one of strata train.
  const std::string log = read("runs/tuned/metrics.jsonl");
  const Outcome again = run("finetune hf chat.jsonl --out runs/tuned run.threads=1 optimizer.lr=3e-3");
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("goes on by runs/tuned.toml"));
  EXPECT_EQ(read("runs/tuned/metrics.jsonl"), log);
  EXPECT_EQ(run("train runs/tuned.toml").code, 0) << read(".err");
  EXPECT_EQ(run("convert runs/tuned out").code, 0) << read(".err");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "out/model.safetensors"));
}

TEST_F(FinetuneTest, EveryMethodRuns) {
  for (const std::string method : {"lora", "qlora"}) {
    const Outcome tuned = run("finetune hf my.txt --out runs/" + method + " --method " + method +
                              " run.steps=3 run.threads=1 adapter.rank=4");
    ASSERT_EQ(tuned.code, 0) << tuned.err << tuned.out;
    EXPECT_THAT(tuned.out, HasSubstr("-> " + method));
    const std::string toml = read("runs/" + method + ".toml");
    EXPECT_THAT(toml, HasSubstr("rank = 4"));
    EXPECT_EQ(toml.find("nf4") != std::string::npos, method == "qlora");
    EXPECT_EQ(run("merge runs/" + method + " merged-" + method).code, 0) << read(".err");
  }
}

// What a person who has changed nothing but the machine gets.
class ChoiceTest : public testing::Test {
 protected:
  FinetuneQuestion question() {
    FinetuneQuestion q;
    q.spec = {.arch = "llama",
              .layers = 4,
              .hidden = 512,
              .heads = 8,
              .kv_heads = 8,
              .head_dim = 64,
              .ffn = 1536,
              .vocab = 8000,
              .max_positions = 512};
    q.data = {.kind = "text", .documents = 10, .tokens = 1'000'000};
    q.start = fitted_to_data({.model = "m", .tokenizer = "byte", .data = "d", .steps = 0}, q.spec, q.data, 1);
    q.machine = {.device_bytes = int64_t{64} << 30,
                 .host_bytes = int64_t{64} << 30,
                 .drive = "/",
                 .drive_bytes = int64_t{1} << 40,
                 .drive_type = "ext4"};
    q.file = "q.toml";
    return q;
  }
};

TEST_F(ChoiceTest, TheFirstThatFitsInItsOrder) {
  FinetuneQuestion q = question();
  const std::vector<Way> roomy = plan_ways(q);
  ASSERT_EQ(roomy.size(), 4u);
  for (const Way& way : roomy) {
    EXPECT_EQ(way.obstacle, "") << way.name;
    EXPECT_GT(way.step_seconds, 0) << way.name;
  }
  EXPECT_EQ(choose_way(roomy, Method::automatic), &roomy[0]);
  EXPECT_EQ(choose_way(roomy, Method::qlora), &roomy[2]);
  // Adapters need less than full training, blocks of 4 bits less than that; drives take what memory does not.
  EXPECT_LT(roomy[1].host_bytes, roomy[0].host_bytes);
  EXPECT_LT(roomy[2].host_bytes, roomy[1].host_bytes);
  EXPECT_GT(roomy[3].disk_bytes, roomy[0].disk_bytes);
  // One byte less than a way needs, and the next is chosen.
  q.machine.host_bytes = roomy[0].host_bytes;
  EXPECT_EQ(choose_way(plan_ways(q), Method::automatic)->name, "full");
  for (const auto& [bytes, name] :
       {std::pair(roomy[1].host_bytes, "lora"), std::pair(roomy[2].host_bytes, "qlora")}) {
    q.machine.host_bytes = bytes;
    const std::vector<Way> ways = plan_ways(q);
    const Way* chosen = choose_way(ways, Method::automatic);
    ASSERT_NE(chosen, nullptr) << name;
    EXPECT_EQ(chosen->name, name);
  }
  q.machine.host_bytes = 1 << 20;
  const std::vector<Way> none = plan_ways(q);
  EXPECT_EQ(choose_way(none, Method::automatic), nullptr);
  EXPECT_THAT(none[0].obstacle, HasSubstr("more of host memory needed"));
}

TEST_F(ChoiceTest, DrivesThatAreNoneOrFull) {
  FinetuneQuestion q = question();
  q.machine.no_state = "tmpfs is memory, not a drive";
  const std::vector<Way> ways = plan_ways(q);
  EXPECT_EQ(ways[3].obstacle, q.machine.no_state);
  q = question();
  q.machine.drive_bytes = ways[1].disk_bytes;  // room for checkpoints of adapters, not of the model
  const std::vector<Way> tight = plan_ways(q);
  EXPECT_THAT(tight[0].obstacle, HasSubstr("on the drive"));
  EXPECT_EQ(choose_way(tight, Method::automatic)->name, "lora");
}

TEST(FittedToData, RowsHoldTheRecordsAndStepsTheEpochs) {
  const ModelSpec spec{.arch = "llama", .max_positions = 4096};
  const DataEstimate chats{.kind = "records of chat",
                           .records = true,
                           .documents = 1000,
                           .tokens = 90'000,
                           .learned = 40'000,
                           .long_document = 130};
  const FinetuneStart start = fitted_to_data({.steps = 0}, spec, chats, 3);
  EXPECT_EQ(start.seq_len, 192);
  EXPECT_EQ(start.rows, 8);
  EXPECT_NEAR(static_cast<double>(start.steps), 3 * 0.98 * 90'000 / (0.9 * 192 * 8), 1);
  // A handful of records: steps of fewer rows, nothing held back.
  const DataEstimate few{.kind = "records of chat",
                         .records = true,
                         .documents = 4,
                         .tokens = 200,
                         .learned = 100,
                         .long_document = 60};
  const FinetuneStart small = fitted_to_data({.steps = 0}, spec, few, 1);
  EXPECT_EQ(small.seq_len, 64);
  EXPECT_EQ(small.rows, 2);
  EXPECT_EQ(small.valid_fraction, 0);
}

TEST(WithKey, ReplacesAddsAndMakesSections) {
  const std::string text = "# c\n\n[a]\nx = 1   # why\ny = 2\n\n[b]\nx = 3\n";
  EXPECT_EQ(with_key(text, "a", "x", "9"), "# c\n\n[a]\nx = 9\ny = 2\n\n[b]\nx = 3\n");
  EXPECT_EQ(with_key(text, "b", "y", "4"), "# c\n\n[a]\nx = 1   # why\ny = 2\n\n[b]\ny = 4\nx = 3\n");
  EXPECT_EQ(with_key(text, "c", "z", "5"), text + "\n[c]\nz = 5\n");
}

}  // namespace
}  // namespace strata
