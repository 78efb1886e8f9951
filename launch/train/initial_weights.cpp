// SPDX-License-Identifier: Apache-2.0
#include "launch/train/initial_weights.h"

#include "checkpoint/adapters/cast_source.h"
#include "checkpoint/adapters/mapped_source.h"
#include "core/base/error.h"
#include "launch/convert/open_checkpoint.h"
#include "launch/train/run_tensors.h"

namespace strata {

uint64_t load_values(const TensorSource& source, RunTensors::Wanted wanted, StepRunner& runner,
                     const UpdateRule& rule, const Loading& loading) {
  // Without what an optimizer left in it.
  const MappedSource values =
      select_tensors(source, [](const TensorSpec& tensor) { return tensor.state == "param"; });
  const CastSource as_f32(values, ElementType::f32);  // what update rules begin with
  RunTensors tensors(runner, rule, loading.stream);
  RestoreReport report = tensors.restore(as_f32, loading.peers, loading.pool, loading.rules, wanted);
  if (loading.report) {  // behind what was loaded before: a model, then adapters
    TensorMatch before = std::move(loading.report->match);
    *loading.report = std::move(report);
    auto& [stored, kept, ignored] = loading.report->match;
    kept.insert(kept.begin(), before.kept.begin(), before.kept.end());
    ignored.insert(ignored.begin(), before.ignored.begin(), before.ignored.end());
  }
  runner.weights_changed();
  uint64_t digest = 0;
  for (const int64_t part : loading.peers.all(static_cast<int64_t>(tensors.model_digest())))
    digest += static_cast<uint64_t>(part);
  return digest;
}

uint64_t load_initial_weights(FileSystem& files, const std::string& path, StepRunner& runner,
                              const UpdateRule& rule, const Loading& loading) {
  if (!files.info(path))
    throw Error(Fault::model, {.what = "there is no model to begin with",
                               .where = "model.from",
                               .found = path,
                               .expected = "a Hugging Face folder, a GGUF file, or a checkpoint of Strata",
                               .fix = "check the path, or leave model.from out for random weights"});
  const OpenedCheckpoint opened =
      open_checkpoint(files, is_foreign(files, path) ? path : find_checkpoint(files, path));
  if (!opened.logical)
    throw Error(Fault::model, {.what = "the names of this model's tensors are not known",
                               .where = "model.from",
                               .found = fmt::format("{}: {}", path, opened.stored->format()),
                               .expected = "a config.json of a known family beside the weights",
                               .fix = "see what it holds with `strata inspect " + path + "`"});
  if (opened.adapter)
    throw Error(Fault::model,
                {.what = "these are adapters beside a model, not a model",
                 .where = "model.from",
                 .found = fmt::format("{}: {}", path, opened.stored->format()),
                 .expected = "a whole model",
                 .fix = "make one with `strata merge " + path + " OUT`, or go on with adapter.from"});
  return load_values(opened.source(), RunTensors::Wanted::model, runner, rule, loading);
}

}  // namespace strata
