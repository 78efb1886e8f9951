// SPDX-License-Identifier: Apache-2.0
// Opens whatever a path holds: finds out which format it is and what its tensors are called in Strata.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/adapters/hugging_face.h"
#include "checkpoint/adapters/peft.h"
#include "checkpoint/logical.h"

namespace strata {

// What a user lets through or calls otherwise.
struct OpenRules {
  std::string map = {};  // a file that says what a foreign checkpoint's tensors are (name_map.h)
  std::vector<std::pair<std::string, std::string>> rename = {};  // stored name -> what it is taken for
  std::vector<std::string> allow_missing = {};                   // names of ours (name_rules.h)
};

struct OpenedCheckpoint {
  std::unique_ptr<TensorSource> codes;      // as it lies in the files, where weights are in 8 bits
  std::unique_ptr<TensorSource> files;      // the numbers they stand for, where tensors were renamed
  std::unique_ptr<TensorSource> stored;     // as it lies in the files, but for these
  std::unique_ptr<TensorSource> reordered;  // made of it, rows in our order; null where they are
  std::unique_ptr<TensorSource> renamed;    // made of these; null where names are ours already, or nobody's
  std::unique_ptr<TensorSource> merged;     // made of these, with adapters worked in; null mostly
  bool logical = false;                     // tensors() have our logical names
  std::optional<HfModel> model;             // when a config.json or the file says it
  std::optional<AdapterInfo> adapter;       // when the tensors are adapters beside a model
  std::optional<std::string> hf_prefix;     // of Hugging Face's names, when that is what there was
  std::vector<std::string> dropped;         // stored tensors that are not among tensors(), with the reason
  std::vector<std::string> missing;         // tensors of the model that are not there, as a rule allows
  std::vector<std::string> notes;           // for people
  std::vector<std::pair<size_t, size_t>> twins;  // of stored: must be equal, one of them is dropped

  const TensorSource& source() const { return merged ? *merged : renamed ? *renamed : *stored; }
};

// Throws Error(model) when nothing readable is there, or when it is not what it seems. `files` lives longer.
OpenedCheckpoint open_checkpoint(FileSystem& files, const std::string& path, const OpenRules& rules = {});

// Whether `path` holds another format than Strata's own.
bool is_foreign(FileSystem& files, const std::string& path);

// The model whose tensors these are: a config.json says it, or the configuration of the run that trained it.
// Nothing when neither does, or when Hugging Face has no such model.
std::optional<HfModel> model_of(const OpenedCheckpoint& opened);

}  // namespace strata
