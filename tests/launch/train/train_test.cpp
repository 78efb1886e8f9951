// SPDX-License-Identifier: Apache-2.0
// Whole runs: stopping and resuming, threads, micro-batches, and folders that belong to somebody else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "checkpoint/step_folders.h"
#include "checkpoint/strata_source.h"
#include "core/base/error.h"
#include "tests/launch/train/tiny_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

// Every tensor of a checkpoint, by name ("<name>/<state>" for optimizer state) and digest: all of it, to the
// bit.
std::map<std::string, std::string> tensors(const std::filesystem::path& out, int64_t step) {
  const auto files = make_posix_file_system();
  const StrataSource checkpoint(*files, step_folder((out / "checkpoints").string(), step));
  EXPECT_THAT(checkpoint.verify(), testing::IsEmpty());
  std::map<std::string, std::string> sums;
  for (const ManifestTensor& tensor : checkpoint.manifest().tensors)
    sums[tensor.logical.state == "param" ? tensor.logical.name
                                         : tensor.logical.name + "/" + tensor.logical.state] =
        to_string(tensor.digest);
  return sums;
}

Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(Fault::internal, {});
}

TEST_F(TinyRun, LearnsAndReports) {
  ASSERT_EQ(train(config("a")), 0);
  const std::vector<double> loss = losses("a");
  ASSERT_EQ(loss.size(), 100U);
  EXPECT_NEAR(loss.front(), std::log(257.0), 0.3);  // it begins knowing nothing
  EXPECT_LT(loss.back(), 3.0);
  for (const char* file : {"config.toml", "report.html", "checkpoints/step-00000050/manifest.json"})
    EXPECT_TRUE(std::filesystem::exists(out("a") / file)) << file;
}

class Resume : public TinyRun, public testing::WithParamInterface<std::vector<std::string>> {};

// 100 steps are 50, a stop and 50 more, to the last bit of every loss, weight and moment.
TEST_P(Resume, GoesOnBitForBit) {
  ASSERT_EQ(train(config("whole", GetParam())), 0);
  // A run that was killed after step 73: its newest checkpoint is of step 50, its log is ahead of it.
  std::filesystem::create_directories(out("cut") / "checkpoints");
  std::filesystem::copy(out("whole") / "checkpoints/step-00000050", out("cut") / "checkpoints/step-00000050",
                        std::filesystem::copy_options::recursive);
  std::ifstream log(out("whole") / "metrics.jsonl");
  std::ofstream cut_log(out("cut") / "metrics.jsonl");
  std::string line;
  for (int i = 0; i < 73 && std::getline(log, line); ++i) cut_log << line << '\n';
  cut_log << line.substr(0, 20);  // torn
  cut_log.close();
  std::ofstream(out("cut") / "config.toml") << bytes_of(out("whole") / "config.toml");

  ASSERT_EQ(train(config("cut", GetParam())), 0);
  EXPECT_EQ(losses("cut"), losses("whole"));
  EXPECT_EQ(tensors(out("cut"), 100), tensors(out("whole"), 100));
  EXPECT_GT(tensors(out("cut"), 100).size(), 40U);
}

INSTANTIATE_TEST_SUITE_P(
    Formats, Resume,
    testing::Values(std::vector<std::string>{},
                    std::vector<std::string>{"precision.state=fp32", "parallel.recompute=full"},
                    std::vector<std::string>{"precision.compute=fp32", "precision.state=fp32",
                                             "model.arch=gpt2", "guard.spike=6.0",
                                             "data.document=blank_line"}),
    [](const auto& info) { return "Case" + std::to_string(info.index); });

TEST_F(TinyRun, SignalSavesAndTheNextStartGoesOn) {
  ASSERT_EQ(train(config("whole")), 0);
  std::thread stopper([&] {
    const auto log = out("stopped") / "metrics.jsonl";
    while (!std::filesystem::exists(log) || std::filesystem::file_size(log) < 2000)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    kill(getpid(), SIGUSR1);
  });
  const int code = train(config("stopped"));
  stopper.join();
  ASSERT_EQ(code, kExitRequeue);
  ASSERT_LT(losses("stopped").size(), 100U);
  ASSERT_EQ(train(config("stopped")), 0);
  EXPECT_EQ(losses("stopped"), losses("whole"));
  EXPECT_EQ(tensors(out("stopped"), 100), tensors(out("whole"), 100));
}

TEST_F(TinyRun, BitsDoNotDependOnThreadsOrRecomputation) {
  ASSERT_EQ(train(config("two")), 0);
  ASSERT_EQ(train(config("one", {"run.threads=1"})), 0);
  ASSERT_EQ(train(config("again", {"parallel.recompute=full"})), 0);
  EXPECT_EQ(losses("one"), losses("two"));
  EXPECT_EQ(tensors(out("one"), 100), tensors(out("two"), 100));
  EXPECT_EQ(tensors(out("again"), 100), tensors(out("two"), 100));
}

// Only the order of sums changes; 20 steps in f32 stay within rounding.
TEST_F(TinyRun, MicroBatchesGiveTheSameLoss) {
  const std::vector<std::string> common{"run.steps=20", "precision.compute=fp32", "precision.state=fp32",
                                        "optimizer.eps=1e-4"};
  for (const char* rows : {"1", "2", "4"}) {
    auto overrides = common;
    overrides.push_back(std::string("batch.micro_batch=") + rows);
    ASSERT_EQ(train(config(rows, overrides)), 0);
  }
  const auto one = losses("1"), two = losses("2"), four = losses("4");
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_NEAR(two[i], one[i], 1e-6 * one[i]) << "step " << i + 1;
    EXPECT_NEAR(four[i], one[i], 1e-6 * one[i]) << "step " << i + 1;
  }
}

TEST_F(TinyRun, FrozenTensorsStayAsTheyWere) {
  ASSERT_EQ(train(config("a", {"optimizer.frozen=[\"layers.0.*\"]", "run.steps=10", "checkpoint.every=1",
                               "checkpoint.keep=20"})),
            0);
  const auto first = tensors(out("a"), 1), last = tensors(out("a"), 10);
  int frozen = 0;
  for (const auto& [name, sum] : first) {
    if (name.starts_with("layers.0.")) {
      EXPECT_EQ(sum, last.at(name)) << name;
      EXPECT_EQ(name.find('/'), std::string::npos) << name << " has optimizer state";
      ++frozen;
    } else {
      EXPECT_NE(sum, last.at(name)) << name;
    }
  }
  EXPECT_EQ(frozen, 9);
}

TEST_F(TinyRun, AnotherRunsFolderIsRefusedUntouched) {
  ASSERT_EQ(train(config("a", {"run.steps=20"})), 0);
  const std::string before = bytes_of(out("a") / "config.toml");
  const Error error = error_of([&] { train(config("a", {"run.steps=20", "optimizer.lr=1e-3"})); });
  EXPECT_EQ(error.exit_code(), 2);
  EXPECT_THAT(error.what(), HasSubstr("run.out holds another run"));
  EXPECT_THAT(error.what(), HasSubstr("optimizer.lr: 0.003 there, 0.001 here"));
  EXPECT_THAT(error.report().fix, HasSubstr("choose another run.out"));
  EXPECT_EQ(bytes_of(out("a") / "config.toml"), before);
}

// A mistake found before step 1 does not claim the folder.
TEST_F(TinyRun, AFailedStartLeavesTheFolderFree) {
  const Error error = error_of([&] { train(config("a", {"batch.tokens_per_step=16384"})); });
  EXPECT_EQ(error.exit_code(), 3);
  ASSERT_TRUE(std::filesystem::exists(out("a") / "config.toml"));
  EXPECT_EQ(train(config("a", {"run.steps=10", "optimizer.lr=1e-3"})), 0);
}

TEST_F(TinyRun, AFolderOfSomethingElseIsRefused) {
  std::filesystem::create_directories(out("photos"));
  std::ofstream(out("photos") / "cat.jpg") << "meow";
  const Error error = error_of([&] { train(config("photos")); });
  EXPECT_EQ(error.exit_code(), 2);
  EXPECT_THAT(error.what(), HasSubstr("cat.jpg"));
  EXPECT_EQ(bytes_of(out("photos") / "cat.jpg"), "meow");
}

TEST_F(TinyRun, AFolderThatCannotBeMadeIsNamedWithAnother) {
  const std::string below_a_file = (folder_ / "text.txt" / "out").string();
  for (const std::string& path : {below_a_file, std::string("/proc/strata/out")}) {
    const Error error = error_of([&] { train(config("a", {"run.out=" + path})); });
    EXPECT_EQ(error.exit_code(), 2);
    EXPECT_THAT(error.report().where, HasSubstr("run.out = \"" + path)) << error.what();
    EXPECT_THAT(error.report().fix, HasSubstr("run.out=runs/test"));
  }
}

TEST_F(TinyRun, ResumeNoneDemandsAFreshFolder) {
  ASSERT_EQ(train(config("a", {"run.steps=50"})), 0);
  const Error error = error_of([&] { train(config("a", {"run.steps=50", "checkpoint.resume=none"})); });
  EXPECT_EQ(error.exit_code(), 2);
  EXPECT_THAT(error.what(), HasSubstr("already holds checkpoints"));
}

TEST_F(TinyRun, ADamagedCheckpointIsNamed) {
  ASSERT_EQ(train(config("a", {"run.steps=50"})), 0);
  const auto path = out("a") / "checkpoints/step-00000050/shard-00000.h5";
  const auto files = make_posix_file_system();
  const StrataSource source(*files, path.parent_path().string());
  const auto& fragment = source.manifest().tensors[*source.find("embedding.weight", "param")].fragments[0];
  {
    const auto file = files->open(path.string(), OpenMode::update);
    std::byte value;
    file->read(fragment.offset, {&value, 1});
    value ^= std::byte{1};
    file->write(fragment.offset, {&value, 1});
  }
  const Error error = error_of([&] { train(config("a", {"run.steps=60"})); });
  EXPECT_EQ(error.exit_code(), 4);
  EXPECT_THAT(error.what(), HasSubstr("'embedding.weight' (param) is damaged"));
  std::filesystem::resize_file(path, 9000);
  const Error cut = error_of([&] { train(config("a", {"run.steps=60"})); });
  EXPECT_EQ(cut.exit_code(), 4);
  EXPECT_THAT(cut.what(), HasSubstr("cut short"));
}

// A step that is not whole is passed over; what a killed save left is removed.
TEST_F(TinyRun, TheNewestWholeCheckpointIsTaken) {
  ASSERT_EQ(train(config("a", {"run.steps=30", "checkpoint.every=10"})), 0);
  std::filesystem::remove(out("a") / "checkpoints/step-00000030/shard-00000.h5");
  std::filesystem::create_directories(out("a") / "checkpoints/step-00000040.tmp-0123");
  ASSERT_EQ(train(config("a", {"run.steps=40", "checkpoint.every=10"})), 0);
  EXPECT_EQ(losses("a").size(), 40U);
  EXPECT_FALSE(std::filesystem::exists(out("a") / "checkpoints/step-00000040.tmp-0123"));
  EXPECT_GT(tensors(out("a"), 40).size(), 40U);
  EXPECT_GT(tensors(out("a"), 30).size(), 40U);  // saved again
}

TEST_F(TinyRun, OtherDataIsRefusedAtResume) {
  ASSERT_EQ(train(config("a", {"run.steps=50"})), 0);
  std::ofstream(folder_ / "text.txt", std::ios::app) << "one more verse\n";
  const Error error = error_of([&] { train(config("a", {"run.steps=60"})); });
  EXPECT_EQ(error.exit_code(), 3);
  EXPECT_THAT(error.what(), HasSubstr("the data is not what this run was trained on"));
}

TEST_F(TinyRun, BadDataIsNamed) {
  EXPECT_EQ(error_of([&] { train(config("a", {"batch.tokens_per_step=16384"})); }).exit_code(), 3);
  std::ofstream(folder_ / "text.txt") << "fine\nnot \xff utf-8\n";
  const Error error = error_of([&] { train(config("b")); });
  EXPECT_EQ(error.exit_code(), 3);
  EXPECT_THAT(error.what(), HasSubstr("text.txt:2"));
  std::filesystem::remove(folder_ / "text.txt");
  EXPECT_EQ(error_of([&] { train(config("c")); }).exit_code(), 3);
}

}  // namespace
}  // namespace strata
