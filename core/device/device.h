// SPDX-License-Identifier: Apache-2.0
// Where tensors live and operations run.
#pragma once

#include <cstdint>
#include <string>

namespace strata {

// `meta` runs nothing and holds no bytes: operations check their shapes and count their work. A plan is
// measured by running the model's own code there.
enum class DeviceKind : uint8_t { cpu, cuda, meta };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;

  friend bool operator==(const Device&, const Device&) = default;
};

std::string to_string(Device device);  // "cpu", "cuda:1", "meta"

}  // namespace strata
