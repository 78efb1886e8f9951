// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/converter.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

#include "checkpoint/adapters/hf_config.h"
#include "checkpoint/adapters/hugging_face.h"
#include "checkpoint/adapters/model_tensors.h"
#include "checkpoint/adapters/safetensors_header.h"
#include "checkpoint/adapters/safetensors_index.h"
#include "checkpoint/adapters/safetensors_sink.h"
#include "checkpoint/convert.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "launch/bench/child_process.h"
#include "launch/metrics/humanize.h"

namespace strata {
namespace {

// A model's tensors, of our names, in bf16. Elements are hashes of their places.
class RandomModel : public TensorSource {
 public:
  explicit RandomModel(const ModelSpec& spec) {
    for (const ModelTensor& tensor : model_tensors(spec))
      tensors_.push_back(
          {.name = tensor.name, .type = ElementType::bf16, .shape = tensor.shape, .role = tensor.role});
  }
  std::string format() const override { return "random"; }
  std::string path() const override { return "random"; }
  std::span<const TensorSpec> tensors() const override { return tensors_; }
  const nlohmann::json& metadata() const override { return metadata_; }
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override {
    std::vector<std::byte> bytes(static_cast<size_t>(rect.numel() * size_of(tensors_[tensor].type)) + 7);
    uint64_t key = hash_name(tensors_[tensor].name);
    for (const int64_t begin : rect.begin) key = hash_combine(key, static_cast<uint64_t>(begin));
    for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
      const uint64_t value = mix64(key + i);
      std::memcpy(&bytes[i], &value, 8);
    }
    copy_rect(rect, rect, bytes.data(), rect, into, size_of(tensors_[tensor].type));
  }

 private:
  std::vector<TensorSpec> tensors_;
  nlohmann::json metadata_ = nlohmann::json::object();
};

ModelSpec llama(int64_t layers, int64_t hidden, int64_t mlp, int64_t heads) {
  const nlohmann::json config = {{"model_type", "llama"},        {"num_hidden_layers", layers},
                                 {"hidden_size", hidden},        {"num_attention_heads", heads},
                                 {"num_key_value_heads", 8},     {"intermediate_size", mlp},
                                 {"vocab_size", 128256},         {"max_position_embeddings", 8192},
                                 {"tie_word_embeddings", false}, {"rms_norm_eps", 1e-5}};
  return parse_hf_config(config, "bench").spec;
}

// The folder of the model with `shards` files of holes: only headers and the index are there.
void write_holes(FileSystem& files, const std::string& path, const ModelSpec& spec,
                 std::span<const TensorSpec> tensors) {
  constexpr int64_t kFileBytes = int64_t{5} << 30;
  make_directories(files, path);
  std::vector<std::vector<SafetensorsEntry>> entries(1);
  int64_t filled = 0;
  for (const TensorSpec& tensor : tensors) {
    if (filled > 0 && filled + tensor.bytes() > kFileBytes) {
      entries.emplace_back();
      filled = 0;
    }
    filled += tensor.bytes();
    entries.back().push_back({.name = tensor.name, .type = tensor.type, .shape = tensor.shape});
  }
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (size_t f = 0; f < entries.size(); ++f) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", f + 1, entries.size());
    const std::string header = make_safetensors_header(entries[f], {{"format", "pt"}});
    const auto file = files.open(path + "/" + name, OpenMode::create);
    file->write(0, std::as_bytes(std::span(header)));
    const std::byte last{};
    file->write(std::ssize(header) + entries[f].back().end - 1, std::span(&last, 1));
    for (const SafetensorsEntry& entry : entries[f]) map[entry.name] = name;
  }
  const nlohmann::ordered_json index = {{"metadata", nlohmann::ordered_json::object()}, {"weight_map", map}};
  replace_file(files, path + "/" + std::string(kSafetensorsIndexName), index.dump());
  replace_file(files, path + "/config.json", make_hf_config(spec, ElementType::bf16).dump());
}

ConverterBenchRow convert(std::string what, std::span<const TensorSpec> tensors,
                          std::vector<std::string> arguments) {
  ConverterBenchRow row{.what = std::move(what), .tensors = std::ssize(tensors)};
  for (const TensorSpec& tensor : tensors) {
    row.parameters += tensor.shape.numel();
    row.bytes += tensor.bytes();
  }
  arguments.insert(arguments.begin(), {"/proc/self/exe", "convert"});
  const auto outcome = run_child(arguments);
  if (!outcome || outcome->code != 0)
    throw Error(Fault::internal, {.what = "the conversion to measure failed", .found = row.what});
  row.peak_bytes = outcome->peak_bytes;
  row.seconds = outcome->seconds;
  return row;
}

}  // namespace

ConverterBench bench_converter(WorkerPool& pool, const ConverterBenchOptions& options) {
  const auto files = make_posix_file_system();
  const std::string folder = fmt::format("{}/strata-bench-{}", options.folder, ::getpid());
  make_directories(*files, folder);
  ConverterBench bench;
  try {
    const auto renamed = [](const RandomModel& model, const ModelSpec& spec) {
      return MappedSource(model,
                          to_hugging_face({.family = "llama", .spec = spec}, model.tensors(), "").tensors,
                          model.metadata(), {});
    };
    const ModelSpec large = llama(126, 16384 + 4096, 71680, 160);
    const RandomModel large_model(large);
    const MappedSource large_source = renamed(large_model, large);
    write_holes(*files, folder + "/large", large, large_source.tensors());
    bench.rows.push_back(convert("plan of files with holes", large_source.tensors(),
                                 {folder + "/large", folder + "/none", "--dry-run"}));

    const int64_t layers = std::max<int64_t>(1, (options.bytes - 1'050'000'000) / 117'000'000);
    const ModelSpec spec = llama(layers, 2048, 7168, 32);
    const RandomModel model(spec);
    const MappedSource source = renamed(model, spec);
    {
      SafetensorsSink sink(*files, folder + "/model", {.file_bytes = int64_t{2} << 30});
      sink.declare({source.tensors().begin(), source.tensors().end()}, {},
                   {{"config.json", make_hf_config(spec, ElementType::bf16).dump()}});
      convert_tensors(source, sink, pool, nullptr);
      sink.commit();
    }
    bench.rows.push_back(
        convert("converted to Strata", source.tensors(), {folder + "/model", folder + "/ours"}));
    remove_tree(*files, folder + "/model");
    bench.rows.push_back(convert("and on to PyTorch DCP", source.tensors(),
                                 {folder + "/ours", folder + "/dcp", "--to", "dcp"}));
  } catch (...) {
    remove_tree(*files, folder);
    throw;
  }
  remove_tree(*files, folder);
  return bench;
}

std::string to_text(const ConverterBench& bench) {
  std::string text = fmt::format("{:<28}{:>14}{:>9}{:>12}{:>14}{:>9}\n", "strata convert", "parameters",
                                 "tensors", "bytes", "peak memory", "s");
  bool met = true;
  for (const ConverterBenchRow& row : bench.rows) {
    text += fmt::format("{:<28}{:>14.2e}{:>9}{:>12}{:>14}{:>9.1f}\n", row.what,
                        static_cast<double>(row.parameters), row.tensors, human_bytes(row.bytes),
                        human_bytes(row.peak_bytes), row.seconds);
    met = met && row.peak_bytes <= kConverterTarget;
  }
  return text + fmt::format("target {}: {}\n", human_bytes(kConverterTarget), met ? "met" : "missed");
}

nlohmann::json to_json(const ConverterBench& bench) {
  nlohmann::json json = {
      {"bench", "converter"}, {"target_bytes", kConverterTarget}, {"rows", nlohmann::json::array()}};
  for (const ConverterBenchRow& row : bench.rows)
    json["rows"].push_back({{"what", row.what},
                            {"parameters", row.parameters},
                            {"tensors", row.tensors},
                            {"bytes", row.bytes},
                            {"peak_bytes", row.peak_bytes},
                            {"seconds", row.seconds}});
  return json;
}

}  // namespace strata
