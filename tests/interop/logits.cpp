// SPDX-License-Identifier: Apache-2.0
// The logits that a trained model gives after each of some tokens, for scripts that compare them:
//   interop_logits CKPT ID... > vocab floats for each id, as they lie in memory
#include <cstdio>
#include <cstdlib>

#include "core/base/error.h"
#include "core/step/text_model.h"
#include "launch/train/trained_model.h"

int main(int count, char** arguments) {
  using namespace strata;
  if (count < 3) return 2;
  try {
    TrainedModel trained(arguments[1], 0);
    TextModel model(trained.model(), trained.runner(), trained.stream(), trained.allocator());
    for (int i = 2; i < count; ++i) {
      const int32_t id = std::atoi(arguments[i]);
      const std::span<const float> logits = model.feed({&id, 1});
      if (std::fwrite(logits.data(), sizeof(float), logits.size(), stdout) != logits.size()) return 1;
    }
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
