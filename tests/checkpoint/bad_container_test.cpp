// SPDX-License-Identifier: Apache-2.0
// What a damaged or hostile checkpoint gets: a refusal that names the fault. One test per row of the table of
// failures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "checkpoint/sha256.h"
#include "checkpoint/strata_source.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/sample.h"

namespace strata {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal(const std::function<void()>& body) {
  try {
    body();
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::model) << error.what();
    return error.what();
  }
}

class BadContainer : public testing::Test {
 protected:
  BadContainer() { write_sample(files_, "/c"); }

  std::string open() {
    return refusal([&] { StrataSource(files_, "/c"); });
  }
  // Changes the parsed manifest and writes it back with a hash that fits.
  std::string open_changed(const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json manifest = nlohmann::json::parse(read_file(files_, "/c/manifest.json"));
    change(manifest);
    return open_text(with_hash(manifest));
  }
  std::string open_text(const std::string& text) {
    const std::string before = read_file(files_, "/c/manifest.json");
    replace_file(files_, "/c/manifest.json", text);
    const std::string said = open();
    replace_file(files_, "/c/manifest.json", before);
    return said;
  }
  static std::string with_hash(const nlohmann::json& manifest) {
    std::string text = "{\"strata_checkpoint\":" + manifest["strata_checkpoint"].dump();
    for (const auto& [key, value] : manifest.items())
      if (key != "sha256" && key != "strata_checkpoint") text += ",\n\"" + key + "\":" + value.dump();
    text += ",\n\"sha256\":\"";
    return text + sha256_hex(text) + "\"}\n";
  }

  MemoryFileSystem files_;
};

TEST_F(BadContainer, IsGoodBefore) {
  EXPECT_EQ(open(), "");
  EXPECT_EQ(open_changed([](auto&) {}), "");
}

TEST_F(BadContainer, MissingShortAndLongFiles) {
  for (const std::string name : {"shard-00000.h5", "shard-00001.h5", "view.h5", "assets/config.json"}) {
    const std::string path = "/c/" + name, before = read_file(files_, path);
    files_.remove(path);
    EXPECT_THAT(open(), AllOf(HasSubstr("is missing"), HasSubstr(name)));
    replace_file(files_, path, before.substr(0, before.size() - 1));
    EXPECT_THAT(open(), AllOf(HasSubstr("cut short"), HasSubstr(name)));
    replace_file(files_, path, before + "x");
    EXPECT_THAT(open(), AllOf(HasSubstr("too long"), HasSubstr(name)));
    replace_file(files_, path, before);
  }
  files_.remove("/c/manifest.json");
  EXPECT_THAT(open(), HasSubstr("no checkpoint"));
}

TEST_F(BadContainer, AFlippedBitIsNamedToTensorAndBlock) {
  const StrataSource source(files_, "/c");
  const size_t t = *source.find("embedding.weight", "param");
  const ManifestFragment& fragment = source.manifest().tensors[t].fragments.at(1);
  const std::string name = source.manifest().files[fragment.file].name;
  std::string content = read_file(files_, "/c/" + name);
  content[static_cast<size_t>(fragment.offset + 4100)] ^= 4;
  replace_file(files_, "/c/" + name, content);
  EXPECT_EQ(open(), "");  // the manifest and sizes are well
  const StrataSource damaged(files_, "/c");
  EXPECT_THAT(refusal([&] { read_whole(damaged, t); }),
              AllOf(HasSubstr("tensor 'embedding.weight' (param) is damaged"), HasSubstr(name),
                    HasSubstr("block 1"), HasSubstr("elements 1024 to 1240")));
  for (size_t other = 0; other < source.tensors().size(); ++other)
    if (other != t) {
      EXPECT_EQ(read_whole(damaged, other), sample_bytes(source.tensors()[other]));
    }
  EXPECT_THAT(damaged.verify(), testing::ElementsAre(HasSubstr("embedding.weight")));
}

TEST_F(BadContainer, TornManifests) {
  const std::string text = read_file(files_, "/c/manifest.json");
  for (size_t bytes = 0; bytes < text.size(); bytes += 1 + bytes / 50)
    EXPECT_NE(open_text(text.substr(0, bytes)), "") << bytes;
  EXPECT_NE(open_text(text + " "), "");
  EXPECT_NE(open_text(std::string(text.size(), '\0')), "");
}

TEST_F(BadContainer, Versions) {
  EXPECT_THAT(open_changed([](auto& m) {
                m["strata_checkpoint"] = {2, 0};
              }),
              AllOf(HasSubstr("another format"), HasSubstr("2.0"), HasSubstr("newer version of Strata")));
  EXPECT_THAT(open_changed([](auto& m) { m["strata_checkpoint"] = {0, 9}; }), HasSubstr("another format"));
  // A newer minor version may say more; the same one may not.
  EXPECT_EQ(open_changed([](auto& m) { m["strata_checkpoint"] = {1, 1}, m["more"] = 1; }), "");
  EXPECT_THAT(open_changed([](auto& m) { m["more"] = 1; }), HasSubstr("unknown key 'more'"));
}

TEST_F(BadContainer, GapsAndOverlapsOfFragments) {
  const auto fragments = [](auto& m) -> nlohmann::json& { return m["tensors"][0]["fragments"]; };
  EXPECT_THAT(open_changed([&](auto& m) { fragments(m).erase(1); }),
              AllOf(HasSubstr("exactly once"), HasSubstr("embedding.weight"), HasSubstr("in 0 fragments")));
  EXPECT_THAT(open_changed([&](auto& m) { fragments(m).push_back(fragments(m)[0]); }),
              HasSubstr("in 2 fragments"));
  EXPECT_THAT(open_changed([&](auto& m) { fragments(m)[1][2][0] = 30; }), HasSubstr("exactly once"));
  EXPECT_THAT(open_changed([&](auto& m) { fragments(m)[1][1] = fragments(m)[0][1]; }),
              HasSubstr("overlap in a file"));
}

TEST_F(BadContainer, ImpossibleNumbers) {
  const auto fragment = [](auto& m) -> nlohmann::json& { return m["tensors"][0]["fragments"][0]; };
  EXPECT_THAT(open_changed([&](auto& m) { fragment(m)[1] = 1 << 30; }), HasSubstr("outside of its file"));
  EXPECT_THAT(open_changed([&](auto& m) { fragment(m)[1] = INT64_MAX; }), HasSubstr("outside of its file"));
  EXPECT_THAT(open_changed([&](auto& m) { fragment(m)[1] = -4096; }), HasSubstr("no count"));
  EXPECT_THAT(open_changed([&](auto& m) { fragment(m)[0] = 999; }), HasSubstr("in no shard"));
  EXPECT_THAT(open_changed([&](auto& m) { fragment(m)[0] = m["files"].size() - 1; }),
              HasSubstr("in no shard"));
  EXPECT_THAT(open_changed([&](auto& m) { fragment(m)[3][0] = INT64_MAX; }),
              HasSubstr("outside of its tensor"));
  EXPECT_THAT(open_changed([&](auto& m) { fragment(m)[2][0] = INT64_MAX; }),
              HasSubstr("outside of its tensor"));
  EXPECT_THAT(open_changed([&](auto& m) { fragment(m)[4] = ""; }), HasSubstr("number of block checksums"));
  EXPECT_THAT(open_changed([&](auto& m) { fragment(m)[4] = "0123456X"; }), HasSubstr("damaged"));
  EXPECT_THAT(open_changed([&](auto& m) {
                m["tensors"][0]["shape"] = {INT64_MAX, INT64_MAX};
              }),
              HasSubstr("impossible shape"));
  EXPECT_THAT(open_changed([&](auto& m) { m["tensors"][0]["shape"] = {1, 1, 1, 1, 1, 1}; }),
              HasSubstr("no shape"));
  EXPECT_THAT(open_changed([&](auto& m) { m["tensors"][0]["dtype"] = "f128"; }),
              HasSubstr("unknown type 'f128'"));
  EXPECT_THAT(open_changed([&](auto& m) { m["tensors"].push_back(m["tensors"][6]); }),
              HasSubstr("a tensor twice"));
  EXPECT_THAT(open_changed([&](auto& m) { m["block_bytes"] = 0; }), HasSubstr("blocks"));
  EXPECT_THAT(open_changed([&](auto& m) { m["block_bytes"] = 4096 + 512; }), HasSubstr("blocks"));
  EXPECT_THAT(open_changed([&](auto& m) { m["block_bytes"] = int64_t{1} << 40; }), HasSubstr("blocks"));
  EXPECT_THAT(open_changed([&](auto& m) { m["step"] = 1.5; }), HasSubstr("'step'"));
  EXPECT_THAT(open_changed([&](auto& m) { m.erase("tensors"); }), HasSubstr("no 'tensors'"));
  EXPECT_THAT(open_changed([&](auto& m) { m["tensors"] = 3; }), HasSubstr("no list"));
  nlohmann::json deep;
  for (int i = 0; i < 100; ++i) deep = nlohmann::json::array({deep});
  EXPECT_THAT(open_changed([&](auto& m) { m["meta"]["deep"] = deep; }), HasSubstr("levels"));
}

TEST_F(BadContainer, NamesThatLeadElsewhere) {
  for (const std::string name :
       {"../x.h5", "/etc/passwd", "a/b.h5", "", ".hidden", "a b", "assets/../x", "..", "manifest.json"})
    EXPECT_THAT(open_changed([&](auto& m) { m["files"][0]["name"] = name; }), HasSubstr("not allowed"))
        << name;
  EXPECT_THAT(open_changed([&](auto& m) { m["files"][1]["name"] = m["files"][0]["name"]; }),
              HasSubstr("a file twice"));
  EXPECT_THAT(open_changed([&](auto& m) { m["tensors"][0]["name"] = "../up"; }), HasSubstr("name"));
}

TEST_F(BadContainer, DuplicateKeysAreRefused) {
  std::string text = read_file(files_, "/c/manifest.json");
  text.replace(text.find("\"step\":7"), 8, "\"step\":7,\"step\":8");
  text.resize(text.size() - 67);
  EXPECT_THAT(open_text(text + sha256_hex(text) + "\"}\n"), HasSubstr("'step' twice"));
}

TEST_F(BadContainer, ALongManifestIsRefusedBeforeItIsRead) {
  const auto file = files_.open("/c/manifest.json", OpenMode::update);
  file->truncate(int64_t{64} << 20);
  EXPECT_THAT(open(), HasSubstr("impossibly long"));
}

TEST_F(BadContainer, DamagedAssetsAreRefused) {
  replace_file(files_, "/c/assets/config.json", R"({"layers":2})");
  EXPECT_THAT(refusal([&] { StrataSource(files_, "/c").assets(); }),
              AllOf(HasSubstr("damaged"), HasSubstr("config.json")));
}

TEST(BadContainerOnDisk, LinksAndDevicesAreRefused) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  const std::string path = folder.path() + "/c";
  write_sample(*files, path);
  const auto open = [&] {
    return refusal([&] {
      const StrataSource source(*files, path);
      for (size_t t = 0; t < source.tensors().size(); ++t) read_whole(source, t);
      source.assets();
    });
  };
  EXPECT_EQ(open(), "");
  for (const std::string name : {"shard-00000.h5", "view.h5", "assets"}) {
    fs::rename(path + "/" + name, folder.path() + "/elsewhere");
    fs::create_symlink(folder.path() + "/elsewhere", path + "/" + name);
    EXPECT_THAT(open(), HasSubstr("symbolic link")) << name;
    fs::remove(path + "/" + name);
    fs::rename(folder.path() + "/elsewhere", path + "/" + name);
  }
  // Replaced after the check: opening does not follow it either.
  const StrataSource source(*files, path);
  fs::rename(path + "/shard-00000.h5", folder.path() + "/elsewhere");
  fs::create_symlink(folder.path() + "/elsewhere", path + "/shard-00000.h5");
  EXPECT_THROW(read_whole(source, 0), IoError);
  fs::rename(folder.path() + "/elsewhere", path + "/shard-00000.h5");
  fs::create_symlink(path, folder.path() + "/by-link");  // the folder itself may be reached through one
  EXPECT_EQ(read_whole(StrataSource(*files, folder.path() + "/by-link"), 0).size(), 96u * 40 * 4);
  fs::rename(path + "/manifest.json", folder.path() + "/m");
  fs::create_symlink(folder.path() + "/m", path + "/manifest.json");
  EXPECT_THROW(StrataSource(*files, path), IoError);
}

}  // namespace
}  // namespace strata
