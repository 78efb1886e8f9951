// SPDX-License-Identifier: Apache-2.0
// The instruction sets the CPU kernels are compiled for, and the one this run uses.
#pragma once

#include <string_view>

namespace strata {

// In increasing order: each includes the ones before it.
enum class Isa { portable, avx2, avx512, avx512_bf16 };

// The best level this machine has, or the lower one named by the environment variable STRATA_ISA
// ("portable", "avx2", "avx512", "avx512_bf16"). Read once. An unknown name or a level the machine lacks is
// an Error (environment).
Isa active_isa();

// The best level this machine has.
Isa machine_isa();

// The level called `requested` (empty: `machine`), where `machine` is the best there is; throws as active_isa
// does.
Isa choose_isa(std::string_view requested, Isa machine);

std::string_view name(Isa isa);

}  // namespace strata
