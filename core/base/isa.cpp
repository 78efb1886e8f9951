// SPDX-License-Identifier: Apache-2.0
#include "core/base/isa.h"

#include <cpuid.h>
#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "core/base/error.h"

namespace strata {
namespace {

constexpr Isa kAll[] = {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16};

}  // namespace

std::string_view name(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_bf16:
      return "avx512_bf16";
  }
  return "?";
}

// clang's builtin does not know this one.
static bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

// The features asked for are those of the compiler flags in core/ops/CMakeLists.txt. The builtin also looks
// whether the operating system saves the wide registers.
Isa machine_isa() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c() &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi");
  return bf16 ? Isa::avx512_bf16 : avx512 ? Isa::avx512 : avx2 ? Isa::avx2 : Isa::portable;
}

Isa choose_isa(std::string_view requested, Isa machine) {
  if (requested.empty()) return machine;
  for (const Isa isa : kAll) {
    if (requested != name(isa)) continue;
    if (isa <= machine) return isa;
    throw Error(Fault::environment,
                {.what = fmt::format("this machine does not have the instruction set {}", requested),
                 .where = "environment variable STRATA_ISA",
                 .found = fmt::format("STRATA_ISA={}", requested),
                 .expected = fmt::format("{} or a lower level", name(machine)),
                 .fix = "unset STRATA_ISA to use the best level there is"});
  }
  throw Error(Fault::environment, {.what = "unknown instruction set",
                                   .where = "environment variable STRATA_ISA",
                                   .found = fmt::format("STRATA_ISA={}", requested),
                                   .expected = "portable, avx2, avx512 or avx512_bf16",
                                   .fix = "unset STRATA_ISA to use the best level there is"});
}

Isa active_isa() {
  static const Isa isa = [] {
    const char* requested = std::getenv("STRATA_ISA");
    return choose_isa(requested ? requested : "", machine_isa());
  }();
  return isa;
}

}  // namespace strata
