// SPDX-License-Identifier: Apache-2.0
// Whole runs on jsonl records: what is learned lowers the loss, micro-batches do not change it, bad data
// starts no run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/base/error.h"
#include "launch/train/run_data.h"
#include "tests/launch/train/tiny_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

class SupervisedRun : public TinyRun {
 protected:
  SupervisedRun() {
    std::ofstream chats(folder_ / "chat.jsonl");
    for (int i = 0; i < 120; ++i)  // questions are noise, answers are not
      chats << R"({"messages": [{"role": "user", "content": "q)" << i * i % 997 << R"("}, )"
            << R"({"role": "assistant", "content": ")" << (i % 3 == 0 ? "yes it is so" : "no") << R"("}]})"
            << "\n";
  }

  LoadedConfig chat(const std::string& out, std::vector<std::string> overrides = {}) const {
    std::vector<std::string> all{"data.train=[\"" + (folder_ / "chat.jsonl").string() + "\"]",
                                 "data.chat_template=chatml", "data.seq_len=64", "batch.tokens_per_step=256"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return config(out, all);
  }

  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }

  Error refused(const std::vector<std::string>& overrides) const {
    try {
      train(chat("refused", overrides));
    } catch (const Error& error) {
      EXPECT_FALSE(std::filesystem::exists(out("refused") / "metrics.jsonl") &&
                   std::filesystem::file_size(out("refused") / "metrics.jsonl") > 0);
      return error;
    }
    ADD_FAILURE() << "nothing was thrown";
    return Error(Fault::internal, {});
  }
};

TEST_F(SupervisedRun, LearnsTheAnswers) {
  ASSERT_EQ(train(chat("a", {"run.steps=200"})), 0);
  const std::vector<double> loss = losses("a");
  ASSERT_EQ(loss.size(), 200U);
  EXPECT_NEAR(loss.front(), std::log(257.0), 0.3);
  EXPECT_LT(loss.back(), 1.5);
}

// The mean is over the learned tokens of the whole step, however it is cut: each of the parts has another
// number.
TEST_F(SupervisedRun, AccumulationGivesTheSameLoss) {
  for (const std::string packing : {"isolated", "concat", "best_fit"}) {
    std::vector<std::vector<double>> runs;
    for (const std::string rows : {"4", "2", "1"}) {  // 1, 2 and 4 micro-batches
      const std::string name = packing + rows;
      ASSERT_EQ(train(chat(
                    name, {"run.steps=8", "schedule.warmup=0", "optimizer.eps=1e-4", "precision.compute=fp32",
                           "precision.state=fp32", "data.packing=" + packing, "batch.micro_batch=" + rows})),
                0);
      runs.push_back(losses(name));
    }
    for (size_t run = 1; run < runs.size(); ++run) {
      ASSERT_EQ(runs[run].size(), 8U);
      for (size_t step = 0; step < 8; ++step)
        EXPECT_NEAR(runs[run][step], runs[0][step], 1e-6 * runs[0][step]) << packing << run << " " << step;
    }
  }
}

// Steps 7 to 40 from the checkpoint of step 6: the epoch ends meanwhile.
TEST_F(SupervisedRun, PackedRecordsGoOnBitForBit) {
  const std::vector<std::string> packed{"run.steps=40",       "data.packing=best_fit",
                                        "data.seq_len=160",   "batch.tokens_per_step=320",
                                        "checkpoint.every=6", "checkpoint.keep=10"};
  ASSERT_EQ(train(chat("whole", packed)), 0);
  std::vector<std::string> resumed = packed;
  resumed.push_back("checkpoint.resume=" + (out("whole") / "checkpoints/step-00000006").string());
  ASSERT_EQ(train(chat("resumed", resumed)), 0);
  const std::vector<double> whole = losses("whole");
  EXPECT_EQ(losses("resumed"), std::vector<double>(whole.begin() + 6, whole.end()));
}

TEST_F(SupervisedRun, PackingIsToldBeforeTheRun) {
  const auto notes = [&](const std::vector<std::string>& overrides) {
    const LoadedConfig loaded = chat("told", overrides);
    std::string text;
    for (const std::string& note : open_run_data(loaded.config, out("cache").string()).notes)
      text += note + "\n";
    return text;
  };
  EXPECT_THAT(notes({"data.packing=best_fit", "data.seq_len=160", "batch.tokens_per_step=320"}),
              testing::AllOf(
                  HasSubstr("training data: 114 documents in "), HasSubstr("% of their places are filled"),
                  testing::Not(HasSubstr("longer than a row")), testing::Not(HasSubstr("partly learned"))));
  EXPECT_THAT(notes({"data.packing=best_fit"}),
              HasSubstr("documents are longer than a row (data.seq_len = 64) and cut"));
  EXPECT_THAT(
      notes({"data.packing=best_fit", "data.seq_len=75", "batch.tokens_per_step=300", "data.overlong=drop"}),
      HasSubstr("documents are longer than a row (data.seq_len = 75) and dropped"));
  EXPECT_THAT(notes({}), testing::Not(HasSubstr("filled")));
}

// Two files, three samples of the first for one of the second: told, learned from, resumed bit for bit.
TEST_F(SupervisedRun, MixturesGoOnBitForBit) {
  std::ofstream(folder_ / "more.txt") << bytes_of(folder_ / "text.txt");
  const std::vector<std::string> mixed{"run.steps=30",
                                       "data.packing=best_fit",
                                       "checkpoint.every=7",
                                       "checkpoint.keep=10",
                                       "data.weights=[3, 1]",
                                       "data.train=[\"" + (folder_ / "chat.jsonl").string() + "\", \"" +
                                           (folder_ / "more.txt").string() + "\"]"};
  testing::internal::CaptureStdout();
  ASSERT_EQ(train(chat("whole", mixed)), 0);
  EXPECT_THAT(
      testing::internal::GetCapturedStdout(),
      testing::AllOf(HasSubstr("chat.jsonl: 75.0% of the samples, 0.72 times through its 125 in 30 steps"),
                     HasSubstr("more.txt: 25.0% of the samples")));
  std::vector<std::string> resumed = mixed;
  resumed.push_back("checkpoint.resume=" + (out("whole") / "checkpoints/step-00000007").string());
  ASSERT_EQ(train(chat("resumed", resumed)), 0);
  const std::vector<double> whole = losses("whole");
  EXPECT_EQ(losses("resumed"), std::vector<double>(whole.begin() + 7, whole.end()));
  // Another share is another run.
  std::vector<std::string> other = mixed;
  other[4] = "data.weights=[1, 3]";
  EXPECT_THROW(train(chat("whole", other)), Error);
}

// Behind the answers stands noise that is not learned: other noise there, the same loss of the first step.
TEST_F(SupervisedRun, WhatIsNotLearnedIsNotInTheLoss) {
  std::string one, other;
  for (int i = 0; i < 120; ++i) {
    const std::string answer =
        R"({"role": "user", "content": "hm"}, {"role": "assistant", "content": "yes"})";
    one += R"({"messages": [)" + answer + R"(, {"role": "user", "content": "aaaa"}]})" + "\n";
    other += R"({"messages": [)" + answer + R"(, {"role": "user", "content": "zq!x"}]})" + "\n";
  }
  const auto first_loss = [&](const std::string& name, const std::string& text) {
    const std::string path = write(name + ".jsonl", text).string();
    EXPECT_EQ(
        train(chat(name, {"run.steps=1", "precision.state=fp32", "schedule.warmup=0", "batch.micro_batch=1",
                          "precision.compute=fp32", "data.seq_len=256", "data.train=[\"" + path + "\"]"})),
        0);
    return losses(name).at(0);
  };
  // 256 tokens hold whole records and pieces; a piece sees only itself, so noise behind an answer reaches no
  // target.
  EXPECT_NEAR(first_loss("one", one), first_loss("other", other), 1e-9);
}

TEST_F(SupervisedRun, BadRecordsStartNoRun) {
  const std::string good =
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})";
  const auto with = [&](const std::string& line) {
    const std::string path = write("bad.jsonl", good + "\n\n" + line + "\n" + good + "\n").string();
    return refused({"data.train=[\"" + path + "\"]"}).report();
  };
  EXPECT_THAT(with("{oops}").where, HasSubstr("bad.jsonl:3"));
  EXPECT_THAT(with("{oops}").what, HasSubstr("not JSON"));
  EXPECT_THAT(with(R"({"text": "a"})").what, HasSubstr("another format than its file"));
  EXPECT_THAT(with(R"({"messages": [{"role": "gpt", "content": "b"}]})").fix, HasSubstr("\"assistant\""));
  EXPECT_THAT(with("\"\xC3\"").what, HasSubstr("not UTF-8"));
  EXPECT_THAT(refused({"data.chat_template=\"\""}).report().fix, HasSubstr("chatml"));
  EXPECT_THAT(refused({"data.format=completion"}).report().expected,
              HasSubstr("data.format = \"completion\""));
}

TEST_F(SupervisedRun, NothingLearnedStartsNoRun) {
  std::string questions;
  for (int i = 0; i < 200; ++i)
    questions += R"({"messages": [{"role": "user", "content": "why?"}]})"
                 "\n";
  const std::string path = write("questions.jsonl", questions).string();
  const Error error = refused({"data.train=[\"" + path + "\"]", "data.valid_fraction=0", "eval.every=0"});
  EXPECT_EQ(error.fault(), Fault::data);
  EXPECT_THAT(error.report().what, HasSubstr("nothing would be learned from the training data"));
}

}  // namespace
}  // namespace strata
