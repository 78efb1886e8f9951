// SPDX-License-Identifier: Apache-2.0
// Files on both file systems against plain arrays: every size, offset, caching; what is said when it goes
// wrong.
#include "core/io/file.h"

#include "core/device/buffer.h"
#include "tests/core/io/io_fixture.h"

namespace strata {
namespace {

using testing::HasSubstr;

std::unique_ptr<File> make(const Place& place, Caching caching = Caching::buffered,
                           const char* name = "file") {
  return place.files->open(place.folder + "/" + name, OpenMode::create, caching);
}

TEST(File, RoundTripOverSizesOffsetsAndSkews) {
  for (const Place& place : all_places())
    for (const int64_t bytes : {0, 1, 3, 511, 512, 513, 4095, 4096, 4097, 100'003})
      for (const int64_t offset : {0, 1, 511, 512, 4096, 70'001})
        for (const int64_t skew : {0, 1}) {
          SCOPED_TRACE(fmt::format("{}: {} bytes at {}, memory skew {}", place.name, bytes, offset, skew));
          const auto file = make(place);
          const Memory out(bytes, skew), in(bytes, skew);
          fill(out.span(), bytes + offset);
          file->write(offset, out.span());
          ASSERT_EQ(file->size(), bytes == 0 ? 0 : offset + bytes);
          file->read(offset, in.span());
          ASSERT_TRUE(equal(in.span(), out.span()));
          if (bytes > 0 && offset > 0) {  // what was skipped reads as zero
            const Memory hole(offset);
            file->read(0, hole.span());
            ASSERT_TRUE(equal(hole.span(), std::vector<std::byte>(offset)));
          }
        }
}

TEST(File, DirectRoundTrip) {
  for (const Place& place : direct_places()) {
    const auto file = make(place, Caching::direct);
    const int64_t unit = file->alignment().offset;
    ASSERT_TRUE(file->direct());
    ASSERT_EQ(place.files->info(file->path())->direct, file->alignment());
    for (const int64_t blocks : {1, 2, 3, 17})
      for (const int64_t at : {0, 1, 5}) {
        SCOPED_TRACE(fmt::format("{}: {} blocks of {} at block {}", place.name, blocks, unit, at));
        const Memory out(blocks * unit), in(blocks * unit);
        fill(out.span(), blocks + at);
        file->write(at * unit, out.span());
        file->read(at * unit, in.span());
        ASSERT_TRUE(equal(in.span(), out.span()));
      }
  }
}

TEST(File, DirectAndBufferedSeeTheSameBytes) {
  for (const Place& place : direct_places()) {
    const auto direct = make(place, Caching::direct);
    const auto buffered = place.files->open(direct->path(), OpenMode::update);
    const Memory memory(3 * 4096), back(3 * 4096);
    fill(memory.span(), 1);
    direct->write(0, memory.span());
    buffered->read(0, back.span());
    EXPECT_TRUE(equal(memory.span(), back.span())) << place.name;
    // A direct file whose length is no multiple of a block can still be read to its end.
    buffered->truncate(5000);
    EXPECT_EQ(direct->read_up_to(0, back.span()), 5000) << place.name;
    EXPECT_EQ(code_of_error([&] { direct->read(0, back.span()); }), kEndOfFile) << place.name;
  }
}

TEST(File, AllocatorMemoryServesDirectFiles) {
  const auto allocator = make_cpu_allocator();
  const auto file = make(posix_place(), Caching::prefer_direct);
  for (const int64_t bytes : {int64_t{4096}, int64_t{1} << 20, int64_t{3} << 20}) {
    const BufferRef buffer = allocator->allocate(bytes, "io");
    const std::span<std::byte> memory(buffer->data(), bytes);
    fill(memory, bytes);
    file->write(0, memory);
    const auto expected = pattern(bytes, bytes);
    std::fill(memory.begin(), memory.end(), std::byte{});
    file->read(0, memory);
    EXPECT_TRUE(equal(memory, expected)) << bytes;
  }
}

TEST(File, BreaksOfTheAlignmentContractAreNamed) {
  for (const Place& place : direct_places()) {
    const auto file = make(place, Caching::direct);
    const int64_t unit = file->alignment().offset;
    const Memory memory(4 * unit);
    const auto blocks = memory.span();
    EXPECT_THAT(message_of([&] { file->read(1, blocks.first(unit)); }),
                HasSubstr(fmt::format("offset 1 and length {} must be multiples of {}", unit, unit)));
    EXPECT_THAT(message_of([&] { file->write(0, blocks.first(unit - 1)); }),
                HasSubstr("must be multiples of"));
    EXPECT_THAT(message_of([&] { file->write(0, blocks.subspan(1, unit)); }),
                HasSubstr("must be aligned to"));
    EXPECT_THROW(file->read(-unit, blocks.first(unit)), ContractError);
  }
}

TEST(File, EndOfFileIsAFaultOfTheData) {
  for (const Place& place : all_places()) {
    const auto file = make(place);
    file->write(0, pattern(10, 1));
    const Memory memory(8);
    for (const auto& [offset, there] : {std::pair{0, 8}, {2, 8}, {3, 7}, {9, 1}, {10, 0}, {500, 0}})
      EXPECT_EQ(file->read_up_to(offset, memory.span()), there) << place.name << " at " << offset;
    try {
      file->read(3, memory.span());
      FAIL() << "read past the end";
    } catch (const IoError& error) {
      EXPECT_EQ(error.fault(), Fault::data);
      EXPECT_EQ(error.code(), kEndOfFile);
      EXPECT_THAT(error.what(), HasSubstr("cannot read '" + file->path() + "'"));
      EXPECT_THAT(error.what(), HasSubstr("8 bytes from offset 3, 7 bytes done"));
      EXPECT_THAT(error.what(), HasSubstr("the file ends at byte 10"));
      EXPECT_THAT(error.what(), HasSubstr("at least 11 bytes"));
    }
  }
}

TEST(File, TruncateAndPreallocate) {
  for (const Place& place : all_places()) {
    const auto file = make(place);
    file->write(0, pattern(1000, 1));
    file->truncate(600);
    file->truncate(900);  // what comes back is zero, not the old bytes
    const Memory memory(900);
    file->read(0, memory.span());
    auto expected = pattern(600, 1);
    expected.resize(900);
    EXPECT_TRUE(equal(memory.span(), expected)) << place.name;
    file->preallocate(5000);
    EXPECT_EQ(file->size(), 5000) << place.name;
    file->preallocate(100);
    EXPECT_EQ(file->size(), 5000) << place.name;
    file->read(0, memory.span());
    EXPECT_TRUE(equal(memory.span(), expected)) << place.name;
  }
}

TEST(File, PlainFilesOfThisMachineReserveSpace) {
  const Place place = posix_place();
  if (place.files->volume(place.folder).type != "ext4" && place.files->volume(place.folder).type != "xfs")
    GTEST_SKIP() << "the temporary folder lies on " << place.files->volume(place.folder).type;
  EXPECT_TRUE(make(place)->preallocate(1 << 20));
}

TEST(File, OpenModes) {
  for (const Place& place : all_places()) {
    SCOPED_TRACE(place.name);
    FileSystem& files = *place.files;
    const std::string path = place.folder + "/a";
    EXPECT_EQ(files.open_if_exists(path, OpenMode::read), nullptr);
    EXPECT_EQ(files.open_if_exists(path + "/b", OpenMode::update), nullptr);
    EXPECT_THAT(message_of([&] { files.open(path, OpenMode::read); }),
                testing::AllOf(HasSubstr("cannot open '" + path + "'"), HasSubstr("ENOENT"),
                               HasSubstr("check the path")));
    files.open(path, OpenMode::create_new)->write(0, pattern(5, 1));
    EXPECT_EQ(code_of_error([&] { files.open(path, OpenMode::create_new); }), EEXIST);
    EXPECT_EQ(files.open(path, OpenMode::update)->size(), 5);
    EXPECT_EQ(code_of_error([&] { files.open(path, OpenMode::read)->write(0, pattern(5, 1)); }), EBADF);
    EXPECT_EQ(files.open(path, OpenMode::create)->size(), 0);
    EXPECT_EQ(code_of_error([&] { files.open(place.folder, OpenMode::read); }), EISDIR);
  }
}

TEST(File, InterruptedAndShortCallsAreInvisible) {
  for (const Caching caching : {Caching::buffered, Caching::direct}) {
    const Place place = memory_place();
    auto& files = static_cast<MemoryFileSystem&>(*place.files);
    const auto file = make(place, caching);
    for (const uint64_t seed : {1, 2, 3, 4, 5}) {
      files.inject({.kind = IoFault::Kind::short_transfer, .times = 3});
      files.inject({.kind = IoFault::Kind::error, .at = 1, .code = EINTR});
      const Memory out(8 * 512), in(8 * 512);
      fill(out.span(), seed);
      file->write(512, out.span());
      files.inject({.kind = IoFault::Kind::short_transfer, .times = 3});
      files.inject({.kind = IoFault::Kind::error, .at = 1, .code = EAGAIN});
      const int64_t before = files.calls();
      file->read(512, in.span());
      EXPECT_GE(files.calls() - before, 3);  // so the faults were met
      EXPECT_TRUE(equal(in.span(), out.span()));
    }
  }
}

TEST(File, ErrorsCarryTheirFix) {
  const std::tuple<int, const char*, const char*> cases[] = {{EIO, "(EIO)", "disk errors"},
                                                             {ENOSPC, "(ENOSPC)", "free space"},
                                                             {EDQUOT, "(EDQUOT)", "quota"},
                                                             {EROFS, "(EROFS)", "writable file system"}};
  for (const auto& [code, name, fix] : cases) {
    const Place place = memory_place();
    const auto file = make(place);
    static_cast<MemoryFileSystem&>(*place.files)
        .inject({.kind = IoFault::Kind::error, .call = IoCall::write, .code = code});
    try {
      file->write(64, pattern(10, 1));
      FAIL() << name;
    } catch (const IoError& error) {
      EXPECT_EQ(error.fault(), Fault::environment);
      EXPECT_EQ(error.code(), code);
      EXPECT_THAT(error.what(),
                  testing::AllOf(HasSubstr("cannot write '/work/file'"), HasSubstr(name), HasSubstr(fix),
                                 HasSubstr("10 bytes from offset 64, 0 bytes done")));
    }
  }
}

TEST(File, AFailedSyncIsNeverForgotten) {
  const Place place = memory_place();
  auto& files = static_cast<MemoryFileSystem&>(*place.files);
  const auto file = make(place);
  files.inject({.kind = IoFault::Kind::error, .call = IoCall::sync, .code = EINTR});
  EXPECT_NO_THROW(file->sync());
  files.inject({.kind = IoFault::Kind::error, .call = IoCall::sync, .code = EIO});
  EXPECT_EQ(code_of_error([&] { file->sync(); }), EIO);
  EXPECT_EQ(code_of_error([&] { file->sync(); }), EIO) << "the kernel may have dropped the pages";
  EXPECT_NO_THROW(files.open(file->path(), OpenMode::update)->sync());
}

}  // namespace
}  // namespace strata
