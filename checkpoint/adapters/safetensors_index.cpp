// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/safetensors_index.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "checkpoint/adapters/file_bytes.h"
#include "checkpoint/manifest.h"
#include "core/base/error.h"

namespace strata {
namespace {

using nlohmann::json;

constexpr int64_t kIndexBytes = int64_t{64} << 20;
constexpr size_t kTensors = 400'000, kFiles = 100'000;
constexpr int kDepth = 8;  // of what stands beside the map

// {"metadata": {...}, "weight_map": {"name": "file"}}; what else there is, is passed over.
class IndexBuilder : public json::json_sax_t {
 public:
  SafetensorsIndex index;
  std::string fault;
  bool map_seen = false;

  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(number_integer_t) override { return value(); }
  bool number_unsigned(number_unsigned_t) override { return value(); }
  bool number_float(number_float_t, const string_t&) override { return value(); }
  bool binary(binary_t&) override { return refuse("binary data"); }
  bool string(string_t& text) override {
    if (!in_map()) return value();
    if (!is_plain_name(text)) return refuse(fmt::format("the file name '{}'", text.substr(0, 80)));
    if (index.tensor_of.size() == kTensors) return refuse(fmt::format("more than {} tensors", kTensors));
    const auto [known, fresh] = file_of_.emplace(text, index.files.size());
    if (fresh) {
      if (index.files.size() == kFiles) return refuse(fmt::format("more than {} files", kFiles));
      index.files.push_back(text);
    }
    index.tensor_of.emplace_back(std::move(key_), known->second);
    return true;
  }
  bool start_object(size_t) override {
    if (depth_ == 1 && key_ == "weight_map") {
      if (map_seen) return refuse("weight_map twice");
      map_seen = at_map_ = true;
    } else if (in_map()) {
      return refuse("other than the name of a file");
    }
    return deeper();
  }
  bool start_array(size_t) override { return depth_ == 0 || in_map() ? refuse("a list") : deeper(); }
  bool end_object() override {
    if (--depth_ == 1) at_map_ = false;
    return true;
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool key(string_t& name) override {
    key_ = std::move(name);
    return !in_map() || key_.size() <= 512 || refuse("a name of more than 512 bytes");
  }
  bool parse_error(size_t byte, const std::string&, const json::exception&) override {
    return refuse(fmt::format("no JSON at byte {}", byte));
  }

 private:
  bool in_map() const { return at_map_ && depth_ == 2; }
  bool value() { return !in_map() || refuse("other than the name of a file"); }
  bool deeper() { return ++depth_ <= kDepth || refuse(fmt::format("more than {} levels", kDepth)); }
  bool refuse(std::string found) {
    if (fault.empty()) fault = std::move(found);
    return false;
  }

  int depth_ = 0;
  bool at_map_ = false;
  std::string key_;
  std::map<std::string, size_t> file_of_;
};

}  // namespace

SafetensorsIndex read_safetensors_index(FileSystem& files, const std::string& path) {
  const auto refuse = [&](std::string found) {
    throw Error(Fault::model, {.what = "the index of a sharded model cannot be read",
                               .where = path,
                               .found = std::move(found),
                               .expected = R"({"weight_map": {"tensor": "file.safetensors", ...}})"});
  };
  const auto file = files.open(path, OpenMode::read_plain);
  const int64_t bytes = file->size();
  if (bytes > kIndexBytes) refuse(fmt::format("{} bytes", bytes));
  FileBytes text(*file, 0, bytes);
  IndexBuilder builder;
  const bool parsed =
      bytes > 0 && json::sax_parse(FileBytes::Iterator(text), FileBytes::Iterator(), &builder);
  if (!parsed || !builder.fault.empty()) refuse(builder.fault.empty() ? "no JSON" : builder.fault);
  if (!builder.map_seen) refuse("no weight_map");
  auto& names = builder.index.tensor_of;
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end(),
                                        [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twice != names.end()) refuse(fmt::format("tensor '{}' twice", twice->first));
  return std::move(builder.index);
}

}  // namespace strata
