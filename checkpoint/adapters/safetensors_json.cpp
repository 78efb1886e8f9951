// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/safetensors_json.h"

#include "checkpoint/adapters/file_bytes.h"
#include "core/base/error.h"

namespace strata {
namespace {

using nlohmann::json;

constexpr size_t kMetadataEntries = 10'000;

// {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {"key": "text"}}
class HeaderBuilder : public json::json_sax_t {
 public:
  SafetensorsHeader take() { return std::move(header_); }
  const std::string& fault() const { return fault_; }

  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("true or false"); }
  bool number_integer(number_integer_t) override { return refuse("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return refuse("a number with a point"); }
  bool binary(binary_t&) override { return refuse("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::shape && place_ != Place::offsets) return refuse("a number");
    if (value > (uint64_t{1} << 62)) return refuse(fmt::format("the number {}", value));
    const size_t most = place_ == Place::shape ? size_t{Shape::kMaxRank} : 2;
    if (numbers_.size() == most)
      return refuse(place_ == Place::shape ? fmt::format("more than {} dims", most)
                                           : "more than two offsets");
    numbers_.push_back(static_cast<int64_t>(value));
    return true;
  }
  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      if (header_.metadata.size() == kMetadataEntries) return refuse("too many entries in __metadata__");
      if (!header_.metadata.emplace(key_, value).second)
        return refuse(fmt::format("'{}' twice", key_.substr(0, 80)));
      return true;
    }
    if (place_ != Place::tensor || key_ != "dtype") return refuse("a text");
    const auto type = safetensors_type(value);
    if (!type)
      return refuse(fmt::format("dtype '{}', which no checkpoint of ours holds", value.substr(0, 20)));
    entry_.type = *type;
    return true;
  }
  bool start_object(size_t) override {
    if (place_ == Place::nothing) return enter(Place::file);
    if (place_ != Place::file) return refuse("an object");
    if (key_ == "__metadata__") {
      if (metadata_seen_) return refuse("'__metadata__' twice");
      metadata_seen_ = true;
      return enter(Place::metadata);
    }
    entry_ = {.name = key_};
    seen_ = 0;
    return enter(Place::tensor);
  }
  bool end_object() override {
    if (place_ == Place::tensor) {
      if (seen_ != 7) return refuse("one of dtype, shape and data_offsets missing");
      if (header_.entries.size() == kSafetensorsTensors)
        return refuse(fmt::format("more than {} tensors", kSafetensorsTensors));
      header_.entries.push_back(std::move(entry_));
    }
    return enter(place_ == Place::file ? Place::nothing : Place::file);
  }
  bool start_array(size_t) override {
    if (place_ != Place::tensor || key_ == "dtype") return refuse("a list");
    numbers_.clear();
    return enter(key_ == "shape" ? Place::shape : Place::offsets);
  }
  bool end_array() override {
    if (place_ == Place::shape) {
      entry_.shape = {};
      for (const int64_t extent : numbers_) entry_.shape.append(extent);
    } else {
      if (numbers_.size() != 2) return refuse("other than two offsets");
      entry_.begin = numbers_[0];
      entry_.end = numbers_[1];
    }
    return enter(Place::tensor);
  }
  bool key(string_t& name) override {
    key_ = std::move(name);
    if (key_.size() > 512 && place_ == Place::file) return refuse("a name of more than 512 bytes");
    if (place_ != Place::tensor) return true;
    const int bit = key_ == "dtype" ? 1 : key_ == "shape" ? 2 : key_ == "data_offsets" ? 4 : 0;
    if (bit == 0) return refuse(fmt::format("the key '{}'", key_.substr(0, 80)));
    if (seen_ & bit) return refuse(fmt::format("{} twice", key_));
    seen_ |= bit;
    return true;
  }
  bool parse_error(size_t byte, const std::string&, const json::exception&) override {
    return refuse(fmt::format("no JSON at byte {}", byte));
  }

 private:
  enum class Place { nothing, file, metadata, tensor, shape, offsets };

  bool enter(Place place) {
    place_ = place;
    return true;
  }
  bool refuse(std::string found) {
    if (fault_.empty())
      fault_ = place_ == Place::tensor || place_ == Place::shape || place_ == Place::offsets
                   ? fmt::format("tensor '{}' has {}", entry_.name, found)
                   : std::move(found);
    return false;
  }

  Place place_ = Place::nothing;
  SafetensorsHeader header_;
  SafetensorsEntry entry_;
  int seen_ = 0;  // bits: dtype, shape, data_offsets
  bool metadata_seen_ = false;
  std::string key_;
  std::vector<int64_t> numbers_;
  std::string fault_;
};

}  // namespace

SafetensorsHeader parse_safetensors_json(File& file, int64_t offset, int64_t bytes) {
  FileBytes text(file, offset, bytes);
  HeaderBuilder builder;
  std::string fault = "other than an object at its begin";
  if (bytes > 0 && text.peek() == '{') {
    if (json::sax_parse(FileBytes::Iterator(text), FileBytes::Iterator(), &builder) &&
        builder.fault().empty())
      return builder.take();
    fault = builder.fault().empty() ? "no JSON" : builder.fault();
  }
  throw Error(Fault::model,
              {.what = "the header of a safetensors file cannot be read",
               .where = file.path(),
               .found = fault,
               .expected = R"("name": {"dtype": ..., "shape": [...], "data_offsets": [begin, end]})"});
}

}  // namespace strata
