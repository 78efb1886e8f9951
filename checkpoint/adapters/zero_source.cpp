// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/zero_source.h"

#include <algorithm>
#include <map>

#include "checkpoint/adapters/deepspeed_files.h"
#include "checkpoint/adapters/deepspeed_shapes.h"
#include "checkpoint/adapters/flat_range.h"
#include "checkpoint/adapters/stored_tensors.h"
#include "checkpoint/adapters/torch_archive.h"
#include "checkpoint/adapters/torch_state.h"
#include "core/base/error.h"

namespace strata {
namespace {

using Kind = PickleNode::Kind;

constexpr std::string_view kZeroTracker = "latest";

using Named = DeepspeedParameter;

}  // namespace

class ZeroSource::Fragments : public StoredTensors {
 public:
  Fragments(FileSystem& files, std::string folder) : StoredTensors(files), path_(std::move(folder)) {}
  std::string format() const override { return "DeepSpeed ZeRO"; }
  std::string path() const override { return path_; }
  const nlohmann::json& metadata() const override { return metadata_; }

  // One rank's file, kept open to questions while the parameters are put together.
  struct Archive {
    size_t file = 0;
    TorchArchive content;
    std::map<std::string, size_t> by_path;

    const TorchPlace* find(const std::string& path) const {
      const auto found = by_path.find(path);
      return found == by_path.end() ? nullptr : &content.tensors[found->second];
    }
    const PickleNode* node(std::initializer_list<std::string_view> path) const {
      const PickleNode* at = &content.pickle[content.pickle.root];
      for (const std::string_view key : path)
        if (at) at = content.pickle.find(*at, key);
      return at;
    }
  };
  Archive open(const std::string& path) {
    Archive archive{.file = add_file(path), .content = {}, .by_path = {}};
    archive.content = read_torch_archive(*file(archive.file));
    for (size_t t = 0; t < archive.content.tensors.size(); ++t)
      archive.by_path.emplace(archive.content.tensors[t].logical.name, t);
    return archive;
  }

  [[noreturn]] void refuse(const std::string& where, std::string found, std::string fix = {}) const {
    throw Error(Fault::model, {.what = "this checkpoint of DeepSpeed is not what ZeRO writes",
                               .where = where,
                               .found = std::move(found),
                               .fix = std::move(fix)});
  }

  std::vector<std::vector<Named>> read_shapes(const Archive& archive, std::string_view key) const {
    return read_deepspeed_shapes(archive.content.pickle, key, path_);
  }

  // `count` elements of parameter `of` from element `begin` on are those from `first` on of a flat buffer.
  void add_flat(const Archive& archive, const TorchPlace& flat, int64_t first, const Named& of,
                const std::string& state, int64_t begin, int64_t count) {
    const int64_t size = size_of(flat.logical.type), held = flat.logical.shape.numel();
    if (flat.logical.shape.rank() != 1 || (held > 1 && flat.strides[0] != size))
      refuse(path_, to_string(flat.logical) + " where a flat buffer should be");
    if (first < 0 || count < 0 || first > held || count > held - first || begin > of.shape.numel() ||
        count > of.shape.numel() - begin)
      refuse(path_, fmt::format("{} elements at {} of '{}' ({}), which {} has not", count, begin, of.name,
                                of.shape, to_string(flat.logical)));
    int64_t offset = flat.offset + first * size;
    for (const Rect& rect : rects_of_flat_range(of.shape, begin, count)) {
      add_rect(archive, {.name = of.name, .state = state, .type = flat.logical.type, .shape = of.shape}, rect,
               offset, std::nullopt);
      offset += rect.numel() * size;
    }
  }
  void add_rect(const Archive& archive, const TensorSpec& whole, const Rect& rect, int64_t offset,
                const std::optional<std::array<int64_t, Shape::kMaxRank>>& strides) {
    TensorSpec part = whole;
    part.shape = rect.extent;
    const size_t index = tensors().size();
    add({.logical = part, .file = archive.file, .offset = offset, .strides = strides});
    const auto [at, fresh] = known_.emplace(whole.name + "\n" + whole.state, wholes_.size());
    if (fresh) wholes_.push_back({.logical = whole, .pieces = {}});
    MappedPiece piece = whole_piece(index, rect.extent);
    piece.target.begin = rect.begin;
    wholes_[at->second].pieces.push_back(piece);
  }
  void add_whole(const Archive& archive, const std::string& name, const TorchPlace& place) {
    TensorSpec whole = place.logical;
    whole.name = name;
    check_logical(whole, path_);
    add_rect(archive, whole, Rect::whole(whole.shape), place.offset, place.strides);
  }

  // The moments that lie beside a flat buffer: "state.<group>.<key>" of as many elements or more.
  std::vector<std::pair<std::string, const TorchPlace*>> moments(const Archive& archive,
                                                                 const std::string& prefix,
                                                                 int64_t elements) const {
    std::vector<std::pair<std::string, const TorchPlace*>> found;
    for (auto at = archive.by_path.lower_bound(prefix);
         at != archive.by_path.end() && at->first.starts_with(prefix); ++at) {
      const TorchPlace& place = archive.content.tensors[at->second];
      const std::string key = at->first.substr(prefix.size());
      if (place.logical.shape.rank() == 1 && place.logical.shape[0] >= elements &&
          key.find('.') == std::string::npos)
        found.emplace_back(state_of_torch(key), &place);
    }
    return found;
  }

  // Stages 1 and 2: each rank says which elements of which parameters it has.
  void add_slices(const Archive& archive, const std::vector<std::vector<Named>>& groups,
                  std::map<std::string, int64_t>& seen) {
    const Pickle& pickle = archive.content.pickle;
    const std::string where = file(archive.file)->path();
    const PickleNode* const mappings = archive.node({"optimizer_state_dict", "param_slice_mappings"});
    if (!mappings || mappings->kind != Kind::list || mappings->items.size() != groups.size())
      refuse(where, "no param_slice_mappings",
             "DeepSpeed before 0.8 does not write them: let its zero_to_fp32.py convert the weights");
    for (size_t g = 0; g < groups.size(); ++g) {
      // Ranks hold them one after another: the first that is not whole yet is the next.
      auto parameter = groups[g].begin();
      const TorchPlace* const flat =
          archive.find(fmt::format("optimizer_state_dict.single_partition_of_fp32_groups.{}", g));
      if (!flat) refuse(where, fmt::format("no fp32 group {}", g));
      auto states = moments(archive, fmt::format("optimizer_state_dict.base_optimizer_state.state.{}.", g),
                            flat->logical.shape.numel());
      states.emplace_back("param", flat);
      const PickleNode& slices = pickle[mappings->items[g]];
      for (size_t i = 0; slices.kind == Kind::dict && i + 1 < slices.items.size(); i += 2) {
        const std::string& name = pickle[slices.items[i]].text;
        const PickleNode& address = pickle[slices.items[i + 1]];
        const PickleNode* const attributes =
            address.kind == Kind::call && address.items.size() == 3 ? &pickle[address.items[2]] : nullptr;
        const PickleNode* const numel = attributes ? pickle.find(*attributes, "numel") : nullptr;
        const PickleNode* const start = attributes ? pickle.find(*attributes, "start") : nullptr;
        while (parameter != groups[g].end() && seen[parameter->name] == parameter->shape.numel()) ++parameter;
        if (!numel || numel->kind != Kind::integer || !start || start->kind != Kind::integer ||
            parameter == groups[g].end() || parameter->name != name)
          refuse(where,
                 fmt::format("'{}' at {}", name.substr(0, 200), to_string(pickle, slices.items[i + 1], 80)));
        for (const auto& [state, place] : states)
          add_flat(archive, *place, start->integer, *parameter, state, seen[name], numel->integer);
        seen[name] += numel->integer;
      }
    }
  }

  // Stage 3: every parameter is cut into as many equal ranges as there are ranks, the last ones shorter.
  void add_ranges(const Archive& archive, const std::vector<std::vector<Named>>& groups, int64_t rank,
                  int64_t ranks) {
    const std::string where = file(archive.file)->path();
    size_t group = 0;
    int64_t used = 0;  // of the group's buffer
    const TorchPlace* flat = nullptr;
    std::vector<std::pair<std::string, const TorchPlace*>> states;
    const auto next = [&] {
      flat = archive.find(fmt::format("optimizer_state_dict.fp32_flat_groups.{}", group));
      if (!flat) refuse(where, fmt::format("no fp32 group {}", group));
      states = moments(archive, fmt::format("optimizer_state_dict.optimizer_state_dict.state.{}.", group),
                       flat->logical.shape.numel());
      states.emplace_back("param", flat);
      ++group;
      used = 0;
    };
    for (const auto& parameters : groups)
      for (const Named& named : parameters) {
        const int64_t numel = named.shape.numel(), part = numel / ranks + (numel % ranks ? 1 : 0);
        const int64_t begin = std::min(numel, rank * part), count = std::min(part, numel - begin);
        // A parameter lies in one buffer; what is left of the one before is padding.
        while (!flat || used + part > flat->logical.shape.numel()) next();
        for (const auto& [state, place] : states) add_flat(archive, *place, used, named, state, begin, count);
        used += part;
      }
  }

  std::vector<MappedTensor> take() { return std::move(wholes_); }
  nlohmann::json metadata_ = nlohmann::json::object();

 private:
  std::string path_;
  std::vector<MappedTensor> wholes_;
  std::map<std::string, size_t> known_;
};

ZeroSource::ZeroSource(FileSystem& files, const std::string& path)
    : AssembledSource(deepspeed_folder(files, path, kZeroTracker).value()) {
  const DeepspeedFiles found = find_zero_files(files, this->path());
  auto fragments = std::make_unique<Fragments>(files, found.folder);
  const auto ranks = std::ssize(found.optimizer);
  const Fragments::Archive model = fragments->open(found.model.front());
  const Pickle& pickle = model.content.pickle;
  const auto groups = fragments->read_shapes(model, "param_shapes");
  if (groups.empty()) fragments->refuse(found.model.front(), "no param_shapes");
  const bool stage3 =
      found.model.size() > 1 || found.model.front().find("zero_pp_rank_") != std::string::npos;
  std::map<std::string, int64_t> seen;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const Fragments::Archive archive = fragments->open(found.optimizer[static_cast<size_t>(rank)]);
    const PickleNode* count = archive.node({"optimizer_state_dict", "partition_count"});
    if (count && count->kind == Kind::list && !count->items.empty())
      count = &archive.content.pickle[count->items[0]];
    if (!count || count->kind != Kind::integer || count->integer != ranks)
      fragments->refuse(found.folder, fmt::format("optimizer states of {} ranks", ranks),
                        "copy the files of all data-parallel ranks into the folder");
    if (stage3)
      fragments->add_ranges(archive, groups, rank, ranks);
    else
      fragments->add_slices(archive, groups, seen);
  }
  std::map<std::string, bool> trained;
  for (const auto& group : groups)
    for (const Named& named : group) trained.emplace(named.name, true);
  if (const PickleNode* const shared = model.node({"shared_params"}); shared && shared->kind == Kind::dict)
    for (size_t i = 0; i + 1 < shared->items.size(); i += 2) {
      const std::string& name = pickle[shared->items[i]].text;
      trained.emplace(name, true);
      shared_.push_back(fmt::format("{}: the same as {}", name, pickle[shared->items[i + 1]].text));
    }
  // Frozen parameters: in stage 3 cut like the others, else whole beside the buffers.
  if (stage3) {
    const auto frozen = fragments->read_shapes(model, "frozen_param_shapes");
    for (int64_t rank = 0; !frozen.empty() && rank < std::ssize(found.model); ++rank) {
      const Fragments::Archive archive = fragments->open(found.model[static_cast<size_t>(rank)]);
      for (const Named& named : frozen.front()) {
        trained.emplace(named.name, true);
        const TorchPlace* const place = archive.find("frozen_param_fragments." + named.name);
        if (!place) fragments->refuse(found.model[static_cast<size_t>(rank)], "no part of " + named.name);
        const int64_t numel = named.shape.numel(), part = numel / ranks + (numel % ranks ? 1 : 0);
        const int64_t begin = std::min(numel, rank * part);
        fragments->add_flat(archive, *place, 0, named, "param", begin, std::min(part, numel - begin));
      }
    }
  }
  for (const TorchPlace& place : model.content.tensors) {
    constexpr std::string_view kModule = "module.";
    if (!place.logical.name.starts_with(kModule)) continue;
    const std::string name = place.logical.name.substr(kModule.size());
    if (!trained.contains(name)) fragments->add_whole(model, name, place);
  }
  nlohmann::json metadata = nlohmann::json::object();
  for (const auto& [name, text] : model.content.values) metadata["values"][name] = text;
  if (const PickleNode* const step = model.node({"global_steps"}); step && step->kind == Kind::integer)
    metadata["step"] = step->integer;
  std::vector<MappedTensor> tensors = fragments->take();
  assemble(fmt::format("DeepSpeed ZeRO-{}, {} rank{}", stage3 ? "3" : "1/2", ranks, ranks == 1 ? "" : "s"),
           std::move(fragments), std::move(tensors), std::move(metadata));
}

bool ZeroSource::recognises(FileSystem& files, const std::string& path) {
  const auto folder = deepspeed_folder(files, path, kZeroTracker);
  return folder && has_zero_files(files, *folder);
}

}  // namespace strata
