// SPDX-License-Identifier: Apache-2.0
// Names, folders, mappings, and the helpers built on the seam; the two file systems answer alike.
#include "core/io/file_system.h"

#include "tests/core/io/io_fixture.h"

namespace strata {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

void touch(FileSystem& files, const std::string& path, int64_t bytes = 1) {
  files.open(path, OpenMode::create)->write(0, pattern(bytes, 1));
}

TEST(FileSystem, InfoAndList) {
  for (const Place& place : all_places()) {
    SCOPED_TRACE(place.name);
    FileSystem& files = *place.files;
    const std::string& top = place.folder;
    EXPECT_EQ(files.info(top + "/none"), std::nullopt);
    EXPECT_EQ(files.list(top + "/none"), std::nullopt);
    EXPECT_TRUE(files.make_directory(top + "/d"));
    EXPECT_FALSE(files.make_directory(top + "/d"));
    for (const char* name : {"/c", "/a", "/d/x"}) touch(files, top + name, 7);
    EXPECT_THAT(*files.list(top), ElementsAre("a", "c", "d"));
    EXPECT_THAT(*files.list(top + "/d/"), ElementsAre("x"));
    EXPECT_EQ(files.info(top + "/a")->bytes, 7);
    EXPECT_EQ(files.info(top + "/a")->type, FileInfo::Type::file);
    EXPECT_EQ(files.info(top + "/d")->type, FileInfo::Type::directory);
    EXPECT_EQ(files.info(top + "/a/b"), std::nullopt);
    EXPECT_EQ(code_of_error([&] { files.list(top + "/a"); }), ENOTDIR);
    EXPECT_EQ(code_of_error([&] { files.make_directory(top + "/a"); }), EEXIST);
    EXPECT_EQ(code_of_error([&] { files.make_directory(top + "/none/d"); }), ENOENT);
  }
}

TEST(FileSystem, RenameAndRemove) {
  for (const Place& place : all_places()) {
    SCOPED_TRACE(place.name);
    FileSystem& files = *place.files;
    const std::string& top = place.folder;
    touch(files, top + "/a", 1);
    touch(files, top + "/b", 2);
    const auto old = files.open(top + "/b", OpenMode::read);
    files.rename(top + "/a", top + "/b");
    EXPECT_THAT(*files.list(top), ElementsAre("b"));
    EXPECT_EQ(files.info(top + "/b")->bytes, 1);
    EXPECT_EQ(old->size(), 2);  // an open file outlives its name
    EXPECT_THAT(message_of([&] { files.rename(top + "/a", top + "/c"); }),
                HasSubstr("cannot rename to '" + top + "/c' '" + top + "/a'"));

    make_directories(files, top + "/x/y/z");
    EXPECT_EQ(code_of_error([&] { files.remove(top + "/x"); }), ENOTEMPTY);
    EXPECT_EQ(code_of_error([&] { files.rename(top + "/x", top + "/x/y/w"); }), EINVAL);
    EXPECT_EQ(code_of_error([&] { files.rename(top + "/b", top + "/x"); }), EISDIR);
    EXPECT_EQ(code_of_error([&] { files.rename(top + "/x", top + "/b"); }), ENOTDIR);
    files.rename(top + "/x", top + "/w");
    EXPECT_NE(files.info(top + "/w/y/z"), std::nullopt);
    EXPECT_FALSE(files.remove(top + "/x"));
    EXPECT_TRUE(remove_tree(files, top + "/w"));
    EXPECT_FALSE(remove_tree(files, top + "/w"));
    EXPECT_TRUE(files.remove(top + "/b"));
    EXPECT_TRUE(files.list(top)->empty());
  }
}

TEST(FileSystem, RemoveTreeDoesNotFollowLinks) {
  const Place place = posix_place();
  make_directories(*place.files, place.folder + "/kept");
  make_directories(*place.files, place.folder + "/gone/in");
  touch(*place.files, place.folder + "/kept/file");
  std::filesystem::create_directory_symlink(place.folder + "/kept", place.folder + "/gone/in/link");
  EXPECT_TRUE(remove_tree(*place.files, place.folder + "/gone"));
  EXPECT_THAT(*place.files->list(place.folder), ElementsAre("kept"));
  EXPECT_THAT(*place.files->list(place.folder + "/kept"), ElementsAre("file"));
}

TEST(FileSystem, Mapping) {
  for (const Place& place : all_places()) {
    const std::string path = place.folder + "/m";
    for (const int64_t bytes : {0, 1, 4096, 10'001}) {
      const auto content = pattern(bytes, bytes);
      place.files->open(path, OpenMode::create)->write(0, content);
      const auto mapping = place.files->map(path);
      EXPECT_TRUE(equal(mapping->bytes(), content)) << place.name << ", " << bytes;
      place.files->remove(path);  // a mapping outlives the name
      EXPECT_TRUE(equal(mapping->bytes(), content)) << place.name << ", " << bytes;
    }
    EXPECT_EQ(code_of_error([&] { place.files->map(path); }), ENOENT);
    EXPECT_EQ(code_of_error([&] { place.files->map(place.folder); }), EISDIR);
  }
}

TEST(FileSystem, VolumeKnowsItsSpace) {
  for (const Place& place : all_places()) {
    const Volume volume = place.files->volume(place.folder);
    EXPECT_FALSE(volume.type.empty());
    EXPECT_GT(volume.total_bytes, 0);
    EXPECT_LE(volume.free_bytes, volume.total_bytes);
    EXPECT_EQ(code_of_error([&] { place.files->volume(place.folder + "/none"); }), ENOENT);
  }
  const Place small = memory_place({.capacity_bytes = 1000});
  touch(*small.files, "/work/a", 300);
  EXPECT_EQ(small.files->volume("/").free_bytes, 700);
}

TEST(FileSystem, ParentDirectory) {
  const std::pair<const char*, const char*> cases[] = {
      {"a/b", "a"}, {"b", "."}, {"/b", "/"}, {"/a/b/c", "/a/b"}, {"./x", "."}};
  for (const auto& [path, parent] : cases) EXPECT_EQ(parent_directory(path), parent) << path;
}

TEST(FileSystem, ReadAndReplace) {
  for (const Place& place : all_places()) {
    const std::string path = place.folder + "/r";
    EXPECT_EQ(code_of_error([&] { read_file(*place.files, path); }), ENOENT);
    for (const std::string& content :
         {std::string("one"), std::string(), std::string(70'000, 'x'), std::string("1")}) {
      replace_file(*place.files, path, content);
      EXPECT_EQ(read_file(*place.files, path), content) << place.name;
      EXPECT_THAT(*place.files->list(place.folder), ElementsAre("r")) << place.name;
    }
  }
}

TEST(FileSystem, AFailedReplaceLeavesTheOldFileAndNoTemporary) {
  const int64_t clean = [] {
    const Place place = memory_place();
    replace_file(*place.files, "/work/r", "old");
    const int64_t before = static_cast<MemoryFileSystem&>(*place.files).calls();
    replace_file(*place.files, "/work/r", "new");
    return static_cast<MemoryFileSystem&>(*place.files).calls() - before;
  }();
  ASSERT_EQ(clean, 5);  // open, write, sync, rename, sync of the folder
  for (const int code : {EIO, ENOSPC})
    for (int64_t at = 0; at < clean; ++at) {
      const Place place = memory_place();
      auto& files = static_cast<MemoryFileSystem&>(*place.files);
      replace_file(files, "/work/r", "old");
      files.inject({.kind = IoFault::Kind::error, .at = at, .code = code});
      EXPECT_EQ(code_of_error([&] { replace_file(files, "/work/r", "new"); }), code) << "call " << at;
      EXPECT_EQ(read_file(files, "/work/r"), at == clean - 1 ? "new" : "old") << "call " << at;
      EXPECT_THAT(*files.list("/work"), ElementsAre("r")) << "call " << at;
    }
}

TEST(FileSystem, DirectIoIsRefusedByNameOrAvoidedOnRequest) {
  // A file system without direct I/O: /proc/self/comm is one on every Linux.
  const Place place = posix_place();
  EXPECT_THAT(message_of([&] { place.files->open("/proc/self/comm", OpenMode::read, Caching::direct); }),
              testing::AllOf(HasSubstr("EINVAL"), HasSubstr("does not allow direct I/O")));
  const auto file = place.files->open("/proc/self/comm", OpenMode::read, Caching::prefer_direct);
  EXPECT_FALSE(file->direct());
  EXPECT_EQ(file->alignment(), Alignment{});
  EXPECT_NO_THROW(place.files->open(place.folder + "/d", OpenMode::create_new, Caching::prefer_direct));
}

}  // namespace
}  // namespace strata
