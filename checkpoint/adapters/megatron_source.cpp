// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/megatron_source.h"

#include <algorithm>
#include <map>

#include "checkpoint/adapters/megatron_model.h"
#include "checkpoint/adapters/stored_tensors.h"
#include "checkpoint/adapters/torch_archive.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr std::string_view kShardFile = "/model_optim_rng.pt", kModelPrefix = "model.",
                           kShardLayers = "decoder.layers.";

[[noreturn]] void refuse(const std::string& where, std::string found, std::string expected = {}) {
  throw Error(Fault::model, {.what = "this checkpoint of Megatron cannot be read",
                             .where = where,
                             .found = std::move(found),
                             .expected = std::move(expected)});
}

// "mp_rank_01_003": tensor part 1 of stage 3.
std::optional<std::pair<int, int>> shard_ranks(const std::string& name) {
  constexpr std::string_view kPrefix = "mp_rank_";
  const auto digits = [&](size_t at, size_t count) {
    return name.find_first_not_of("0123456789", at) >= at + count;
  };
  if (!name.starts_with(kPrefix) || (name.size() != 10 && name.size() != 14) || !digits(8, 2))
    return std::nullopt;
  if (name.size() == 10) return std::pair(std::stoi(name.substr(8, 2)), 0);
  if (name[10] != '_' || !digits(11, 3)) return std::nullopt;
  return std::pair(std::stoi(name.substr(8, 2)), std::stoi(name.substr(11, 3)));
}

// How ranks cut a tensor: along a dim, its parts apart (gate and up), or not at all.
struct Cut {
  int dim = -1;  // none: every rank has all of it
  int64_t parts = 1;
};
Cut cut_of(const std::string& name, bool gated) {
  const auto is = [&](std::string_view what) { return name.find(what) != std::string::npos; };
  if (is("layer_norm_") || is("layernorm")) return {};
  if (is("word_embeddings.weight") || name.starts_with("output_layer.") || is(".linear_qkv."))
    return {.dim = 0};
  if (is(".linear_fc1.")) return {.dim = 0, .parts = gated ? 2 : 1};
  if (is(".linear_proj.weight") || is(".linear_fc2.weight")) return {.dim = 1};
  return {};
}

}  // namespace

class MegatronSource::Parts : public StoredTensors {
 public:
  Parts(FileSystem& files, std::string path) : StoredTensors(files), path_(std::move(path)) {}
  std::string format() const override { return "Megatron"; }
  std::string path() const override { return path_; }
  const nlohmann::json& metadata() const override { return metadata_; }

  TorchArchive open(const std::string& path) {
    file_ = add_file(path);
    return read_torch_archive(*file(file_));
  }
  // Of the archive opened last.
  size_t add_part(TensorSpec tensor, const TorchPlace& place) {
    check_logical(tensor, path_);
    add({.logical = std::move(tensor), .file = file_, .offset = place.offset, .strides = place.strides});
    return tensors().size() - 1;
  }

 private:
  std::string path_;
  size_t file_ = 0;
  nlohmann::json metadata_ = nlohmann::json::object();
};

bool MegatronSource::recognises(FileSystem& files, const std::string& path) {
  return files.info(path + "/mp_rank_00" + std::string(kShardFile)) ||
         files.info(path + "/mp_rank_00_000" + std::string(kShardFile));
}

MegatronSource::MegatronSource(FileSystem& files, const std::string& path) : AssembledSource(path) {
  std::map<std::pair<int, int>, std::string> folders;  // by stage and tensor part
  const auto names = files.list(path).value_or(std::vector<std::string>());
  for (const std::string& name : names)
    if (const auto place = shard_ranks(name)) folders[{place->second, place->first}] = path + "/" + name;
  const int stages = folders.rbegin()->first.first + 1, ranks = folders.rbegin()->first.second + 1;
  if (std::ssize(folders) != int64_t{stages} * ranks)
    refuse(path, fmt::format("{} folders mp_rank_*", folders.size()),
           fmt::format("{} of tensor and {} of pipeline parallelism", ranks, stages));
  auto parts = std::make_unique<Parts>(files, path);
  std::map<std::string, MappedTensor> wholes;
  nlohmann::json metadata = nlohmann::json::object();
  bool optimizer = false;
  int64_t first_layer = 0;
  for (int stage = 0; stage < stages; ++stage) {
    int64_t layers = 0;
    for (int rank = 0; rank < ranks; ++rank) {
      const auto folder = folders.find({stage, rank});
      if (folder == folders.end()) refuse(path, fmt::format("no part {} of stage {}", rank, stage));
      const std::string file = folder->second + std::string(kShardFile);
      const TorchArchive archive = parts->open(file);
      if (stage == 0 && rank == 0) {
        model_ = parse_megatron_args(archive.pickle, file);
        if (const PickleNode* const step =
                archive.pickle.find(archive.pickle[archive.pickle.root], "iteration");
            step && step->kind == PickleNode::Kind::integer && step->text.empty() && step->integer >= 0)
          metadata["step"] = step->integer;
      }
      const bool gated = !model_ || model_->spec.arch != "gpt2";
      for (const TorchPlace& place : archive.tensors) {
        std::string name = place.logical.name;
        if (name.starts_with("model0.")) refuse(file, "several virtual stages", "one model a rank");
        if (!name.starts_with(kModelPrefix)) {
          optimizer = optimizer || name.starts_with("optimizer");
          continue;
        }
        name.erase(0, kModelPrefix.size());
        if (name.starts_with("language_model."))
          refuse(file, name, "a model of megatron-core: convert it with Megatron's tools/checkpoint first");
        if (name.starts_with(kShardLayers)) {
          const size_t end = name.find('.', kShardLayers.size());
          const std::string number = name.substr(kShardLayers.size(), end - kShardLayers.size());
          if (end == std::string::npos || number.empty() || number.size() > 6 ||
              number.find_first_not_of("0123456789") != std::string::npos)
            refuse(file, name, "a layer's number");
          layers = std::max(layers, int64_t{std::stoi(number)} + 1);
          name = fmt::format("{}{}{}", kShardLayers, std::stoi(number) + first_layer, name.substr(end));
        }
        const Cut cut = cut_of(name, gated);
        const bool whole = cut.dim < 0 || ranks == 1;
        if (whole && wholes.contains(name)) continue;  // another's copy
        TensorSpec part = place.logical;
        part.name = name;
        const size_t index = parts->add_part(part, place);
        if (!whole && (part.shape.rank() <= cut.dim || part.shape[cut.dim] % cut.parts != 0))
          refuse(file, to_string(part), fmt::format("{} parts of dim {}", cut.parts, cut.dim));
        const auto [made, fresh] = wholes.try_emplace(name, MappedTensor{part, {}});
        if (whole) {
          made->second.pieces.push_back(whole_piece(index, part.shape));
          continue;
        }
        Shape& shape = made->second.logical.shape;
        if (fresh) shape.set(cut.dim, part.shape[cut.dim] * ranks);
        const int64_t extent = part.shape[cut.dim] / cut.parts;
        for (int64_t p = 0; p < cut.parts; ++p) {
          MappedPiece piece = whole_piece(index, part.shape);
          piece.begin.set(cut.dim, p * extent);
          piece.target.extent.set(cut.dim, extent);
          piece.target.begin.set(cut.dim, (p * ranks + rank) * extent);
          made->second.pieces.push_back(piece);
        }
      }
    }
    first_layer += layers;
  }
  if (optimizer) left_out_.push_back("optimizer: the state of its ranks, which is not read");
  std::vector<MappedTensor> tensors;
  for (auto& [name, tensor] : wholes) tensors.push_back(std::move(tensor));
  assemble(fmt::format("Megatron, {} x {} parts", ranks, stages), std::move(parts), std::move(tensors),
           std::move(metadata));
}

}  // namespace strata
