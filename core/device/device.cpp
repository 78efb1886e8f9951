// SPDX-License-Identifier: Apache-2.0
#include "core/device/device.h"

namespace strata {

std::string to_string(Device device) {
  switch (device.kind) {
    case DeviceKind::cpu:
      return "cpu";
    case DeviceKind::cuda:
      return "cuda:" + std::to_string(device.index);
    case DeviceKind::meta:
      return "meta";
  }
  return "unknown device";
}

}  // namespace strata
