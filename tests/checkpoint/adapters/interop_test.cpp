// SPDX-License-Identifier: Apache-2.0
// Other programs read what we write, and we read what they write: safetensors' own library, transformers.
// Needs a Python with them: STRATA_INTEROP_PYTHON. Without one the tests are skipped, or fail where
// STRATA_INTEROP=required.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoint/adapters/hugging_face.h"
#include "checkpoint/adapters/safetensors_header.h"
#include "checkpoint/adapters/safetensors_sink.h"
#include "checkpoint/adapters/safetensors_source.h"
#include "checkpoint/convert.h"
#include "tests/checkpoint/adapters/memory_source.h"
#include "tests/checkpoint/adapters/python.h"
#include "tests/models/golden_model.h"

namespace strata {
namespace {

using nlohmann::json;

std::vector<TensorSpec> every_type() {
  std::vector<TensorSpec> tensors;
  for (int type = 0; type <= static_cast<int>(ElementType::boolean); ++type)
    tensors.push_back(
        {.name = fmt::format("t{}", type), .type = static_cast<ElementType>(type), .shape = {3, type % 4}});
  tensors.push_back({.name = "scalar", .shape = {}});
  return tensors;
}

TEST(Interop, SafetensorsReadsOursAndWeReadTheirs) {
  Python python;
  NEEDS(python.there());
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  const MemorySource source(every_type());
  WorkerPool pool(2);
  SafetensorsSink sink(*files, folder.path() + "/ours", {.piece_bytes = 16});
  sink.declare(every_type(), {}, {});
  convert_tensors(source, sink, pool, nullptr);
  sink.commit();
  const auto said =
      python.run("safetensors_test.py", fmt::format("read '{}/ours/model.safetensors'", folder.path()), {});
  ASSERT_TRUE(said && said->size() == every_type().size());
  for (const TensorSpec& tensor : every_type()) {
    const json& row = said->at(tensor.name);
    EXPECT_EQ(row["dtype"], std::string(safetensors_dtype(tensor.type)));
    EXPECT_EQ(row["shape"], std::vector<int64_t>(tensor.shape.begin(), tensor.shape.end()));
    EXPECT_EQ(row["bytes"], hex(source.whole(tensor.name)));
  }
  // Their writer knows the types by other names.
  json given = json::object();
  for (const auto& [type, dtype] : {std::pair(ElementType::f32, "float32"),
                                    {ElementType::f64, "float64"},
                                    {ElementType::f16, "float16"},
                                    {ElementType::i64, "int64"},
                                    {ElementType::u8, "uint8"}}) {
    const TensorSpec tensor{.name = dtype, .type = type, .shape = {2, 5}};
    given[dtype] = {{"dtype", dtype}, {"shape", {2, 5}}, {"bytes", hex(sample_bytes(tensor))}};
  }
  python.run("safetensors_test.py", fmt::format("write '{}/theirs.safetensors'", folder.path()), given);
  const SafetensorsSource theirs(*files, folder.path() + "/theirs.safetensors");
  ASSERT_EQ(theirs.tensors().size(), given.size());
  EXPECT_EQ(theirs.metadata()["__metadata__"]["from"], "safetensors");
  for (size_t t = 0; t < theirs.tensors().size(); ++t)
    EXPECT_EQ(hex(read_whole(theirs, t)), given[theirs.tensors()[t].name]["bytes"]);
}

// The parameters of a golden model (tests/golden/make_models.py) as a source.
class GoldenSource : public MemorySource {
 public:
  explicit GoldenSource(const GoldenModel& golden) : MemorySource(specs(golden)), golden_(golden) {}
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override {
    const TensorSpec& logical = tensors()[tensor];
    copy_rect(rect, Rect::whole(logical.shape),
              reinterpret_cast<const std::byte*>(golden_.tensors.at("weight:" + logical.name).data()), rect,
              into, 4);
  }

 private:
  static std::vector<TensorSpec> specs(const GoldenModel& golden) {
    std::vector<TensorSpec> tensors;
    for (const json& entry : golden.json.at("entries")) {
      const std::string name = entry.at("name");
      if (!name.starts_with("weight:")) continue;
      TensorSpec tensor{.name = name.substr(7)};
      for (const int64_t extent : entry.at("shape")) tensor.shape.append(extent);
      tensors.push_back(tensor);
    }
    return tensors;
  }
  const GoldenModel& golden_;
};

// tests/models shows that Strata's logits are the goldens'; here transformers', of what we export, are too.
// The weights are the same f32, so only the order of sums in double precision differs; goldens are stored as
// f32.
TEST(Interop, TransformersGivesOurLogits) {
  Python python;
  NEEDS(python.there());
  for (const char* name : {"llama", "qwen2", "qwen3", "gpt2"}) {
    const TemporaryFolder folder;
    const auto files = make_posix_file_system();
    const GoldenModel golden(name);
    const GoldenSource source(golden);
    const HfModel model{.family = hf_family(golden.spec()), .spec = golden.spec()};
    EXPECT_EQ(model.family, name);
    const HfMapping mapping = to_hugging_face(model, source.tensors(), "golden");
    const MappedSource renamed(source, mapping.tensors, {}, {});
    const std::string path = folder.path() + "/model";
    SafetensorsSink sink(*files, path, {.file_bytes = 8000});
    sink.declare({renamed.tensors().begin(), renamed.tensors().end()}, {},
                 {{"config.json", make_hf_config(golden.spec(), ElementType::f32).dump()}});
    WorkerPool pool(1);
    convert_tensors(renamed, sink, pool, nullptr);
    sink.commit();

    const int64_t seq_len = golden.json.at("seq_len"), vocab = golden.spec().vocab;
    const auto ids = golden.json.at("ids").get<std::vector<int32_t>>();
    json documents = json::array();
    std::vector<int64_t> begins;
    for (size_t row = 0; row < golden.json.at("segments").size(); ++row) {
      const auto bounds = golden.json.at("segments")[row].get<std::vector<int64_t>>();
      for (size_t i = 0; i + 1 < bounds.size(); ++i) {
        begins.push_back(static_cast<int64_t>(row) * seq_len + bounds[i]);
        documents.push_back(std::vector<int32_t>(
            ids.begin() + begins.back(), ids.begin() + static_cast<int64_t>(row) * seq_len + bounds[i + 1]));
      }
    }
    const auto said = python.run("transformers_test.py", "'" + path + "'", documents);
    NEEDS(said);
    const std::vector<float>& want = golden.tensors.at("logits");
    double worst = 0;
    for (size_t d = 0; d < documents.size(); ++d) {
      ASSERT_EQ(said->at(d).size(), documents[d].size()) << name;
      for (size_t position = 0; position < documents[d].size(); ++position)
        for (int64_t v = 0; v < vocab; ++v)
          worst = std::max(
              worst,
              std::abs(
                  said->at(d)[position][static_cast<size_t>(v)].get<double>() -
                  static_cast<double>(
                      want[static_cast<size_t>((begins[d] + static_cast<int64_t>(position)) * vocab + v)])));
    }
    EXPECT_LT(worst, 2e-6) << name;
  }
}

}  // namespace
}  // namespace strata
