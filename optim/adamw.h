// SPDX-License-Identifier: Apache-2.0
// AdamW as an update rule over a state format. The formula is adamw_scalar.h, the formats are state_*.h.
#pragma once

#include <memory>

#include "core/program/update_rule.h"
#include "optim/adamw_scalar.h"

namespace strata {

struct AdamwOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double momentum = 0.95;  // of the matrices, for rules that treat them apart (muon.h)
};

// Throws Error(usage) unless 0 <= betas < 1 and eps > 0 in f32.
void check_options(const AdamwOptions& options);

// The constants of one step. Bias corrections and products are made in double, as torch.optim.AdamW does.
AdamwCoefficients adamw_coefficients(const AdamwOptions& options, const UpdateScalars& scalars);

// For State in Fp32State, MasterState, SplitState, Split8State, Sr8State. A rule is immutable: any number of
// threads and streams may use it.
template <typename State>
std::unique_ptr<UpdateRule> make_adamw(const AdamwOptions& options);

}  // namespace strata
