// SPDX-License-Identifier: Apache-2.0
#include "launch/train/measured_layers.h"

#include <array>
#include <cmath>
#include <cstdlib>
#include <map>

#include "checkpoint/strict_json.h"
#include "core/base/error.h"
#include "core/io/file_system.h"

namespace strata {
namespace {

using nlohmann::json;

constexpr std::array kProducts{std::pair("forward", &MeasuredLayer::forward),
                               std::pair("data gradient", &MeasuredLayer::backward_input),
                               std::pair("weight gradient", &MeasuredLayer::backward_weight)};

[[noreturn]] void refuse(const std::string& path, std::string found) {
  throw Error(Fault::usage, {.what = "this is no table that a run can follow",
                             .where = "precision.follow = " + path,
                             .found = std::move(found),
                             .expected = "what `strata bench gemm --fp8 --json` prints",
                             .fix = "strata bench gemm --fp8 --config CONFIG --json > " + path});
}

json read_rows(const std::string& path) {
  const auto files = make_posix_file_system();
  if (!files->info(path)) refuse(path, "nothing of that name");
  const json table = [&] {
    try {
      return parse_strict_json(read_file(*files, path), path, {.depth = 4, .values = 1'000'000});
    } catch (const Error& error) {
      refuse(path, error.report().found);
    }
  }();
  if (!table.is_object() || table.value("bench", json()) != "gemm --fp8" ||
      !table.value("rows", json()).is_array())
    refuse(path, "another JSON file");
  return table["rows"];
}

}  // namespace

std::vector<MeasuredLayer> read_measured_layers(const std::string& path, const std::string& recipe,
                                                int64_t tokens) {
  struct Nearest {
    int64_t tokens[kProducts.size()] = {};  // 0: not measured
    MeasuredLayer layer;
  };
  std::map<std::pair<int64_t, int64_t>, Nearest> layers;
  for (const json& row : read_rows(path)) {
    const auto size = [&](const char* key) -> int64_t {
      if (!row.is_object() || !row.value(key, json()).is_number_integer() || row[key] < 1)
        refuse(path, fmt::format("a row whose \"{}\" is no size: {}", key, row.dump().substr(0, 200)));
      return row[key];
    };
    const int64_t out = size("out"), in = size("in"), measured = size("tokens");
    const json gain = row.value("with_quantizing_of_bf16", json());
    if (!gain.is_number()) refuse(path, "a row without its speed: " + row.dump().substr(0, 200));
    if (row.value("recipe", json()) != recipe) continue;
    Nearest& nearest = layers[{out, in}];
    nearest.layer.out = out, nearest.layer.in = in;
    for (size_t p = 0; p < kProducts.size(); ++p) {
      if (row.value("product", json()) != kProducts[p].first) continue;
      const int64_t known = nearest.tokens[p], far = std::abs(measured - tokens),
                    known_far = std::abs(known - tokens);
      if (known > 0 && (known_far < far || (known_far == far && known < measured))) continue;
      nearest.tokens[p] = measured;
      nearest.layer.*kProducts[p].second = gain;
    }
  }
  std::vector<MeasuredLayer> whole;
  for (const auto& [shape, nearest] : layers)
    if (nearest.tokens[0] > 0 && nearest.tokens[1] > 0 && nearest.tokens[2] > 0)
      whole.push_back(nearest.layer);
  if (whole.empty()) refuse(path, fmt::format("no layer that was measured with the recipe \"{}\"", recipe));
  return whole;
}

}  // namespace strata
