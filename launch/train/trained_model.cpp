// SPDX-License-Identifier: Apache-2.0
#include "launch/train/trained_model.h"

#include "launch/train/base_model.h"
#include "launch/train/build.h"
#include "launch/train/run_state.h"
#include "launch/train/tokenizer_files.h"

namespace strata {

TrainedModel::TrainedModel(const std::string& path, int threads, int64_t rows)
    : device_(choose_device(DeviceChoice::automatic, 0), threads) {
  const auto files = make_posix_file_system();
  path_ = find_checkpoint(*files, path);
  const StrataSource checkpoint(*files, path_);
  loaded_ = checkpoint_config(checkpoint);
  step_ = checkpoint.manifest().step;
  DataConfig& data = loaded_.config.data;
  data.tokenizer = tokenizer_of_checkpoint(*files, path_, data.tokenizer);
  data.chat_template = chat_template_of_checkpoint(*files, path_, data.chat_template);
  tokenizer_ = make_tokenizer(data.tokenizer);
  model_ = build_model(loaded_.config, tokenizer_->vocab_size());
  plan_ = std::make_unique<StepPlan>(
      model_,
      StepPlanOptions{.geometry = {.rows = rows, .seq_len = loaded_.config.data.seq_len, .micro_batches = 1},
                      .target = device_.device()});
  runner_ = std::make_unique<StepRunner>(*plan_, device_.streams(), device_.memory());
  const auto rule = build_update_rule(loaded_.config);
  const auto alone = make_solo_peers();
  const Loading loading{.peers = *alone, .stream = device_.stream(), .pool = device_.pool()};
  if (trains_adapters(loaded_.config))
    load_base(*files, loaded_.config, base_of(checkpoint.metadata()), *runner_, *rule, loading);
  load_weights(checkpoint, *runner_, *rule, loading);
}

}  // namespace strata
