// SPDX-License-Identifier: Apache-2.0
#include "core/nn/model.h"

#include <fnmatch.h>

#include <algorithm>

#include "core/base/error.h"

namespace strata {

namespace {

bool names_tensor(const std::string& pattern, const std::string& tensor) {
  return fnmatch(pattern.c_str(), tensor.c_str(), 0) == 0;
}
// By the layer it is of.
bool names_layer(const std::string& pattern, const std::string& tensor) {
  return lora_pattern_matches(pattern, tensor.substr(0, tensor.rfind('.')));
}

// Whether the pattern means the parameter: all of its tensors, or none.
template <typename Names>
bool means(Names names, const std::string& pattern, const Parameter& parameter, const char* verb) {
  const auto count = std::count_if(parameter.pieces.begin(), parameter.pieces.end(),
                                   [&](const LogicalTensor& piece) { return names(pattern, piece.name); });
  if (count != 0 && count != static_cast<int64_t>(parameter.pieces.size()))
    throw Error(Fault::usage, {.what = fmt::format("'{}' is one matrix and can only be {} as a whole",
                                                   parameter.name, verb),
                               .found = fmt::format("pattern \"{}\" matches {} of its {} tensors", pattern,
                                                    count, parameter.pieces.size()),
                               .fix = "use a pattern that matches all of them, or none"});
  return count != 0;
}

int64_t elements(const Parameter& parameter) {
  int64_t count = 0;
  for (const LogicalTensor& piece : parameter.pieces) count += piece.shape.numel();
  return count;
}

template <typename Visit>
void each_parameter(Model& model, Visit visit) {
  for (auto& block : model.blocks) std::ranges::for_each(block->parameters(), visit);
  std::ranges::for_each(model.head->parameters(), visit);
}

// Calls visit(parameter) for each that some pattern means.
template <typename Names, typename Visit>
void each_meant(Model& model, Names names, std::span<const std::string> patterns, const char* verb,
                Visit visit) {
  for (const std::string& pattern : patterns) {
    bool matched = false;
    each_parameter(model, [&](Parameter& parameter) {
      if (!means(names, pattern, parameter, verb)) return;
      matched = true;
      visit(parameter);
    });
    if (!matched)
      throw Error(Fault::usage,
                  {.what = fmt::format("a pattern of {} tensors matches nothing", verb),
                   .found = fmt::format("\"{}\"", pattern),
                   .expected = "part of a tensor name such as \"layers.0.*\" or \"embedding.weight\""});
  }
}

}  // namespace

int64_t Model::freeze(std::span<const std::string> patterns) {
  int64_t frozen = 0;
  each_meant(*this, names_tensor, patterns, "frozen", [&](Parameter& parameter) {
    if (parameter.trainable) frozen += elements(parameter);
    parameter.trainable = false;
  });
  return frozen;
}

int64_t Model::train_only(std::span<const std::string> patterns) {
  each_parameter(*this, [](Parameter& parameter) { parameter.trainable = false; });
  int64_t trained = 0;
  each_meant(*this, names_tensor, patterns, "trained", [&](Parameter& parameter) {
    if (!parameter.trainable) trained += elements(parameter);
    parameter.trainable = true;
  });
  return trained;
}

void Model::freeze_base() {
  each_parameter(*this, [](Parameter& parameter) {
    if (parameter.role != Role::adapter) parameter.trainable = false;
  });
  each_meant(*this, names_layer, spec.lora.whole, "trained",
             [](Parameter& parameter) { parameter.trainable = true; });
}

void Model::keep_in_blocks(WeightFormat format) {
  if (format == WeightFormat::none) return;
  for (auto& block : blocks)
    for (Parameter& parameter : block->parameters()) {
      if (parameter.trainable || parameter.role != Role::linear || !parameter.multiplied) continue;
      if (parameter.shape[1] % kBlockElements != 0)
        throw Error(Fault::usage,
                    {.what = fmt::format("'{}' cannot be kept as {}", parameter.name, strata::name(format)),
                     .found = fmt::format("rows of {} elements on a rank", parameter.shape[1]),
                     .expected = fmt::format("whole blocks of {}", kBlockElements),
                     .fix = "adapter.base_weights = \"compute\", or another parallel.tp"});
      parameter.format = format;
    }
}

namespace {

template <typename Counts>
int64_t count_elements(const Model& model, Counts counts) {
  int64_t count = 0;
  for (int block = 0; block < model.num_blocks(); ++block)
    for (const Parameter& parameter : model.parameters(block))
      if (counts(parameter)) count += elements(parameter);
  if (model.twin_table() && counts(model.parameters(0)[0])) count -= elements(model.parameters(0)[0]);
  return count;
}

}  // namespace

int64_t Model::num_parameters() const {
  return count_elements(*this, [](const Parameter&) { return true; });
}

int64_t Model::num_trained() const {
  return count_elements(*this, [](const Parameter& parameter) { return parameter.trainable; });
}

}  // namespace strata
