// SPDX-License-Identifier: Apache-2.0
#include "launch/convert/merged_source.h"

#include <algorithm>
#include <map>
#include <utility>

#include "checkpoint/adapters/model_tensors.h"
#include "checkpoint/adapters/strided_copy.h"
#include "core/base/error.h"
#include "core/nn/lora.h"

namespace strata {
namespace {

std::vector<float> read_f32(const TensorSource& source, size_t tensor, const Rect& rect) {
  std::vector<float> values(static_cast<size_t>(rect.numel()));
  source.read(tensor, rect,
              row_major(reinterpret_cast<std::byte*>(values.data()), rect.extent, sizeof(float)));
  return values;
}

std::vector<ElementType> types_of_adapters(const TensorSource& model, const TensorSource& adapters) {
  std::map<std::string, ElementType> of_model;
  for (const TensorSpec& tensor : model.tensors())
    if (tensor.state == "param") of_model.emplace(tensor.name, tensor.type);
  std::vector<ElementType> types;
  for (const TensorSpec& tensor : adapters.tensors()) {
    const auto whole = of_model.find(tensor.name);
    types.push_back(whole == of_model.end() ? ElementType::f32 : whole->second);
  }
  return types;
}

}  // namespace

MergedSource::MergedSource(const TensorSource& model, const TensorSource& adapters, double scale)
    : model_(model),
      model_f32_(model, ElementType::f32),
      adapters_(adapters, types_of_adapters(model, adapters)),
      scale_(scale),
      pairs_(model.tensors().size()),
      replaced_(model.tensors().size()) {
  std::map<std::string, std::optional<size_t>> known;  // adapters by name
  for (size_t t = 0; t < adapters.tensors().size(); ++t)
    if (adapters.tensors()[t].state == "param") known[adapters.tensors()[t].name] = t;
  std::vector<std::string> faults;
  for (size_t t = 0; t < model.tensors().size(); ++t) {
    const TensorSpec& weight = model.tensors()[t];
    constexpr std::string_view kEnd = ".weight";
    if (const auto whole = known.find(weight.name); weight.state == "param" && whole != known.end()) {
      if (adapters.tensors()[*whole->second].shape != weight.shape)
        faults.push_back(
            fmt::format("different  {} for {}", adapters.tensors()[*whole->second].shape, to_string(weight)));
      replaced_[t] = std::exchange(whole->second, std::nullopt);
    }
    if (weight.state != "param" || !weight.name.ends_with(kEnd)) continue;
    const std::string layer = weight.name.substr(0, weight.name.size() - kEnd.size());
    const auto a = known.find(layer + std::string(kLoraA)), b = known.find(layer + std::string(kLoraB));
    if (a == known.end() || b == known.end()) continue;
    const Shape &down = adapters.tensors()[*a->second].shape, &up = adapters.tensors()[*b->second].shape;
    if (down.rank() != 2 || up.rank() != 2 || weight.shape.rank() != 2 || down[1] != weight.shape[1] ||
        up[0] != weight.shape[0] || down[0] != up[1])
      faults.push_back(fmt::format("different  {} and {} for {}", down, up, to_string(weight)));
    pairs_[t] = Pair{*a->second, *b->second};
    a->second = b->second = std::nullopt;
  }
  for (const auto& [name, left] : known)
    if (left) faults.push_back("extra      " + to_string(adapters.tensors()[*left]));
  if (!faults.empty()) refuse_tensors(faults, adapters.path());
}

int64_t MergedSource::num_replaced() const {
  return std::count_if(replaced_.begin(), replaced_.end(), [](const auto& t) { return t.has_value(); });
}

int64_t MergedSource::num_merged() const {
  return std::count_if(pairs_.begin(), pairs_.end(), [](const auto& pair) { return pair.has_value(); });
}

std::optional<Digest> MergedSource::stored_digest(size_t tensor) const {
  return pairs_.at(tensor) || replaced_[tensor] ? std::nullopt : model_.stored_digest(tensor);
}

void MergedSource::read(size_t tensor, const Rect& rect, const StridedTarget& into) const {
  if (replaced_.at(tensor)) return adapters_.read(*replaced_[tensor], rect, into);
  if (!pairs_[tensor]) return model_.read(tensor, rect, into);
  const auto [down, up] = *pairs_[tensor];
  const int64_t rank = adapters_.tensors()[down].shape[0], rows = rect.extent[0], columns = rect.extent[1];
  const std::vector<float> w = read_f32(model_f32_, tensor, rect);
  const std::vector<float> a = read_f32(adapters_, down, {{0, rect.begin[1]}, {rank, columns}});
  const std::vector<float> b = read_f32(adapters_, up, {{rect.begin[0], 0}, {rows, rank}});
  const ElementType type = model_.tensors()[tensor].type;
  const int64_t size = size_of(type);
  std::vector<std::byte> merged(static_cast<size_t>(rect.numel() * size));
  std::vector<double> sums(static_cast<size_t>(columns));
  for (int64_t i = 0; i < rows; ++i) {
    const float* const row = w.data() + i * columns;
    std::copy(row, row + columns, sums.begin());
    for (int64_t r = 0; r < rank; ++r) {
      const double factor = scale_ * b[static_cast<size_t>(i * rank + r)];
      const float* const a_row = a.data() + r * columns;
      for (int64_t j = 0; j < columns; ++j) sums[static_cast<size_t>(j)] += factor * a_row[j];
    }
    for (int64_t j = 0; j < columns; ++j)
      if (!put_element(type, merged.data(), i * columns + j, sums[static_cast<size_t>(j)]))
        throw Error(Fault::numeric, {.what = fmt::format("a merged weight of '{}' is too large for {}",
                                                         model_.tensors()[tensor].name, name(type)),
                                     .found = fmt::format("{}", sums[static_cast<size_t>(j)]),
                                     .fix = "merge with --dtype f32"});
  }
  copy_strided(rect.extent, {merged.data(), row_major(nullptr, rect.extent, size).strides}, into, size);
}

}  // namespace strata
