// SPDX-License-Identifier: Apache-2.0
// Every engine on every table: what is read is what was written, whatever the size, offset, depth, caching
// and order of collecting; all engines leave the same bytes.
#include "core/io/async_io.h"

#include <set>
#include <thread>

#include "tests/core/io/io_fixture.h"

namespace strata {
namespace {

using testing::HasSubstr;

std::unique_ptr<File> make(const Engine& engine, Caching caching = Caching::buffered,
                           const char* name = "file") {
  return engine.place.files->open(engine.place.folder + "/" + name, OpenMode::create, caching);
}

std::unique_ptr<AsyncIo> start(const Engine& engine, int depth = 8) {
  return engine.place.files->make_async_io({.depth = depth, .engine = engine.kind, .threads = 3});
}

void require_all(AsyncIo& io) {
  for (const IoCompletion& completion : io.wait_all()) {
    require(completion);
    ASSERT_EQ(completion.bytes, std::ssize(completion.request.memory));
  }
}

TEST(AsyncIo, RoundTripOverSizesOffsetsDepthsAndSkews) {
  for (const Engine& engine : all_engines())
    for (const int depth : {1, 2, 7, 32}) {
      const auto io = start(engine, depth);
      for (const int64_t bytes : {0, 1, 511, 513, 4096, 65'537})
        for (const int64_t offset : {0, 1, 4095}) {
          SCOPED_TRACE(fmt::format("{}, depth {}: {} bytes at {}", engine.name, depth, bytes, offset));
          const auto file = make(engine);
          constexpr int kRequests = 9;  // more than most of the depths: submission has to wait
          std::vector<std::unique_ptr<Memory>> out, in;
          for (int i = 0; i < kRequests; ++i) {
            out.push_back(std::make_unique<Memory>(bytes, i % 3));
            in.push_back(std::make_unique<Memory>(bytes, i % 2));
            fill(out[i]->span(), i);
            io->submit(IoRequest::write(*file, offset + i * bytes, out[i]->span(), i));
            ASSERT_LE(io->in_flight(), depth);
          }
          require_all(*io);
          std::vector<IoRequest> reads;
          for (int i = kRequests - 1; i >= 0; --i)
            reads.push_back(IoRequest::read(*file, offset + i * bytes, in[i]->span(), i));
          io->submit(reads);
          for (int i = 0; i < kRequests; ++i) require(io->wait(i));
          for (int i = 0; i < kRequests; ++i) ASSERT_TRUE(equal(in[i]->span(), out[i]->span())) << i;
          ASSERT_EQ(io->wait_any(), std::nullopt);
        }
    }
}

TEST(AsyncIo, DirectFilesWithRegisteredAndOtherMemory) {
  for (const Engine& engine : all_engines()) {
    SCOPED_TRACE(engine.name);
    const auto io = start(engine, 4);
    const auto file = make(engine, Caching::prefer_direct);
    constexpr int64_t kTile = 64 * 1024;
    constexpr int kTiles = 12;
    const Memory registered(kTile * kTiles), plain(kTile * kTiles);
    const std::span<std::byte> regions[] = {registered.span().first(kTile * 5),
                                            registered.span().subspan(kTile * 5)};
    io->register_buffers(regions);
    io->register_file(*file);
    fill(registered.span(), 1);
    for (int i = 0; i < kTiles; ++i)
      io->submit(IoRequest::write(*file, i * kTile, registered.span().subspan(i * kTile, kTile), i));
    require_all(*io);
    // A range over both regions is in neither, and works all the same.
    io->submit(IoRequest::read(*file, 0, plain.span(), 1));
    require_all(*io);
    EXPECT_TRUE(equal(plain.span(), registered.span()));
    std::fill(registered.span().begin(), registered.span().end(), std::byte{});
    io->submit(IoRequest::read(*file, 0, registered.span(), 1));
    require_all(*io);
    EXPECT_TRUE(equal(plain.span(), registered.span()));
    io->forget_file(*file);
    io->register_buffers({});
    fill(plain.span(), 2);
    io->submit(IoRequest::write(*file, 0, plain.span(), 1));
    io->wait(1);
    io->submit(IoRequest::read(*file, 0, registered.span(), 1));
    require_all(*io);
    EXPECT_TRUE(equal(plain.span(), registered.span()));
  }
}

TEST(AsyncIo, ARegisteredFileIsItsOwnFile) {
  // Two files registered, one forgotten, another taking its place: no request may reach the wrong one.
  for (const Engine& engine : all_engines()) {
    const auto io = start(engine);
    std::vector<std::unique_ptr<File>> files;
    for (int i = 0; i < 70; ++i) {  // more than the table of the io_uring engine holds
      files.push_back(make(engine, Caching::buffered, fmt::format("f{}", i).c_str()));
      io->register_file(*files[i]);
      if (i % 3 == 2) io->forget_file(*files[i - 1]);
    }
    std::vector<std::vector<std::byte>> contents;
    for (int i = 0; i < 70; ++i) contents.push_back(pattern(100 + i, i));
    for (int i = 0; i < 70; ++i) io->submit(IoRequest::write(*files[i], 0, contents[i], i));
    require_all(*io);
    for (int i = 0; i < 70; ++i)
      EXPECT_EQ(read_file(*engine.place.files, files[i]->path()).size(), 100 + i) << engine.name;
  }
}

TEST(AsyncIo, CollectsInAnyOrder) {
  for (const Engine& engine : all_engines()) {
    SCOPED_TRACE(engine.name);
    const auto io = start(engine);
    const auto file = make(engine);
    const auto content = pattern(800, 1);
    const std::span<const std::byte> all = content;
    for (uint64_t i = 0; i < 8; ++i)
      io->submit(IoRequest::write(*file, 100 * i, all.subspan(100 * i, 100), 1000 + i));
    EXPECT_EQ(io->wait(1005).request.token, 1005u);
    EXPECT_EQ(io->wait(1000).request.token, 1000u);
    std::set<uint64_t> rest;
    for (int looks = 0; rest.size() < 3; ++looks) {
      ASSERT_LT(looks, 10'000'000);
      if (const auto completion = io->wait_any(std::chrono::nanoseconds(0)))
        rest.insert(completion->request.token);
    }
    if (const auto completion = io->wait_any(std::chrono::seconds(60)))
      rest.insert(completion->request.token);
    for (const IoCompletion& completion : io->wait_all()) rest.insert(completion.request.token);
    EXPECT_THAT(rest, testing::ElementsAre(1001, 1002, 1003, 1004, 1006, 1007));
    EXPECT_EQ(read_file(*engine.place.files, file->path()).size(), 800u);
    EXPECT_THAT(message_of([&] { io->wait(1001); }), HasSubstr("no request with token 1001"));
    io->submit(IoRequest::write(*file, 0, all, 1001));  // a collected token is free again
    EXPECT_THAT(message_of([&] { io->submit(IoRequest::write(*file, 0, all, 1001)); }),
                HasSubstr("token 1001 names a request that is still to be collected"));
    require(io->wait(1001));  // before its memory and file go
  }
}

TEST(AsyncIo, EndOfFileAndErrorsBelongToTheirRequest) {
  for (const Engine& engine : all_engines()) {
    SCOPED_TRACE(engine.name);
    const auto io = start(engine);
    make(engine)->write(0, pattern(1000, 1));
    const auto file = engine.place.files->open(engine.place.folder + "/file", OpenMode::read);
    const Memory a(600), b(600), c(600), d(10);
    io->submit(IoRequest::read(*file, 0, a.span(), 1));
    io->submit(IoRequest::read(*file, 700, b.span(), 2));
    io->submit(IoRequest::read(*file, 5000, c.span(), 3));
    io->submit(IoRequest::write(*file, 0, d.span(), 4));  // opened for reading
    const IoCompletion whole = io->wait(1), tail = io->wait(2), beyond = io->wait(3), refused = io->wait(4);
    EXPECT_EQ(whole.code, 0);
    EXPECT_TRUE(equal(a.span(), pattern(600, 1)));
    EXPECT_EQ(tail.code, kEndOfFile);
    EXPECT_EQ(tail.bytes, 300);
    EXPECT_EQ(beyond.code, kEndOfFile);
    EXPECT_EQ(beyond.bytes, 0);
    EXPECT_EQ(refused.code, EBADF);
    EXPECT_THAT(message_of([&] { require(tail); }),
                testing::AllOf(HasSubstr("cannot read '" + file->path()),
                               HasSubstr("600 bytes from offset 700, 300 bytes done"),
                               HasSubstr("ends at byte 1000")));
    EXPECT_EQ(io->stats().failed, 3);
  }
}

TEST(AsyncIo, DirectAlignmentIsAContract) {
  for (const Engine& engine : all_engines()) {
    if (!can_direct(engine.place)) continue;
    const auto io = start(engine);
    const auto file = make(engine, Caching::direct);
    const Memory memory(8192);
    EXPECT_THAT(message_of([&] { io->submit(IoRequest::write(*file, 1, memory.span(), 1)); }),
                HasSubstr("[async write]"));
    EXPECT_THAT(message_of([&] { io->submit(IoRequest::read(*file, 0, memory.span().first(100), 1)); }),
                HasSubstr("must be multiples of"));
    EXPECT_EQ(io->in_flight(), 0);
  }
}

TEST(AsyncIo, SyncAndStatistics) {
  for (const Engine& engine : all_engines()) {
    SCOPED_TRACE(engine.name);
    const auto io = start(engine, 4);
    const auto file = make(engine);
    const auto content = pattern(10'000, 1);
    for (uint64_t i = 0; i < 6; ++i) io->submit(IoRequest::write(*file, i * 10'000, content, i));
    require_all(*io);
    io->submit(IoRequest::sync(*file, 7));
    require(io->wait(7));
    const Memory memory(4000);
    io->submit(IoRequest::read(*file, 10'000, memory.span(), 8));
    require(io->wait(8));
    const IoStats& stats = io->stats();
    EXPECT_EQ(stats.write.requests, 6);
    EXPECT_EQ(stats.write.bytes, 60'000);
    EXPECT_EQ(stats.read.requests, 1);
    EXPECT_EQ(stats.read.bytes, 4000);
    EXPECT_EQ(stats.sync.requests, 1);
    EXPECT_EQ(stats.failed, 0);
    EXPECT_EQ(stats.peak_in_flight, 4);
    EXPECT_GT(stats.busy_s, 0);
    EXPECT_GE(stats.read.in_flight_s + stats.write.in_flight_s + stats.sync.in_flight_s,
              stats.busy_s * 0.999);
  }
}

TEST(AsyncIo, DestructionWaitsForTheMemory) {
  // Reads into memory that is freed right after the engine: ASan sees an engine that does not wait.
  for (int round = 0; round < 20; ++round)
    for (const Engine& engine : all_engines()) {
      const auto file = make(engine);
      file->write(0, pattern(1 << 20, 1));
      std::vector<std::unique_ptr<Memory>> memory;
      auto io = start(engine, 16);
      for (uint64_t i = 0; i < 16; ++i) {
        memory.push_back(std::make_unique<Memory>(1 << 16));
        io->submit(IoRequest::read(*file, i << 16, memory.back()->span(), i));
      }
      io.reset();
      memory.clear();
    }
}

TEST(AsyncIo, CancelledRequestsAreWholeOrNamed) {
  for (int round = 0; round < 20; ++round)
    for (const Engine& engine : all_engines()) {
      const auto io = start(engine, 32);
      const auto file = make(engine);
      const auto content = pattern(1000, 1);
      for (uint64_t i = 0; i < 32; ++i) io->submit(IoRequest::write(*file, i * 1000, content, i));
      io->cancel();
      const auto completions = io->wait_all();
      ASSERT_EQ(completions.size(), 32u);
      const std::string stored = read_file(*engine.place.files, file->path());
      for (const IoCompletion& completion : completions) {
        ASSERT_TRUE(completion.code == 0 || completion.code == ECANCELED) << engine.name << completion.code;
        if (completion.code != 0) continue;
        const auto there = std::as_bytes(std::span(stored)).subspan(completion.request.offset, 1000);
        ASSERT_TRUE(equal(there, content)) << engine.name;
      }
      io->submit(IoRequest::write(*file, 0, content, 99));  // and the engine goes on
      require(io->wait(99));
    }
}

// The same seeded script of writes, reads and syncs on every engine, against a plain array.
TEST(AsyncIo, EnginesAgreeOnARandomScript) {
  constexpr int64_t kBlock = 4096, kBlocks = 64;
  for (const uint64_t seed : {1, 2, 3}) {
    for (const Caching caching : {Caching::buffered, Caching::prefer_direct})
      for (const Engine& engine : all_engines()) {
        SCOPED_TRACE(fmt::format("{}, seed {}", engine.name, seed));
        const auto io = start(engine, 6);
        const auto file = make(engine, caching);
        std::vector<std::byte> model(kBlock * kBlocks);
        file->truncate(kBlock * kBlocks);
        uint64_t drawn = 0;
        const auto below = [&](int64_t n) { return static_cast<int64_t>(mix64(seed * 7919 + ++drawn) % n); };
        for (int round = 0; round < 30; ++round) {
          // One round: disjoint pieces, each written or read, in flight together.
          std::vector<std::unique_ptr<Memory>> memory;
          std::vector<std::pair<int64_t, size_t>> reads;
          for (int64_t at = below(8); at < kBlocks;) {
            const int64_t blocks = std::min(1 + below(5), kBlocks - at);
            memory.push_back(std::make_unique<Memory>(blocks * kBlock));
            const auto piece = memory.back()->span();
            if (below(2) == 0) {
              fill(piece, seed + round * 100 + at);
              std::copy(piece.begin(), piece.end(), model.begin() + at * kBlock);
              io->submit(IoRequest::write(*file, at * kBlock, piece, at));
            } else {
              reads.emplace_back(at * kBlock, memory.size() - 1);
              io->submit(IoRequest::read(*file, at * kBlock, piece, at));
            }
            at += blocks + below(3);
          }
          if (below(4) == 0) io->submit(IoRequest::sync(*file, 1000));
          require_all(*io);
          for (const auto& [offset, index] : reads) {
            const auto piece = memory[index]->span();
            ASSERT_TRUE(equal(piece, std::span(model).subspan(offset, piece.size()))) << "round " << round;
          }
        }
        const Memory all(kBlock * kBlocks);
        file->read(0, all.span());
        ASSERT_TRUE(equal(all.span(), model));
      }
  }
}

TEST(AsyncIo, MayMoveBetweenThreads) {
  for (const Engine& engine : all_engines()) {
    const auto io = start(engine);
    const auto file = make(engine);
    const auto content = pattern(50'000, 1);
    std::thread([&] { io->submit(IoRequest::write(*file, 0, content, 1)); }).join();
    require(io->wait(1));
    const Memory memory(50'000);
    io->submit(IoRequest::read(*file, 0, memory.span(), 2));
    std::thread([&] { require(io->wait(2)); }).join();
    EXPECT_TRUE(equal(memory.span(), content)) << engine.name;
  }
}

TEST(AsyncIo, RefusesDepthsOutOfRange) {
  const Place place = posix_place();
  EXPECT_THROW(place.files->make_async_io({.depth = 0, .engine = AsyncEngine::threads}), ContractError);
  EXPECT_THROW(place.files->make_async_io({.depth = 4097, .engine = AsyncEngine::threads}), ContractError);
  EXPECT_THROW(place.files->make_async_io({.engine = AsyncEngine::threads, .threads = 0}), ContractError);
}

}  // namespace
}  // namespace strata
