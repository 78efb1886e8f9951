// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/dcp_source.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>

#include "checkpoint/adapters/dcp_metadata.h"
#include "checkpoint/adapters/stored_tensors.h"
#include "checkpoint/adapters/torch_archive.h"
#include "checkpoint/adapters/torch_state.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr size_t kValues = 1000;
constexpr int64_t kValueBytes = int64_t{1} << 20;  // of an archive that is shown as text

// No two parts may share bytes: one would be read as the other.
void check_overlaps(const DcpMetadata& metadata, const std::string& folder) {
  std::vector<std::pair<DcpItem, const std::string*>> items;
  for (const DcpMetadata::Tensor& tensor : metadata.tensors)
    for (const DcpChunk& chunk : tensor.chunks) items.emplace_back(chunk.item, &tensor.logical.name);
  for (const DcpMetadata::Value& value : metadata.values) items.emplace_back(value.item, &value.name);
  std::sort(items.begin(), items.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first.file, a.first.offset) < std::tie(b.first.file, b.first.offset);
  });
  for (size_t i = 1; i < items.size(); ++i) {
    const DcpItem &before = items[i - 1].first, &item = items[i].first;
    if (before.file == item.file && item.offset < before.offset + before.bytes)
      throw Error(Fault::model,
                  {.what = "two parts of a distributed checkpoint overlap",
                   .where = folder + "/" + metadata.files[item.file],
                   .found = fmt::format("{} bytes at {} of '{}', and '{}' at {}", before.bytes, before.offset,
                                        *items[i - 1].second, *items[i].second, item.offset)});
  }
}

// A number that was saved as "step".
std::optional<int64_t> step_of(const nlohmann::json& metadata) {
  const auto text = metadata.value("values", nlohmann::json::object()).value("step", std::string());
  int64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

constexpr std::string_view kOptimizerState = "optim.state.";

bool is_step(const TensorSpec& tensor) {
  return tensor.name.starts_with(kOptimizerState) && tensor.name.ends_with(".step") &&
         tensor.shape.numel() == 1 && tensor.type == ElementType::f32;
}

// torch.distributed.checkpoint.state_dict names what an optimizer keeps for a parameter
// "optim.state.<parameter>.exp_avg": ours is the parameter's name with a state.
void name_states(std::vector<MappedTensor>& tensors) {
  std::map<std::string, Shape> shapes;
  for (const MappedTensor& tensor : tensors) shapes.emplace(tensor.logical.name, tensor.logical.shape);
  for (MappedTensor& tensor : tensors) {
    const std::string& name = tensor.logical.name;
    const size_t dot = name.rfind('.');
    if (!name.starts_with(kOptimizerState) || dot <= kOptimizerState.size()) continue;
    const std::string of = name.substr(kOptimizerState.size(), dot - kOptimizerState.size());
    std::string state = state_of_torch(name.substr(dot + 1));
    if (state == "param") continue;
    for (const std::string& parameter : {"model." + of, of})
      if (const auto there = shapes.find(parameter);
          there != shapes.end() && there->second == tensor.logical.shape) {
        tensor.logical.name = parameter;
        tensor.logical.state = std::move(state);
        break;
      }
  }
}

}  // namespace

class DcpSource::Chunks : public StoredTensors {
 public:
  Chunks(FileSystem& files, const std::string& folder, const DcpMetadata& metadata)
      : StoredTensors(files), path_(folder) {
    for (const std::string& name : metadata.files) add_file(folder + "/" + name);
  }
  std::string format() const override { return "DCP"; }
  std::string path() const override { return path_; }
  const nlohmann::json& metadata() const override { return metadata_; }

  // Returns the index of the part among tensors().
  size_t add_chunk(const TensorSpec& whole, const DcpChunk& chunk) {
    const auto opened = file(chunk.item.file);
    const TorchArchive archive = read_torch_archive(*opened, chunk.item.offset, chunk.item.bytes);
    const TensorSpec part{.name = whole.name, .type = whole.type, .shape = chunk.rect.extent};
    if (archive.tensors.size() != 1 || !archive.tensors[0].logical.name.empty() ||
        archive.tensors[0].logical.type != part.type || archive.tensors[0].logical.shape != part.shape)
      throw Error(
          Fault::model,
          {.what = fmt::format("a part of '{}' is not what the metadata says", whole.name),
           .where = fmt::format("{}, {} bytes at {}", opened->path(), chunk.item.bytes, chunk.item.offset),
           .found = archive.tensors.empty() ? "no tensor" : to_string(archive.tensors[0].logical),
           .expected = to_string(part)});
    add({.logical = part,
         .file = chunk.item.file,
         .offset = archive.tensors[0].offset,
         .strides = archive.tensors[0].strides});
    return tensors().size() - 1;
  }

  std::string text_of(const DcpItem& item) const {
    if (item.bytes > kValueBytes) return fmt::format("{} bytes", item.bytes);
    const auto opened = file(item.file);
    std::array<std::byte, 2> begin{};
    if (item.bytes < 2 || opened->read_up_to(item.offset, begin) < 2 || begin[0] != std::byte{'P'} ||
        begin[1] != std::byte{'K'})
      return fmt::format("{} bytes", item.bytes);  // a program's own, no torch.save
    const TorchArchive archive = read_torch_archive(*opened, item.offset, item.bytes);
    return to_string(archive.pickle, archive.pickle.root, 2000);
  }

 private:
  std::string path_;
  nlohmann::json metadata_ = nlohmann::json::object();
};

DcpSource::DcpSource(FileSystem& files, const std::string& folder, Names names) : AssembledSource(folder) {
  const DcpMetadata stored = read_dcp_metadata(files, folder);
  check_overlaps(stored, folder);
  auto chunks = std::make_unique<Chunks>(files, folder, stored);
  nlohmann::json metadata = nlohmann::json::object();
  for (size_t i = 0; i < std::min(stored.values.size(), kValues); ++i)
    metadata["values"][stored.values[i].name] = chunks->text_of(stored.values[i].item);
  std::vector<MappedTensor> tensors;
  std::optional<float> step;
  int64_t steps = 0;
  for (const DcpMetadata::Tensor& tensor : stored.tensors) {
    if (is_step(tensor.logical) && tensor.chunks.size() == 1) {
      float value = 0;
      const size_t part = chunks->add_chunk(tensor.logical, tensor.chunks[0]);
      chunks->read(part, Rect::whole(tensor.logical.shape),
                   row_major(reinterpret_cast<std::byte*>(&value), tensor.logical.shape, sizeof(value)));
      step = std::max(step.value_or(value), value);
      ++steps;
      continue;
    }
    MappedTensor whole{.logical = tensor.logical, .pieces = {}};
    for (const DcpChunk& chunk : tensor.chunks) {
      MappedPiece piece = whole_piece(chunks->add_chunk(tensor.logical, chunk), chunk.rect.extent);
      piece.target.begin = chunk.rect.begin;
      whole.pieces.push_back(piece);
    }
    tensors.push_back(std::move(whole));
  }
  name_states(tensors);
  constexpr std::string_view kModel = "model.";
  if (names == Names::in_state_dict)
    for (MappedTensor& tensor : tensors)
      if (tensor.logical.name.starts_with(kModel)) tensor.logical.name.erase(0, kModel.size());
  if (steps > 0)
    left_out_.push_back(fmt::format("optim.state.*.step: {} times the step, {}", steps, step.value()));
  if (const auto counted = step_of(metadata)) {
    metadata["step"] = *counted;
  } else if (step && *step >= 0 && *step < 1e15F) {
    metadata["step"] = static_cast<int64_t>(*step);
  }
  assemble(fmt::format("PyTorch DCP, {} file{}", stored.files.size(), stored.files.size() == 1 ? "" : "s"),
           std::move(chunks), std::move(tensors), std::move(metadata));
}

bool DcpSource::recognises(FileSystem& files, const std::string& path) {
  return files.info(path + "/" + std::string(kDcpMetadataName)).has_value();
}

}  // namespace strata
