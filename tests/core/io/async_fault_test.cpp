// SPDX-License-Identifier: Apache-2.0
// What goes wrong beneath an engine: faults of the disk (on memory files, by the twin and by threads), a
// kernel that refuses io_uring or locked memory.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <set>
#include <thread>

#include "core/io/io_backend.h"
#include "tests/core/io/io_fixture.h"

namespace strata {
namespace {

using testing::HasSubstr;

// Both engines that run on memory files, where faults can be injected.
struct Faulty {
  std::string name;
  std::shared_ptr<MemoryFileSystem> files;
  std::unique_ptr<AsyncIo> io;
};

std::vector<Faulty> faulty_engines(const MemoryFileSystem::Options& options = {}, int depth = 8) {
  std::vector<Faulty> engines(2);
  for (Faulty& engine : engines) engine.files = std::make_shared<MemoryFileSystem>(options);
  engines[0].name = "memory";
  engines[0].io = engines[0].files->make_async_io({.depth = depth});
  engines[1].name = "threads";
  engines[1].io = std::make_unique<AsyncIo>(make_thread_backend(3), depth);
  return engines;
}

TEST(AsyncFaults, ShortAndInterruptedTransfersAreResubmitted) {
  for (const Caching caching : {Caching::buffered, Caching::direct})
    for (uint64_t seed = 0; seed < 10; ++seed)
      for (auto& [name, files, io] : faulty_engines({.seed = seed})) {
        const auto file = files->open("f", OpenMode::create, caching);
        const Memory out(20 * 512), in(20 * 512);
        fill(out.span(), seed);
        for (const IoCall call : {IoCall::write, IoCall::read}) {
          files->inject({.kind = IoFault::Kind::short_transfer, .times = 6, .call = call});
          files->inject({.kind = IoFault::Kind::error, .at = 3, .times = 2, .call = call, .code = EAGAIN});
        }
        for (uint64_t i = 0; i < 5; ++i)
          io->submit(IoRequest::write(*file, i * 2048, out.span().subspan(i * 2048, 2048), i));
        for (const IoCompletion& completion : io->wait_all()) require(completion);
        for (uint64_t i = 0; i < 5; ++i)
          io->submit(IoRequest::read(*file, i * 2048, in.span().subspan(i * 2048, 2048), i));
        for (const IoCompletion& completion : io->wait_all()) require(completion);
        EXPECT_TRUE(equal(in.span(), out.span())) << name << ", seed " << seed;
        EXPECT_GE(io->stats().resubmitted, 10) << name;
        EXPECT_EQ(io->stats().write.bytes, 20 * 512) << name;
      }
}

TEST(AsyncFaults, AnErrorHitsItsRequestOnly) {
  for (auto& [name, files, io] : faulty_engines()) {
    const auto good = files->open("good", OpenMode::create), bad = files->open("bad", OpenMode::create);
    files->inject(
        {.kind = IoFault::Kind::error, .times = -1, .call = IoCall::write, .path = "bad", .code = EIO});
    const auto content = pattern(100, 1);
    for (uint64_t i = 0; i < 8; ++i)
      io->submit(IoRequest::write(i % 4 == 3 ? *bad : *good, i * 100, content, i));
    for (uint64_t i = 0; i < 8; ++i) {
      const IoCompletion completion = io->wait(i);
      EXPECT_EQ(completion.code, i % 4 == 3 ? EIO : 0) << name << " " << i;
      if (completion.code != 0) {
        EXPECT_THAT(message_of([&] { require(completion); }),
                    testing::AllOf(HasSubstr("cannot write 'bad'"), HasSubstr("EIO")));
      }
    }
    EXPECT_EQ(io->stats().failed, 2) << name;
  }
}

TEST(AsyncFaults, AFullDiskIsNamedWithWhatFitted) {
  for (auto& [name, files, io] : faulty_engines({.capacity_bytes = 2500})) {
    const auto file = files->open("f", OpenMode::create);
    const auto content = pattern(1000, 1);
    for (uint64_t i = 0; i < 3; ++i) {
      io->submit(IoRequest::write(*file, i * 1000, content, i));
      const IoCompletion completion = io->wait(i);
      EXPECT_EQ(completion.code, i == 2 ? ENOSPC : 0) << name;
      EXPECT_EQ(completion.bytes, i == 2 ? 500 : 1000) << name;
    }
    EXPECT_EQ(file->size(), 2500);
    EXPECT_EQ(code_of_error([&] { file->preallocate(2501); }), ENOSPC);
    file->truncate(0);
    io->submit(IoRequest::write(*file, 0, content, 1));
    require(io->wait(1));
  }
}

TEST(AsyncFaults, AFlippedBitComesThrough) {
  for (auto& [name, files, io] : faulty_engines()) {
    const auto file = files->open("f", OpenMode::create);
    const auto content = pattern(1000, 1);
    file->write(0, content);
    files->inject({.kind = IoFault::Kind::flip_bit, .call = IoCall::read});
    const Memory memory(1000);
    io->submit(IoRequest::read(*file, 0, memory.span(), 1));
    require(io->wait(1));
    int flipped = 0;
    for (int64_t i = 0; i < 1000; ++i)
      flipped += std::popcount(static_cast<uint8_t>(memory.span()[i] ^ content[i]));
    EXPECT_EQ(flipped, 1) << name;
  }
}

TEST(AsyncFaults, AFailedSyncStaysFailed) {
  for (auto& [name, files, io] : faulty_engines()) {
    const auto file = files->open("f", OpenMode::create);
    files->inject({.kind = IoFault::Kind::error, .call = IoCall::sync, .code = EIO});
    io->submit(IoRequest::sync(*file, 1));
    EXPECT_EQ(io->wait(1).code, EIO) << name;
    io->submit(IoRequest::sync(*file, 2));
    EXPECT_EQ(io->wait(2).code, EIO) << name;
    EXPECT_EQ(code_of_error([&] { file->sync(); }), EIO) << name;
  }
}

TEST(AsyncFaults, EndsOutOfOrderAndRepeatably) {
  const auto order = [](uint64_t seed) {
    MemoryFileSystem files({.seed = seed});
    const auto io = files.make_async_io({.depth = 16});
    const auto file = files.open("f", OpenMode::create);
    const auto content = pattern(10, 1);
    for (uint64_t i = 0; i < 16; ++i) io->submit(IoRequest::write(*file, i * 10, content, i));
    std::vector<uint64_t> tokens;
    for (const IoCompletion& completion : io->wait_all()) tokens.push_back(completion.request.token);
    return tokens;
  };
  std::set<std::vector<uint64_t>> orders;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(order(seed), order(seed));
    orders.insert(order(seed));
  }
  EXPECT_EQ(orders.size(), 20u);
}

TEST(AsyncFaults, ASlowRequestDoesNotHoldUpOthers) {
  MemoryFileSystem files;
  const auto slow = files.open("slow", OpenMode::create), fast = files.open("fast", OpenMode::create);
  AsyncIo io(make_thread_backend(2), 4);
  files.inject({.kind = IoFault::Kind::delay, .path = "slow", .delay = std::chrono::milliseconds(100)});
  const auto content = pattern(10, 1);
  io.submit(IoRequest::write(*slow, 0, content, 1));
  io.submit(IoRequest::write(*fast, 0, content, 2));
  EXPECT_EQ(io.wait_any()->request.token, 2u);
  EXPECT_EQ(io.wait_any(std::chrono::milliseconds(1)), std::nullopt);  // a deadline is kept
  EXPECT_EQ(io.wait_any()->request.token, 1u);
  EXPECT_GE(io.stats().write.in_flight_s, 0.1);
}

TEST(AsyncFaults, AfterACrashEveryRequestFails) {
  for (auto& [name, files, io] : faulty_engines()) {
    const auto file = files->open("f", OpenMode::create);
    files->inject({.kind = IoFault::Kind::crash, .at = 4});
    const auto content = pattern(10, 1);
    for (uint64_t i = 0; i < 12; ++i) io->submit(IoRequest::write(*file, i * 10, content, i));
    int crashed = 0;
    for (const IoCompletion& completion : io->wait_all()) {
      EXPECT_TRUE(completion.code == 0 || completion.code == kCrashed);
      crashed += completion.code == kCrashed;
    }
    EXPECT_EQ(crashed, 8) << name;
    EXPECT_THAT(message_of([&] { file->size(); }), HasSubstr("crashed"));
  }
}

// An engine that ends one attempt per wait, cancels none, and counts what is still in flight when it is
// destroyed.
class SlowBackend : public IoBackend {
 public:
  explicit SlowBackend(int& left) : left_(left) {}
  ~SlowBackend() override { left_ = static_cast<int>(begun_.size()); }
  std::string_view name() const override { return "slow"; }
  void start(const Attempt& attempt) override { begun_.push_back(attempt.slot); }
  void reap(std::vector<Ended>& ended, AsyncIo::Clock::time_point) override {
    ended.push_back({begun_.back(), 10});
    begun_.pop_back();
  }
  void cancel() override {}

 private:
  int& left_;
  std::vector<int> begun_;
};

TEST(AsyncFaults, NothingIsInFlightWhenTheEngineIsGone) {
  int left = -1;
  const Memory memory(80);
  MemoryFileSystem files;
  const auto file = files.open("f", OpenMode::create);
  {
    AsyncIo io(std::make_unique<SlowBackend>(left), 8);
    for (uint64_t i = 0; i < 8; ++i)
      io.submit(IoRequest::read(*file, 0, memory.span().subspan(i * 10, 10), i));
  }
  EXPECT_EQ(left, 0);
}

// ---- io_uring that is not to be had
// --------------------------------------------------------------------------

// Runs `body` in a thread for which io_uring_setup answers `code`, as the default profiles of containers do.
template <typename Body>
void without_io_uring(int code, Body body) {
  std::thread([&] {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(code)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter = {std::size(program), program};
    ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
    body();
  }).join();
}

// The reason this build has no io_uring engine at all; empty if it has one.
std::string twin_reason() {
  const std::string reason = make_uring_backend(1).reason;
  return reason.find("this build") != std::string::npos ? reason : "";
}

TEST(UringTest, FallsBackToThreadsAndSaysWhy) {
  const Place place = posix_place();
  for (const auto& [code, why] :
       {std::pair{EPERM, "refuses io_uring"}, {ENOSYS, "Linux 5.11"}, {ENOMEM, "RLIMIT_MEMLOCK"}})
    without_io_uring(code, [&] {
      const auto io = place.files->make_async_io({});
      EXPECT_EQ(io->name(), "threads");
      EXPECT_THAT(io->note(), HasSubstr(twin_reason().empty() ? why : "this build"));
      const auto file = place.files->open(place.folder + "/f", OpenMode::create);
      const auto content = pattern(100, 1);
      io->submit(IoRequest::write(*file, 0, content, 1));
      require(io->wait(1));
      const std::string refusal =
          message_of([&] { place.files->make_async_io({.engine = AsyncEngine::uring}); });
      EXPECT_THAT(refusal, HasSubstr("io_uring was asked for and cannot be used"));
      EXPECT_THAT(refusal, HasSubstr(io->note()));
    });
}

TEST(UringTest, IsChosenWhereTheKernelHasIt) {
  const UringOutcome outcome = make_uring_backend(8);
  const Place place = posix_place();
  const auto io = place.files->make_async_io({});
  if (!outcome.backend) {
    EXPECT_EQ(io->name(), "threads");
    GTEST_SKIP() << outcome.reason;
  }
  EXPECT_EQ(io->name(), "io_uring");
  EXPECT_EQ(io->note(), "");
  const auto file = place.files->open(place.folder + "/f", OpenMode::create);
  const Memory memory(1 << 16);
  const std::span<std::byte> regions[] = {memory.span()};
  EXPECT_EQ(io->register_buffers(regions), "");
  EXPECT_EQ(io->register_file(*file), "");
}

TEST(UringTest, MemoryThatCannotBeLockedIsUsedUnregistered) {
  const Place place = posix_place();
  const auto io = place.files->make_async_io({});
  if (io->name() != "io_uring") GTEST_SKIP() << io->note();
  // The kernel refuses a null page as it refuses memory beyond the limit, which a privileged test cannot
  // meet.
  const std::span<std::byte> regions[] = {{reinterpret_cast<std::byte*>(uintptr_t{4096}), 4096}};
  EXPECT_THAT(io->register_buffers(regions),
              testing::AllOf(HasSubstr("does not register 4096 bytes"), HasSubstr("ulimit -l")));
  const auto file = place.files->open(place.folder + "/f", OpenMode::create);
  const auto content = pattern(100, 1);
  io->submit(IoRequest::write(*file, 0, content, 1));
  require(io->wait(1));
}

TEST(UringTest, FilesInMemoryAreNotForTheKernel) {
  MemoryFileSystem files;
  const auto file = files.open("f", OpenMode::create);
  const auto content = pattern(100, 1);
  UringOutcome outcome = make_uring_backend(4);
  if (!outcome.backend) GTEST_SKIP() << outcome.reason;
  EXPECT_THAT(message_of([&] { outcome.backend->register_file(*file); }),
              HasSubstr("'f' is not a file of the kernel"));
}

}  // namespace
}  // namespace strata
