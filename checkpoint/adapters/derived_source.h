// SPDX-License-Identifier: Apache-2.0
// What sources share that show the tensors of another one differently: all but the tensors is that one's.
#pragma once

#include "checkpoint/logical.h"

namespace strata {

class DerivedSource : public TensorSource {
 public:
  std::string format() const override { return source_.format(); }
  std::string path() const override { return source_.path(); }
  const nlohmann::json& metadata() const override { return source_.metadata(); }
  std::vector<Asset> assets() const override { return source_.assets(); }

 protected:
  explicit DerivedSource(const TensorSource& source) : source_(source) {}  // lives longer
  const TensorSource& source_;
};

}  // namespace strata
