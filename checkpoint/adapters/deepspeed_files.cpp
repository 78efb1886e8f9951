// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/deepspeed_files.h"

#include <fmt/format.h>

#include <charconv>
#include <map>

#include "checkpoint/manifest.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr std::string_view kRank = "zero_pp_rank_", kModelRank = "_mp_rank_", kOptimizer = "_optim_states.pt",
                           kModel = "_model_states.pt";

// "bf16_zero_pp_rank_3_mp_rank_00_optim_states.pt": 3 and "00".
struct RankName {
  int data = 0;
  std::string model;
};
std::optional<RankName> parse(std::string_view name, std::string_view suffix) {
  const size_t begin = name.find(kRank);
  if (begin == std::string_view::npos || !name.ends_with(suffix)) return std::nullopt;
  name = name.substr(begin + kRank.size(), name.size() - begin - kRank.size() - suffix.size());
  RankName rank;
  const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), rank.data);
  const std::string_view rest = name.substr(static_cast<size_t>(end - name.data()));
  if (fault != std::errc() || rank.data < 0 || !rest.starts_with(kModelRank)) return std::nullopt;
  rank.model = rest.substr(kModelRank.size());
  return rank;
}

}  // namespace

std::optional<std::string> deepspeed_folder(FileSystem& files, const std::string& path,
                                            std::string_view tracker) {
  const auto info = files.info(path);
  if (!info || info->type != FileInfo::Type::directory) return std::nullopt;
  const std::string named = path + "/" + std::string(tracker);
  const auto there = files.info(named);
  if (!there) return path;
  constexpr int64_t kMost = 300;
  std::string name;
  if (there->type == FileInfo::Type::file && there->bytes <= kMost && !files.is_link(named))
    name = read_file(files, named);
  while (!name.empty() && (name.back() == '\n' || name.back() == ' ')) name.pop_back();
  if (!is_plain_name(name))
    throw Error(Fault::model, {.what = "a file that should name a checkpoint's folder does not",
                               .where = named,
                               .found = name.substr(0, 80),
                               .expected = "such as global_step100"});
  return path + "/" + name;
}

bool has_zero_files(FileSystem& files, const std::string& folder) {
  const auto names = files.list(folder);
  if (!names) return false;
  for (const std::string& name : *names)
    if (parse(name, kOptimizer)) return true;
  return false;
}

DeepspeedFiles find_zero_files(FileSystem& files, const std::string& folder) {
  const auto refuse = [&](std::string found, std::string expected, std::string fix) {
    throw Error(Fault::model, {.what = "this checkpoint of DeepSpeed cannot be read",
                               .where = folder,
                               .found = std::move(found),
                               .expected = std::move(expected),
                               .fix = std::move(fix)});
  };
  std::map<int, std::string> optimizer, model;
  DeepspeedFiles found{.folder = folder};
  const auto names = files.list(folder).value_or(std::vector<std::string>());
  for (const std::string& name : names) {
    const auto ours = parse(name, kOptimizer), states = parse(name, kModel);
    const std::string path = folder + "/" + name;
    if ((ours && ours->model != "00") || (states && states->model != "00") ||
        (!ours && !states && name.starts_with("mp_rank_") && name != "mp_rank_00_model_states.pt"))
      refuse(name, "one model-parallel rank",
             "convert it with DeepSpeed's ds_to_universal.py: its result is read");
    if (name.starts_with("layer_")) refuse(name, "no pipeline stages", "");
    if (name.find("expp_rank_") != std::string::npos) refuse(name, "no experts", "");
    if (ours && !optimizer.emplace(ours->data, path).second)
      refuse(fmt::format("two files of rank {}", ours->data), "one", "");
    if (states) model.emplace(states->data, path);
    if (name == "mp_rank_00_model_states.pt") found.model = {path};
  }
  const auto ranks = [&](const std::map<int, std::string>& paths, const char* what) {
    std::vector<std::string> list;
    for (const auto& [rank, path] : paths) {
      if (rank != static_cast<int>(list.size()))
        refuse(fmt::format("no {} of data-parallel rank {}", what, list.size()), "a file of every rank", "");
      list.push_back(path);
    }
    return list;
  };
  found.optimizer = ranks(optimizer, "optimizer states");
  if (found.model.empty()) found.model = ranks(model, "model states");
  if (found.model.empty()) refuse("no *_model_states.pt", "the shapes of parameters", "");
  return found;
}

}  // namespace strata
