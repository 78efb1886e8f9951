// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/universal_source.h"

#include <map>

#include "checkpoint/adapters/deepspeed_files.h"
#include "checkpoint/adapters/deepspeed_shapes.h"
#include "checkpoint/adapters/torch_archive.h"
#include "checkpoint/adapters/torch_state.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr std::string_view kUniversalTracker = "latest_universal", kFolder = "/zero";
constexpr std::string_view kParameter = "fp32", kSuffix = ".pt";

[[noreturn]] void refuse(const std::string& where, std::string found, std::string expected = {}) {
  throw Error(Fault::model, {.what = "this universal checkpoint of DeepSpeed cannot be read",
                             .where = where,
                             .found = std::move(found),
                             .expected = std::move(expected)});
}

}  // namespace

bool UniversalSource::recognises(FileSystem& files, const std::string& path) {
  const auto folder = deepspeed_folder(files, path, kUniversalTracker);
  return folder && is_folder(files, *folder + std::string(kFolder)) &&
         files.info(*folder + std::string(kFolder) + "/optimizer_state.pt");
}

UniversalSource::UniversalSource(FileSystem& files, const std::string& path)
    : StoredTensors(files), path_(deepspeed_folder(files, path, kUniversalTracker).value()) {
  // A job of ZeRO-3 leaves flat tensors: their shapes are in the model states beside.
  std::map<std::string, Shape> shapes;
  const auto beside = files.list(path_).value_or(std::vector<std::string>());
  for (const std::string& name : beside) {
    if (!name.ends_with("_model_states.pt")) continue;
    const std::string file = fmt::format("{}/{}", path_, name);
    const TorchArchive archive = read_torch_archive(*files.open(file, OpenMode::read_plain));
    for (const auto& group : read_deepspeed_shapes(archive.pickle, "param_shapes", file))
      for (const DeepspeedParameter& parameter : group) shapes.emplace(parameter.name, parameter.shape);
    for (const auto& group : read_deepspeed_shapes(archive.pickle, "frozen_param_shapes", file))
      for (const DeepspeedParameter& parameter : group)
        if (!is_folder(files, fmt::format("{}{}/{}", path_, kFolder, parameter.name)))
          left_out_.push_back(fmt::format("{} {}: frozen, and left out by DeepSpeed's converter",
                                          parameter.name, parameter.shape));
    if (const PickleNode* const step =
            archive.pickle.find(archive.pickle[archive.pickle.root], "global_steps");
        step && step->kind == PickleNode::Kind::integer && step->text.empty() && step->integer >= 0)
      metadata_["step"] = step->integer;
    break;  // ranks say the same
  }
  const std::string zero = path_ + std::string(kFolder);
  const auto names = files.list(zero).value_or(std::vector<std::string>());
  for (const std::string& name : names) {
    const std::string entry = fmt::format("{}/{}", zero, name);
    if (files.is_link(entry)) refuse(entry, "a symbolic link");
    const auto shape = shapes.find(name);
    if (is_folder(files, entry))
      read_parameter(files, name, shape == shapes.end() ? nullptr : &shape->second);
  }
  const TorchArchive rest =
      read_torch_archive(*files.open(zero + "/optimizer_state.pt", OpenMode::read_plain));
  metadata_["values"]["optimizer_state"] = to_string(rest.pickle, rest.pickle.root, 4000);
}

void UniversalSource::read_parameter(FileSystem& files, const std::string& name, const Shape* shape) {
  const std::string folder = fmt::format("{}{}/{}", path_, kFolder, name);
  const auto names = files.list(folder).value_or(std::vector<std::string>());
  std::optional<Shape> whole;
  for (const bool first : {true, false})  // the parameter, then what is kept for it
    for (const std::string& file : names) {
      if (!file.ends_with(kSuffix)) continue;
      const std::string key = file.substr(0, file.size() - kSuffix.size());
      if ((key == kParameter) != first) continue;
      const std::string at = fmt::format("{}/{}", folder, file);
      const size_t index = add_file(at);
      const TorchArchive archive = read_torch_archive(*this->file(index));
      if (key == "step") {
        metadata_["values"][name + ".step"] = to_string(archive.pickle, archive.pickle.root);
        continue;
      }
      // {"param": tensor, ...}, or the tensor alone, flat.
      if (archive.tensors.size() != 1 ||
          (archive.tensors[0].logical.name != "param" && !archive.tensors[0].logical.name.empty()))
        refuse(at, fmt::format("{} tensors", archive.tensors.size()), "one, or a dict with one as 'param'");
      const TorchPlace& place = archive.tensors[0];
      StoredTensor stored{.logical = place.logical, .file = index, .offset = place.offset, .strides = {}};
      stored.logical.name = name;
      stored.logical.state = first ? "param" : state_of_torch(key);
      if (place.logical.name.empty()) {
        if (!shape) refuse(at, "a flat tensor", "its shape in *_model_states.pt beside");
        const auto size = size_of(place.logical.type);
        if (place.logical.shape.rank() != 1 || place.logical.shape.numel() != shape->numel() ||
            (shape->numel() > 1 && place.strides[0] != size))
          refuse(at, to_string(place.logical), fmt::format("the {} elements of {}", shape->numel(), *shape));
        stored.logical.shape = *shape;
      } else {
        stored.strides = place.strides;
      }
      check_logical(stored.logical, at);
      if (first) whole = stored.logical.shape;
      if (!whole || stored.logical.shape != *whole)
        refuse(at, to_string(stored.logical), whole ? fmt::format("the parameter's {}", *whole) : "fp32.pt");
      add(std::move(stored));
    }
  if (!whole) refuse(folder, "no fp32.pt");
}

}  // namespace strata
