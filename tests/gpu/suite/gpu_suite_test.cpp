// SPDX-License-Identifier: Apache-2.0
// tests/gpu/run.sh from end to end on the pretended GPU. The programs are the real ones behind scripts that
// make them do less; nvidia-smi, compute-sanitizer and Python with PyTorch are scripts. What is judged is the
// suite: which parts it runs, what it makes of their ends, and the file it leaves.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace strata {
namespace {

using testing::HasSubstr;

class GpuSuite : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "strata-suite-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    // A run of the same steps, of a model that fibers compute in time.
    script(
        "build/launch/strata",
        R"(case "$1" in
  train) exec ')" STRATA_PROGRAM
        R"(' "$@" model.layers=1 model.hidden=16 model.heads=2 model.kv_heads=1 model.ffn=16 \
    data.seq_len=8 batch.tokens_per_step=16 batch.micro_batch=2 eval.every=0 log.tensorboard=false run.threads=1 ;;
  bench) echo 'a warning' >&2; ')" STRATA_PROGRAM
        R"(' bench train --json --device cuda --model tiny --rows 1 --seq-len 8 --steps 1; echo 'another' >&2 ;;
  *) exec ')" STRATA_PROGRAM R"(' "$@" ;;
esac)");
    script("build/tests/core/ops/cuda/cuda_ops_tests",
           R"(case "$*" in *--gtest_filter*) ;; *) set -- "$@" '--gtest_filter=Elementwise.*' ;; esac
exec ')" STRATA_OPS_TESTS R"(' "${@/%'*Norm*:*Embedding*:Sdpa*:*Reduce*'/Elementwise.*}")");
    script("build/tests/gpu/gpu_op_rates", "exec '" STRATA_OP_RATES "' --tiny");
    script("bin/nvidia-smi", R"(echo 'NVIDIA "Pretended" H100, 580.65.06')");
    script("bin/compute-sanitizer", R"(echo "$*" >>"$SUITE_NOTES"
echo '========= ERROR SUMMARY: 0 errors')");
    script("bin/python3", R"(case "$1" in
  -c) case "$2" in *torch*) exit 0 ;; esac ;;
  *) echo 'a warning of PyTorch'; echo '{"peer": "torch 2.x", "matmul_tflops": 700.5}' ;;
esac)");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void script(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << "#!/usr/bin/env bash\n" << text << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  }
  // The exit code; what was said is in words().
  int suite(const std::string& environment = "STRATA_CUDA_DEVICES=1") const {
    const std::string at = folder_.string();
    const std::string command = "env SUITE_NOTES='" + at + "/notes' PATH='" + at + "/bin:'\"$PATH\" " +
                                environment + " '" STRATA_SOURCE_DIR "/tests/gpu/run.sh' '" + at +
                                "/result.json' '" + at + "/build' >'" + at + "/words' 2>&1 </dev/null";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string read(const std::string& name) const {
    std::ifstream stream(folder_ / name, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
  }
  std::string words() const { return read("words"); }
  nlohmann::json result() const { return nlohmann::json::parse(read("result.json")); }

  std::filesystem::path folder_;
};

TEST_F(GpuSuite, AllGood) {
  ASSERT_EQ(suite(), 0) << words();
  EXPECT_THAT(words(), HasSubstr("all good"));
  const nlohmann::json got = result();
  EXPECT_EQ(got.at("ok"), true);
  EXPECT_EQ(got.at("gpu"), "NVIDIA \"Pretended\" H100");
  EXPECT_EQ(got.at("driver"), "580.65.06");
  EXPECT_THAT(got.at("version").get<std::string>(), HasSubstr("strata"));
  for (const char* part :
       {"operations", "operations_aligned", "train_cpu", "train_gpu", "train_again", "parity", "same_bits",
        "memcheck", "racecheck", "step_0.5b", "step_1.5b", "step_3b", "rates", "peer"}) {
    ASSERT_TRUE(got.contains(part)) << part;
    EXPECT_EQ(got.at(part).at("ok"), true) << part << ": " << got.at(part);
  }
  EXPECT_GT(got.at("loss_gap").get<double>(), 0);
  EXPECT_LT(got.at("loss_gap").get<double>(), 0.02);
  EXPECT_GT(got.at("train_tokens_per_s").get<double>(), 0);
  EXPECT_GT(got.at("figures_step_3b").at("tokens_per_s").get<double>(), 0);
  EXPECT_GE(got.at("figures").at("rates").size(), 5u);
  EXPECT_EQ(got.at("torch").at("matmul_tflops"), 700.5);
  EXPECT_THAT(read("notes"), testing::AllOf(HasSubstr("--error-exitcode 9"), HasSubstr("--tool racecheck")));
}

// Every part that goes wrong is told, the others run all the same, and the file stays JSON.
TEST_F(GpuSuite, PartsThatFailAreTold) {
  script("build/tests/core/ops/cuda/cuda_ops_tests",
         R"(printf 'a "quoted" \\path\ttab\r\nand \033[31mred\n'; exit 1)");
  script("bin/compute-sanitizer", "exit 9");
  script("build/launch/strata", R"(case "$1" in
  train) exit 3 ;;
  bench) echo 'out of GPU memory' >&2; exit 6 ;;
  *) exec ')" STRATA_PROGRAM R"(' "$@" ;;
esac)");
  ASSERT_EQ(suite(), 1) << words();
  EXPECT_THAT(words(), HasSubstr("operations FAILED (1)"));
  const nlohmann::json got = result();
  EXPECT_EQ(got.at("ok"), false);
  EXPECT_THAT(got.at("operations").at("said").get<std::string>(), HasSubstr("a \"quoted\" \\path"));
  EXPECT_EQ(got.at("memcheck").at("exit"), 9);
  EXPECT_EQ(got.at("train_gpu").at("exit"), 3);
  EXPECT_EQ(got.at("step_3b").at("exit"), 6);
  EXPECT_FALSE(got.contains("figures_step_3b"));
  for (const char* part : {"parity", "same_bits"}) EXPECT_EQ(got.at(part).at("ok"), false) << part;
  for (const char* figure : {"loss_gap", "train_tokens_per_s"})
    EXPECT_TRUE(got.at(figure).is_null()) << figure;
  EXPECT_EQ(got.at("rates").at("ok"), true);
}

TEST_F(GpuSuite, WithoutAGpuItSaysSo) {
  EXPECT_EQ(suite("STRATA_CUDA_DEVICES=0"), 5);
  EXPECT_THAT(words(), HasSubstr("there is no GPU here"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "result.json"));
}

}  // namespace
}  // namespace strata
