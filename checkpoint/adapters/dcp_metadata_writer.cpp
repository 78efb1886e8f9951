// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/dcp_metadata_writer.h"

#include <fmt/ranges.h>

#include "checkpoint/adapters/torch_archive_writer.h"
#include "checkpoint/adapters/torch_types.h"

namespace strata {
namespace {

constexpr std::string_view kModule = "torch.distributed.checkpoint.metadata";

constexpr size_t kBatch = 1000;  // items of a dict or list given at once, as Python's own writer does

// An object that was not yet given its attributes: build() does that.
PickleWriter& begin(PickleWriter& pickle, std::string_view module, std::string_view type) {
  return pickle.global(module, type).empty_tuple().make();
}

// (dtype, layout, requires_grad, memory format, pin_memory), which is what __setstate__ takes.
void write_properties(PickleWriter& pickle, ElementType type) {
  const std::string key = fmt::format("properties {}", name(type));
  if (pickle.recall(key)) return;
  const std::string_view dtype = torch_type(type).dtype;
  begin(pickle, kModule, "TensorProperties").mark().global("torch", dtype.substr(dtype.rfind('.') + 1));
  pickle.global("torch.serialization", "_get_layout").text("torch.strided").tuple1().call();
  pickle.boolean(false).global(kModule, "_MEM_FORMAT_ENCODING").integer(0).tuple1().call();
  pickle.boolean(false).tuple().build().remember(key);
}

void write_entry(PickleWriter& pickle, const DcpEntry& entry) {
  if (!entry.tensor) {
    begin(pickle, kModule, "BytesStorageMetadata");
    pickle.empty_dict().build();
    return;
  }
  begin(pickle, kModule, "TensorStorageMetadata").empty_dict().mark();
  pickle.text("properties");
  write_properties(pickle, entry.type);
  write_torch_size(pickle.text("size"), entry.shape);
  pickle.text("chunks").empty_list().mark();
  for (size_t i = 0; i < entry.chunks.size(); ++i) {
    const DcpChunk& chunk = entry.chunks[i];
    if (i > 0 && i % kBatch == 0) pickle.append().mark();
    begin(pickle, kModule, "ChunkStorageMetadata").empty_dict().mark();
    write_torch_size(pickle.text("offsets"), chunk.rect.begin);
    write_torch_size(pickle.text("sizes"), chunk.rect.extent);
    pickle.items().build();
  }
  pickle.append().items().build();
}

void write_place(PickleWriter& pickle, const std::string& key, const DcpEntry& entry, const DcpChunk& chunk,
                 const std::vector<std::string>& files) {
  begin(pickle, kModule, "MetadataIndex").empty_dict().mark().text("fqn").text(key);
  if (entry.tensor) write_torch_size(pickle.text("offset"), chunk.rect.begin);
  pickle.items().build();
  begin(pickle, "torch.distributed.checkpoint.filesystem", "_StorageInfo").empty_dict().mark();
  pickle.text("relative_path").text(files[chunk.item.file]);
  pickle.text("offset").integer(chunk.item.offset).text("length").integer(chunk.item.bytes);
  pickle.items().build();
}

}  // namespace

std::string make_dcp_metadata(const std::vector<DcpEntry>& entries, const std::vector<std::string>& files) {
  PickleWriter pickle;
  begin(pickle, kModule, "Metadata").empty_dict().mark();
  std::vector<std::string> keys;
  for (const DcpEntry& entry : entries) keys.push_back(fmt::format("{}", fmt::join(entry.path, ".")));
  pickle.text("state_dict_metadata").empty_dict().mark();
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0 && i % kBatch == 0) pickle.items().mark();
    write_entry(pickle.text(keys[i]), entries[i]);
  }
  // Where a flattened key lay in the nested state dict.
  pickle.items().text("planner_data").empty_dict().mark();
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0 && i % kBatch == 0) pickle.items().mark();
    pickle.text(keys[i]).mark();
    for (const std::string& part : entries[i].path) pickle.text(part);
    pickle.tuple();
  }
  pickle.items().text("storage_data").empty_dict().mark();
  size_t places = 0;
  for (size_t i = 0; i < entries.size(); ++i)
    for (const DcpChunk& chunk : entries[i].chunks) {
      if (places++ % kBatch == kBatch - 1) pickle.items().mark();
      write_place(pickle, keys[i], entries[i], chunk, files);
    }
  pickle.items().items().build();
  return pickle.finish();
}

}  // namespace strata
