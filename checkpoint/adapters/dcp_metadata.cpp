// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/dcp_metadata.h"

#include <algorithm>
#include <map>
#include <optional>

#include "checkpoint/adapters/pickle.h"
#include "checkpoint/adapters/torch_pickle.h"
#include "checkpoint/manifest.h"
#include "core/base/error.h"

namespace strata {
namespace {

using Kind = PickleNode::Kind;

constexpr size_t kTensors = 400'000, kFiles = 100'000;

class Reader {
 public:
  Reader(const Pickle& pickle, const std::string& where) : pickle_(pickle), where_(where) {}

  DcpMetadata run() {
    const PickleNode& root = object(pickle_.root, "Metadata");
    read_storage(dict(root, "storage_data"));
    const PickleNode& tensors = dict(root, "state_dict_metadata");
    for (size_t i = 0; i + 1 < tensors.items.size(); i += 2) {
      const PickleNode& key = pickle_[tensors.items[i]];
      if (key.kind != Kind::text) refuse("a tensor without a name");
      if (!names_.emplace(key.text, 0).second) refuse("'" + key.text.substr(0, 200) + "' twice");
      read_entry(key.text, tensors.items[i + 1]);
    }
    return std::move(metadata_);
  }

 private:
  [[noreturn]] void refuse(std::string found) const {
    throw Error(Fault::model, {.what = "the metadata of a distributed checkpoint cannot be read",
                               .where = where_,
                               .found = std::move(found),
                               .expected = "what torch.distributed.checkpoint writes"});
  }

  const PickleNode* item(const PickleNode& node, size_t i) const {
    return i < node.items.size() ? &pickle_[node.items[i]] : nullptr;
  }
  bool is_object(const PickleNode& node, std::string_view type) const {
    const PickleNode* const callable = node.kind == Kind::call ? item(node, 0) : nullptr;
    if (!callable || callable->kind != Kind::global) return false;
    const std::string_view name = callable->text;
    return name.starts_with("torch.distributed.checkpoint.") && name.ends_with(type) &&
           name[name.size() - type.size() - 1] == '.';
  }
  // The attributes of an object of a class of DCP: what it would be given after it was made.
  const PickleNode& object(uint32_t index, std::string_view type) const {
    const PickleNode& node = pickle_[index];
    const PickleNode* const state = item(node, 2);
    if (!is_object(node, type) || !state || node.items.size() != 3)
      refuse(fmt::format("{} where a {} should be", to_string(pickle_, index, 80), type));
    return *state;
  }
  const PickleNode& field(const PickleNode& state, std::string_view name, Kind kind) const {
    const PickleNode* const found = pickle_.find(state, name);
    if (!found || found->kind != kind) refuse(fmt::format("no '{}'", name));
    return *found;
  }
  const PickleNode& dict(const PickleNode& state, std::string_view name) const {
    return field(state, name, Kind::dict);
  }
  int64_t number(const PickleNode& node) const {
    constexpr int64_t kMost = int64_t{1} << 60;
    if (node.kind != Kind::integer || !node.text.empty() || node.integer < 0 || node.integer > kMost)
      refuse("a size that is none");
    return node.integer;
  }
  // torch.Size((3, 4))
  Shape size(const PickleNode& node) const {
    const PickleNode *const callable = item(node, 0), *const arguments = item(node, 1);
    const PickleNode* const extents = arguments ? item(*arguments, 0) : nullptr;
    if (node.kind != Kind::call || callable->text != "torch.Size" || !extents ||
        (extents->kind != Kind::tuple && extents->kind != Kind::list) ||
        extents->items.size() > static_cast<size_t>(Shape::kMaxRank))
      refuse("a shape that is none");
    Shape shape;
    for (const uint32_t extent : extents->items) shape.append(number(pickle_[extent]));
    return shape;
  }
  Shape size_field(const PickleNode& state, std::string_view name) const {
    return size(field(state, name, Kind::call));
  }

  static std::string key_of(const std::string& name, const std::optional<Shape>& offset) {
    return offset ? fmt::format("{}\n{}", name, *offset) : name;
  }

  void read_storage(const PickleNode& entries) {
    for (size_t i = 0; i + 1 < entries.items.size(); i += 2) {
      const PickleNode &index = object(entries.items[i], "MetadataIndex"),
                       &info = object(entries.items[i + 1], "_StorageInfo");
      const std::string& name = field(index, "fqn", Kind::text).text;
      std::optional<Shape> offset;
      if (const PickleNode* const at = pickle_.find(index, "offset"); at && at->kind != Kind::none)
        offset = size(*at);
      if (const PickleNode* const coded = pickle_.find(info, "transform_descriptors");
          coded && coded->kind != Kind::none && !coded->items.empty())
        refuse(fmt::format("'{}' is compressed or encrypted by an extension", name.substr(0, 200)));
      const std::string& path = field(info, "relative_path", Kind::text).text;
      if (!is_plain_name(path)) refuse(fmt::format("the file name '{}'", path.substr(0, 80)));
      const auto [file, fresh] = files_.emplace(path, metadata_.files.size());
      if (fresh) {
        if (metadata_.files.size() == kFiles) refuse(fmt::format("more than {} files", kFiles));
        metadata_.files.push_back(path);
      }
      const DcpItem there{.file = file->second,
                          .offset = number(field(info, "offset", Kind::integer)),
                          .bytes = number(field(info, "length", Kind::integer))};
      if (!storage_.emplace(key_of(name, offset), there).second)
        refuse(fmt::format("two places for '{}'", name.substr(0, 200)));
    }
  }

  const DcpItem& place_of(const std::string& name, const std::optional<Shape>& offset) const {
    const auto found = storage_.find(key_of(name, offset));
    if (found == storage_.end())
      refuse(fmt::format("'{}'{} lies in no file", name.substr(0, 200),
                         offset ? fmt::format(" at {}", *offset) : ""));
    return found->second;
  }

  void read_entry(const std::string& name, uint32_t index) {
    if (is_object(pickle_[index], "BytesStorageMetadata")) {
      metadata_.values.push_back({name, place_of(name, std::nullopt)});
      return;
    }
    const PickleNode& state = object(index, "TensorStorageMetadata");
    // (dtype, layout, requires_grad, memory format, pin_memory[, strides])
    const PickleNode& properties = [&]() -> const PickleNode& {
      const PickleNode& made = field(state, "properties", Kind::call);
      const PickleNode* const tuple = item(made, 2);
      if (!is_object(made, "TensorProperties") || !tuple || tuple->kind != Kind::tuple)
        refuse(fmt::format("'{}' without properties", name.substr(0, 200)));
      return *tuple;
    }();
    const PickleNode* const dtype = item(properties, 0);
    const auto type =
        dtype && dtype->kind == Kind::global ? element_type_of_torch(dtype->text) : std::nullopt;
    if (!type)
      refuse(fmt::format("'{}' of type {}", name.substr(0, 200), dtype ? dtype->text.substr(0, 80) : "none"));
    DcpMetadata::Tensor tensor{.logical = {.name = name, .type = *type, .shape = size_field(state, "size")}};
    check_logical(tensor.logical, where_);
    const PickleNode& chunks = field(state, "chunks", Kind::list);
    for (const uint32_t i : chunks.items) {
      const PickleNode& chunk = object(i, "ChunkStorageMetadata");
      const Rect rect{.begin = size_field(chunk, "offsets"), .extent = size_field(chunk, "sizes")};
      bool inside = rect.begin.rank() == tensor.logical.shape.rank() &&
                    rect.extent.rank() == tensor.logical.shape.rank();
      for (int d = 0; inside && d < rect.extent.rank(); ++d)
        inside = rect.begin[d] <= tensor.logical.shape[d] &&
                 rect.extent[d] <= tensor.logical.shape[d] - rect.begin[d];
      if (!inside)
        refuse(fmt::format("a part at {} + {} of {}", rect.begin, rect.extent, to_string(tensor.logical)));
      // A rank beyond the last row has a part without elements, at the place of which another may lie.
      if (rect.numel() > 0) tensor.chunks.push_back({rect, place_of(name, rect.begin)});
    }
    if (metadata_.tensors.size() == kTensors) refuse(fmt::format("more than {} tensors", kTensors));
    metadata_.tensors.push_back(std::move(tensor));
  }

  const Pickle& pickle_;
  const std::string& where_;
  DcpMetadata metadata_;
  std::map<std::string, size_t> files_, names_;
  std::map<std::string, DcpItem> storage_;  // by name and first element
};

}  // namespace

DcpMetadata read_dcp_metadata(FileSystem& files, const std::string& folder) {
  const std::string path = folder + "/" + std::string(kDcpMetadataName);
  const auto file = files.open(path, OpenMode::read_plain);
  const int64_t bytes = file->size();
  // About six bytes of the file make a value.
  PickleLimits limits;
  limits.nodes = std::clamp(static_cast<size_t>(bytes) / 4, limits.nodes, size_t{4'000'000});
  limits.items = std::max(limits.items, 2 * limits.nodes);
  limits.text_bytes = std::clamp(static_cast<size_t>(bytes), limits.text_bytes, size_t{64} << 20);
  FileBytes content(*file, 0, bytes);
  const Pickle pickle = read_pickle(content, path, limits);
  return Reader(pickle, path).run();
}

}  // namespace strata
