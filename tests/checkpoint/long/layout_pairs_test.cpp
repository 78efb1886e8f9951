// SPDX-License-Identifier: Apache-2.0
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/layouts.h"

namespace strata {
namespace {

TEST(LayoutPairsTest, AllOrderedPairs) {
  MemoryFileSystem files;
  std::vector<std::string> paths;
  for (const TestLayout& layout : test_layouts()) paths.push_back(save_layout(files, layout));
  for (const std::string& path : paths)
    for (const TestLayout& layout : test_layouts()) {
      SCOPED_TRACE(path + " -> " + layout.name);
      load_layout(files, path, layout);
    }
}

}  // namespace
}  // namespace strata
