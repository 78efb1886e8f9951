// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/model_tensors.h"

#include <fmt/ranges.h>

#include <string_view>

#include "core/base/error.h"
#include "core/models/architectures.h"

namespace strata {

std::vector<ModelTensor> model_tensors(const ModelSpec& spec) {
  static constexpr std::string_view kRoles[] = {"embedding", "linear", "bias", "norm", "adapter"};
  const Model model = make_model(spec, DType::f32);
  std::vector<ModelTensor> wanted;
  for (int block = 0; block < model.num_blocks(); ++block)
    for (const Parameter& parameter : model.parameters(block))
      for (const LogicalTensor& tensor : parameter.pieces)
        wanted.push_back(
            {tensor.name, std::string(kRoles[static_cast<size_t>(parameter.role)]), tensor.shape});
  return wanted;
}

void refuse_tensors(const std::vector<std::string>& faults, const std::string& where) {
  throw Error(Fault::model,
              {.what = "the model does not hold the tensors that its configuration says",
               .where = where,
               .found = fmt::format("{} differences\n    {}", faults.size(), fmt::join(faults, "\n    ")),
               .expected = "the same names and shapes"});
}

}  // namespace strata
