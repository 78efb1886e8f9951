// SPDX-License-Identifier: Apache-2.0
// Rules of strata convert --map: every element of every kind of rule against plain index arithmetic, and what
// a wrong rule is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "launch/convert/name_map.h"

namespace strata {
namespace {

using testing::HasSubstr;

// Element i of tensor t is 1000 t + i.
class Counting : public TensorSource {
 public:
  explicit Counting(std::vector<TensorSpec> tensors) : tensors_(std::move(tensors)) {}
  std::string format() const override { return "counting"; }
  std::string path() const override { return "counting"; }
  std::span<const TensorSpec> tensors() const override { return tensors_; }
  const nlohmann::json& metadata() const override { return metadata_; }
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override {
    const Shape& shape = tensors_[tensor].shape;
    std::vector<float> all(static_cast<size_t>(shape.numel()));
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<float>(1000 * tensor + i);
    copy_rect(rect, Rect::whole(shape), reinterpret_cast<const std::byte*>(all.data()), rect, into, 4);
  }

 private:
  std::vector<TensorSpec> tensors_;
  nlohmann::json metadata_ = nlohmann::json::object();
};

const Counting& source() {
  static const Counting counting({{.name = "h.0.fc", .shape = {6, 4}},
                                  {.name = "h.7.fc", .shape = {6, 4}},
                                  {.name = "stack", .shape = {3, 12, 2}},
                                  {.name = "h.0.fc", .state = "m", .shape = {6, 4}},
                                  {.name = "w1", .shape = {2, 3}},
                                  {.name = "w2", .shape = {5, 3}}});
  return counting;
}
constexpr const char* kDropRest = "[[rule]]\ndrop='stack'\n[[rule]]\ndrop='w1'\n[[rule]]\ndrop='w2'\n";

std::unique_ptr<MappedSource> map(const std::string& rules, std::vector<std::string>* dropped = nullptr) {
  MemoryFileSystem files;
  files.open("/map.toml", OpenMode::create)->write(0, std::as_bytes(std::span(rules)));
  std::vector<std::string> ignored;
  return map_names(source(), files, "/map.toml", {}, dropped ? *dropped : ignored);
}

// Element (i, j) of `name` must be want(i, j).
void expect(const MappedSource& mapped, const std::string& name, int64_t rows, int64_t columns,
            const std::function<int64_t(int64_t, int64_t)>& want) {
  for (size_t t = 0; t < mapped.tensors().size(); ++t) {
    const TensorSpec& tensor = mapped.tensors()[t];
    if (tensor.name + ":" + tensor.state != name) continue;
    ASSERT_EQ(tensor.shape, (Shape{rows, columns})) << name;
    std::vector<float> found(static_cast<size_t>(rows * columns));
    mapped.read(t, Rect::whole(tensor.shape),
                row_major(reinterpret_cast<std::byte*>(found.data()), tensor.shape, 4));
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        ASSERT_EQ(found[static_cast<size_t>(i * columns + j)], static_cast<float>(want(i, j)))
            << name << i << "," << j;
    return;
  }
  FAIL() << "no " << name;
}

TEST(NameMap, RenamesSplitsAndTransposes) {
  std::vector<std::string> dropped;
  const auto mapped =
      map(std::string(kDropRest) +
              "[[rule]]\nto='l.*.up'\nfrom='h.*.fc'\npart=[1,2]\n"
              "[[rule]]\nto='l.*.left'\nfrom='h.*.fc'\ndim=1\nrange=[1,2]\ntranspose=true\nrole='linear'\n",
          &dropped);
  EXPECT_EQ(mapped->tensors().size(), 6u);
  EXPECT_EQ(dropped.size(), 3u);
  expect(*mapped, "l.0.up:param", 3, 4, [](int64_t i, int64_t j) { return 4 * (3 + i) + j; });
  expect(*mapped, "l.7.up:param", 3, 4, [](int64_t i, int64_t j) { return 1000 + 4 * (3 + i) + j; });
  expect(*mapped, "l.0.up:m", 3, 4, [](int64_t i, int64_t j) { return 3000 + 4 * (3 + i) + j; });
  expect(*mapped, "l.0.left:param", 2, 6, [](int64_t i, int64_t j) { return 4 * j + 1 + i; });
}

TEST(NameMap, JoinsUnstacksAndTakesFromGroups) {
  const auto mapped =
      map("[[rule]]\ndrop='h.*.fc'\n[[rule]]\nto='both'\nfrom=['w2','w1']\n"
          "[[rule]]\nto='q.*'\nfrom='stack'\nunstack=true\ngroups=3\nrange=[0,2]\n"
          "[[rule]]\nto='k.*'\nfrom='stack'\nunstack=true\ngroups=3\nrange=[2,1]\ntranspose=true\n");
  EXPECT_EQ(mapped->tensors().size(), 7u);
  expect(*mapped, "both:param", 7, 3,
         [](int64_t i, int64_t j) { return i < 5 ? 5000 + 3 * i + j : 4000 + 3 * (i - 5) + j; });
  for (int64_t layer = 0; layer < 3; ++layer) {
    expect(*mapped, fmt::format("q.{}:param", layer), 6, 2,
           [&](int64_t i, int64_t j) { return 2000 + 24 * layer + 2 * (i / 2 * 4 + i % 2) + j; });
    expect(*mapped, fmt::format("k.{}:param", layer), 2, 3,
           [&](int64_t i, int64_t j) { return 2000 + 24 * layer + 2 * (4 * j + 2) + i; });
  }
}

TEST(NameMap, AWrongRuleIsNamedWithItsLine) {
  const auto fault = [](const std::string& rules) {
    try {
      map(rules);
      return std::string();
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  struct Case {
    const char *rules, *line, *found;
  };
  for (const Case& c : {
           Case{"[[rule]]\nto='a'\nfrom='nothing'\n", ":1", "no tensor 'nothing'"},
           Case{"[[rule]]\nto='a'\nfrom='w1'\nparts=[0,2]\n", ":4", "'parts'"},
           Case{"\n[[rule]]\nto='a'\nfrom='w2'\npart=[0,2]\n", ":2", "w2 (param) f32 [5, 3]"},
           Case{"[[rule]]\nto='a'\nfrom='w2'\nrange=[4,2]\n", ":1", "2 from 4 on, of 5"},
           Case{"[[rule]]\nto='a'\nfrom='w2'\nrange=[-1,2]\n", ":1", "2 from -1 on, of 5"},
           Case{"[[rule]]\nto='a'\nfrom='stack'\ntranspose=true\n", ":1", "stack"},
           Case{"[[rule]]\nto='a'\nfrom='w2'\ndim=2\npart=[0,1]\n", ":1", "w2"},
           Case{"[[rule]]\nto='a'\nfrom='w2'\ndrop='w1'\n", ":1", "neither to and from, nor drop alone"},
           Case{"[[rule]]\nto='a'\nfrom='h.*.fc'\n", ":1", "'a' (param) is made by two rules"},
           Case{"[[rule]]\nto='a'\nfrom=['w1','w3']\n", ":1", "no 'w3' (param)"},
           Case{"[[rule]]\nto='a'\nfrom=['w1','h.0.fc']\n", ":1", "beside"},
           Case{"[[rule]]\nto='*.*'\nfrom='h.*.fc'\n", ":2", "*.*"},
           Case{"[[rule]\n", ":1", ""},
           Case{"x=1\n", ":1", "no list of rules alone"},
       }) {
    EXPECT_THAT(fault(c.rules), HasSubstr(std::string("/map.toml") + c.line)) << c.rules;
    EXPECT_THAT(fault(c.rules), HasSubstr(c.found)) << c.rules;
  }
  EXPECT_THAT(fault(kDropRest), HasSubstr("tensors that no rule of the map takes"));
  EXPECT_THAT(fault(kDropRest), HasSubstr("h.7.fc (param) f32 [6, 4]"));
}

}  // namespace
}  // namespace strata
