// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/deepspeed_shapes.h"

#include "checkpoint/logical.h"
#include "core/base/error.h"

namespace strata {
namespace {

using Kind = PickleNode::Kind;

[[noreturn]] void refuse(const std::string& where, std::string found) {
  throw Error(Fault::model, {.what = "the shapes of DeepSpeed's parameters cannot be read",
                             .where = where,
                             .found = std::move(found)});
}

std::vector<DeepspeedParameter> read_group(const Pickle& pickle, const PickleNode& group,
                                           const std::string& where) {
  if (group.kind != Kind::dict) refuse(where, "a group that is no dict");
  std::vector<DeepspeedParameter> parameters;
  for (size_t i = 0; i + 1 < group.items.size(); i += 2) {
    const PickleNode &name = pickle[group.items[i]], &size = pickle[group.items[i + 1]];
    // torch.Size((3, 4))
    const PickleNode* const arguments =
        size.kind == Kind::call && size.items.size() == 2 ? &pickle[size.items[1]] : nullptr;
    const PickleNode* const extents =
        arguments && arguments->items.size() == 1 ? &pickle[arguments->items[0]] : nullptr;
    if (name.kind != Kind::text || !extents || extents->items.size() > static_cast<size_t>(Shape::kMaxRank))
      refuse(where, to_string(pickle, group.items[i + 1], 80) + " as a shape");
    DeepspeedParameter parameter{.name = name.text, .shape = {}};
    for (const uint32_t extent : extents->items) {
      if (pickle[extent].kind != Kind::integer) refuse(where, "an extent that is no number");
      parameter.shape.append(pickle[extent].integer);
    }
    check_logical({.name = parameter.name, .shape = parameter.shape}, where);
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

}  // namespace

std::vector<std::vector<DeepspeedParameter>> read_deepspeed_shapes(const Pickle& pickle, std::string_view key,
                                                                   const std::string& where) {
  std::vector<std::vector<DeepspeedParameter>> groups;
  const PickleNode* const list = pickle.find(pickle[pickle.root], key);
  if (!list || list->kind == Kind::none) return groups;
  if (list->kind != Kind::list) return {read_group(pickle, *list, where)};
  for (const uint32_t group : list->items) groups.push_back(read_group(pickle, pickle[group], where));
  return groups;
}

}  // namespace strata
