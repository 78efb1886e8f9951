// SPDX-License-Identifier: Apache-2.0
// strata sample and eval: several texts at a time, conversations, and the template that travels with a
// checkpoint.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/launch/program_run.h"

namespace strata {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class SampleTest : public ProgramTest {
 protected:
  // A model that has learned to answer "yes it is so" or "no" by a template of the user's own, of which
  // nothing is left but the checkpoint.
  void SetUp() override {
    ProgramTest::SetUp();
    std::string chats;
    for (int i = 0; i < 60; ++i)
      chats += R"({"messages": [{"role": "user", "content": ")" + std::string(i % 2 ? "so?" : "ha!") +
               R"("}, {"role": "assistant", "content": ")" + (i % 2 ? "yes it is" : "no") + R"("}]})" + "\n";
    write("chat.jsonl", chats);
    write("own.jinja",
          "{% for m in messages %}[{{ m['role'] }}]{% if m['role'] == 'assistant' %}{% generation %}{{ "
          "m['content'] }}"
          "{% endgeneration %}{% else %}{{ m['content'] }}{% endif %}\n{% endfor %}"
          "{% if add_generation_prompt %}[assistant]{% endif %}");
    write("chat.toml", R"([run]
name = "chat"
steps = 120
threads = 2
[model]
layers = 2
hidden = 32
heads = 2
ffn = 64
[data]
train = ["chat.jsonl"]
packing = "best_fit"
seq_len = 64
valid_fraction = 0
chat_template = "own.jinja"
[batch]
tokens_per_step = 512
micro_batch = 8
[optimizer]
lr = 1e-2
[schedule]
warmup = 5
[eval]
every = 0
[log]
every = 0
)");
    const Outcome trained = run("train chat.toml");
    ASSERT_EQ(trained.code, 0) << trained.err;
    std::filesystem::rename(folder_ / "own.jinja", folder_ / "gone");
  }
};

TEST_F(SampleTest, TalksByTheTemplateOfTheCheckpoint) {
  EXPECT_THAT(read("runs/chat/checkpoints/step-00000120/assets/chat_template.jinja"),
              HasSubstr("[{{ m['role'] }}]"));
  const Outcome one = run("sample runs/chat --chat --prompt 'so?' --temperature 0 --tokens 40");
  EXPECT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(one.out, "yes it is\n");
  const Outcome both =
      run("sample runs/chat --chat --prompt 'so?' --prompt 'ha!' --temperature 0 --tokens 40");
  EXPECT_EQ(both.out, "--- prompt 1: so?\nyes it is\n--- prompt 2: ha!\nno\n") << both.err;
  // By another template the model does not know what is asked for; an unknown one is refused by name.
  EXPECT_NE(run("sample runs/chat --chat --template chatml --prompt 'so?' --temperature 0 --tokens 40").out,
            one.out);
  const Outcome unknown = run("sample runs/chat --chat --template chatmll --prompt 'so?'");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("--template"));
  // Without prompts it is a conversation.
  write("said", "so?\n\nha!\n");
  const Outcome talk = run("sample runs/chat --chat --temperature 0 --tokens 12", ".out", "said");
  EXPECT_EQ(talk.code, 0) << talk.err;
  EXPECT_THAT(talk.out, StartsWith("yes it is\n"));
  EXPECT_EQ(count(talk.out, "\n"), 2u) << talk.out;
}

TEST_F(SampleTest, EvalReadsRecordsByTheTemplateOfTheCheckpoint) {
  const Outcome eval = run("eval runs/chat --data chat.jsonl --json");
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_LT(nlohmann::json::parse(eval.out).at("loss"), 0.2);
}

TEST_F(SampleTest, ManyTextsAreThoseOfEachAlone) {
  const std::string how = " --tokens 30 --temperature 3 --top-k 100 --top-p 0.99 --json";
  const Outcome all =
      run("sample runs/chat --prompt Q --prompt 'so' --prompt Q --prompt '[user]' --seed 5" + how);
  ASSERT_EQ(all.code, 0) << all.err;
  std::istringstream lines(all.out);
  std::vector<nlohmann::json> made;
  for (std::string line; std::getline(lines, line);) made.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(made.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    const std::string prompt = made[i].at("prompt");
    const Outcome alone =
        run("sample runs/chat --prompt '" + prompt + "' --seed " + std::to_string(5 + i) + how);
    EXPECT_EQ(nlohmann::json::parse(alone.out), made[i]) << i;
    EXPECT_LE(made[i].at("tokens"), 30);
  }
  EXPECT_NE(made[0].at("text"), made[2].at("text")) << "the same prompt draws with another seed";
  write("prompts", "Q\n\nso\nQ\n[user]\n");
  EXPECT_EQ(run("sample runs/chat --prompts prompts --seed 5" + how).out, all.out);
  // Texts longer than the model's positions go on.
  const Outcome lengthy = run("sample runs/chat --prompt a --prompt bb --tokens 150 --temperature 2 --json");
  EXPECT_EQ(lengthy.code, 0) << lengthy.err;
}

// A configuration to go on with this model keeps records whole, and text as it lies.
TEST_F(SampleTest, GoingOnWithRecordsPacksThem) {
  ASSERT_EQ(run("init --from runs/chat --data chat.jsonl -o records.toml").code, 0) << read(".err");
  ASSERT_EQ(run("init --from runs/chat --data notes.txt -o text.toml").code, 0) << read(".err");
  EXPECT_THAT(run("config show records.toml").out, HasSubstr("\npacking = \"best_fit\" "));
  EXPECT_THAT(run("config show text.toml").out, HasSubstr("\npacking = \"isolated\" "));
}

TEST_F(SampleTest, BadOptionsAreRefused) {
  EXPECT_THAT(run("sample runs/chat").err, HasSubstr("there is no prompt"));
  EXPECT_THAT(run("sample runs/chat --prompt ''").err, HasSubstr("the prompt is empty"));
  EXPECT_THAT(run("sample runs/chat --prompts none").err, HasSubstr("cannot be read"));
  EXPECT_THAT(run("sample runs/chat --prompt a --system b").err, HasSubstr("add --chat"));
  EXPECT_THAT(run("sample runs/chat --prompt a --top-p 2").err, HasSubstr("--top-p is out of range"));
  EXPECT_EQ(run("sample runs/chat --prompt a --tokens 0").out, "a\n");
}

}  // namespace
}  // namespace strata
