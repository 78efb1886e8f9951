// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/universal_sink.h"

#include <algorithm>

#include "checkpoint/adapters/crc32.h"
#include "checkpoint/adapters/torch_state.h"
#include "checkpoint/manifest.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/io/page_memory.h"

namespace strata {
namespace {

constexpr std::string_view kVersion = "0.19.8";  // of DeepSpeed, whose files these could be
// Groups of parameters that the optimizer may have: DeepSpeed passes over those that the checkpoint has not.
constexpr int kGroups = 1024;

// {"param": the tensor}; there was one model-parallel rank, so nothing says how parts were joined.
std::string parameter_pickle(const Shape& shape) {
  PickleWriter pickle;
  write_torch_tensor(pickle.empty_dict().mark().text("param"), ElementType::f32, shape);
  return pickle.items().finish();
}

int64_t first_byte(const Rect& piece, const Shape& shape) {
  return first_element(piece, shape) * int64_t{sizeof(float)};
}

}  // namespace

UniversalSink::UniversalSink(FileSystem& files, std::string path, const Options& options)
    : FolderSink(files, std::move(path),
                 {options.piece_bytes, options.sync_bytes, options.keep_partial, options.identity}) {}

void UniversalSink::declare(std::vector<TensorSpec> tensors, const nlohmann::json& metadata,
                            std::vector<Asset> assets) {
  take(std::move(tensors), std::move(assets));
  step_ = metadata.is_object() ? metadata.value("step", int64_t{0}) : 0;
  const std::string zero = fmt::format("global_step{}/zero", step_);
  for (const TensorSpec& tensor : declared()) {
    if (tensor.type != ElementType::f32 || !is_plain_name(tensor.name) || !is_plain_name(tensor.state))
      throw Error(Fault::usage, {.what = "DeepSpeed's universal checkpoints have no place for a tensor",
                                 .found = to_string(tensor),
                                 .expected = "f32, and a name that can be a folder"});
    targets_.push_back({fmt::format("{}/{}/{}.pt", zero, tensor.name,
                                    tensor.state == "param" ? "fp32" : torch_state(tensor.state)),
                        TorchArchiveLayout(parameter_pickle(tensor.shape), tensor.bytes())});
  }
  const bool resumed = open(fmt::format("universal {}", step_));
  for (size_t t = 0; t < targets_.size(); ++t) {
    const std::string name = folder_.path() + "/" + targets_[t].name;
    make_directories(files_, parent_directory(name));
    if (!resumed || !files_.info(name)) files_.open(name, OpenMode::create);
  }
}

std::unique_ptr<File> UniversalSink::file(const std::string& name) const {
  return files_.open(folder_.path() + "/" + name, OpenMode::update);
}

void UniversalSink::store(size_t tensor, size_t number, const Rect& piece, std::span<const std::byte> bytes) {
  const Target& target = targets_[tensor];
  file(target.name)->write(target.layout.data_offset() + first_byte(piece, declared()[tensor].shape), bytes);
  const uint32_t crc = crc32(bytes);
  const std::lock_guard lock(mutex_);
  crcs_[{tensor, number}] = crc;
  unsynced_.insert(tensor);
}

void UniversalSink::sync() {
  std::set<size_t> touched;
  {
    const std::lock_guard lock(mutex_);
    touched.swap(unsynced_);
  }
  for (const size_t t : touched) file(targets_[t].name)->sync();
}

// Of all elements. Pieces that an earlier try left are read again.
uint32_t UniversalSink::crc_of(size_t tensor) const {
  uint32_t all = 0;
  const std::vector<Rect> cut = pieces(tensor);
  for (size_t p = 0; p < cut.size(); ++p) {
    const int64_t bytes = cut[p].numel() * int64_t{sizeof(float)};
    uint32_t crc = 0;
    if (const auto known = crcs_.find({tensor, p}); known != crcs_.end()) {
      crc = known->second;
    } else {
      const PageMemory memory = page_memory(bytes);
      const std::span<std::byte> piece(memory.get(), static_cast<size_t>(bytes));
      file(targets_[tensor].name)
          ->read(targets_[tensor].layout.data_offset() + first_byte(cut[p], declared()[tensor].shape), piece);
      crc = crc32(piece);
    }
    all = crc32_combine(all, crc, bytes);
  }
  return all;
}

// What the optimizer keeps beside tensors, for stages 1 and 2 (param_groups) and 3 (optimizer_state_dict).
// Hyperparameters are left to the job that loads.
std::string UniversalSink::optimizer_state() const {
  PickleWriter pickle;
  const auto groups = [&] {
    pickle.text("param_groups").empty_list().mark();
    for (int g = 0; g < kGroups; ++g)
      if (!pickle.recall("group"))
        pickle.empty_dict().mark().text("step").integer(step_).items().remember("group");
    pickle.append();
  };
  pickle.empty_dict().mark().text("ds_version").text(kVersion);
  pickle.text("zero_stage").integer(1).text("clip_grad").real(0);
  groups();
  pickle.text("optimizer_state_dict").empty_dict().mark();
  pickle.text("state").empty_dict().mark().integer(0).empty_dict().mark().text("step");
  write_torch_tensor(pickle, ElementType::f32, {}).items().items();
  groups();
  return pickle.items().items().finish();
}

std::string UniversalSink::model_states() const {
  PickleWriter pickle;
  pickle.empty_dict().mark();
  pickle.text("module").empty_dict();  // not read: the weights are under zero/
  pickle.text("param_shapes").empty_list().mark().empty_dict();
  for (const TensorSpec& tensor : declared())
    if (tensor.state == "param") {
      write_torch_size(pickle.mark().text(tensor.name), tensor.shape);
      pickle.items();
    }
  pickle.append();
  for (const char* absent : {"optimizer", "frozen_param_shapes", "frozen_param_fragments", "lr_scheduler",
                             "data_sampler", "random_ltd"})
    pickle.text(absent).none();
  pickle.text("buffer_names").empty_list().text("shared_params").empty_dict();
  pickle.text("skipped_steps").integer(0).text("global_steps").integer(step_);
  pickle.text("dp_world_size").integer(1).text("mp_world_size").integer(1);
  pickle.text("ds_version").text(kVersion);
  pickle.text("universal_checkpoint_info").empty_dict().mark();
  pickle.text("universal_checkpoint_version").real(0.4).items();
  return pickle.items().finish();
}

void UniversalSink::complete() {
  const std::string step = fmt::format("global_step{}", step_);
  const auto counted = static_cast<float>(step_);  // as torch.optim keeps it
  for (size_t t = 0; t < targets_.size(); ++t) {
    const Target& target = targets_[t];
    const uint32_t crc = crc_of(t);
    const std::string head = target.layout.head(crc), tail = target.layout.tail(crc);
    const auto whole = file(target.name);
    whole->write(0, std::as_bytes(std::span(head)));
    whole->write(target.layout.bytes() - std::ssize(tail), std::as_bytes(std::span(tail)));
    whole->sync();
    const std::string inside = target.name.substr(0, target.name.rfind('/'));
    if (declared()[t].state != "param" && !files_.info(folder_.path() + "/" + inside + "/step.pt"))
      folder_.write(inside + "/step.pt", make_torch_number(counted));
    files_.sync_directory(folder_.path() + "/" + inside);
  }
  folder_.write(step + "/zero/optimizer_state.pt",
                make_torch_archive(optimizer_state(), std::as_bytes(std::span(&counted, 1))));
  for (const char* name : {"mp_rank_00_model_states.pt", "zero_pp_rank_0_mp_rank_00_model_states.pt"})
    folder_.write(step + "/" + name, make_torch_archive(model_states()));  // for stages 1 and 2, and 3
  folder_.write("latest_universal", step);
  for (const char* folder : {"/zero", ""}) files_.sync_directory(folder_.path() + "/" + step + folder);
}

}  // namespace strata
