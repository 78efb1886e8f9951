// SPDX-License-Identifier: Apache-2.0
// Reads what Megatron-LM saved as --ckpt-format torch: mp_rank_<tensor>[_<stage>]/model_optim_rng.pt, a file
// for each part of the model. Its tensors become whole, layers counted over the stages, under the names that
// torch_dist gives numbered layers. Weights of models of megatron-core; the optimizer's state is left out.
// Source: Megatron-LM's megatron/training/checkpointing.py, megatron-core's tensor_parallel/layers.py.
#pragma once

#include <optional>

#include "checkpoint/adapters/assembled_source.h"
#include "checkpoint/adapters/hf_config.h"
#include "core/io/file_system.h"

namespace strata {

class MegatronSource : public AssembledSource {
 public:
  // `path`: the folder of an iteration. Throws Error(model): a part missing, parts that do not fit together,
  // virtual stages, a model that is not megatron-core's. `files` lives longer. metadata() has "step".
  MegatronSource(FileSystem& files, const std::string& path);

  static bool recognises(FileSystem& files, const std::string& path);

  const std::optional<HfModel>& model() const { return model_; }  // by its arguments
  const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  class Parts;
  std::optional<HfModel> model_;
  std::vector<std::string> left_out_;
};

}  // namespace strata
