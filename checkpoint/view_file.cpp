// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/view_file.h"

#include <array>

#include "checkpoint/commit.h"
#include "checkpoint/hdf5_types.h"
#include "checkpoint/shard_layout.h"
#include "checkpoint/shard_writer.h"

namespace strata {
namespace {

void map_fragment(const Hdf5File& view, hid_t creation, hid_t space, const ManifestTensor& tensor,
                  const ManifestFragment& fragment, const std::string& shard) {
  std::array<hsize_t, Shape::kMaxRank> begin{}, extent{1};
  const Rect& rect = fragment.rect;
  for (int d = 0; d < rect.extent.rank(); ++d) {
    begin[static_cast<size_t>(d)] = static_cast<hsize_t>(rect.begin[d]);
    extent[static_cast<size_t>(d)] = static_cast<hsize_t>(rect.extent[d]);
  }
  view.checked(H5Sselect_hyperslab(space, H5S_SELECT_SET, begin.data(), nullptr, extent.data(), nullptr),
               "select a fragment");
  const Hdf5Id source = hdf5_space(view, rect.extent);
  const std::string dataset = fmt::format("/{}/{}", tensor.logical.state, dataset_name(tensor.logical, rect));
  view.checked(H5Pset_virtual(creation, space, shard.c_str(), dataset.c_str(), source.get()),
               "map the fragment '" + dataset + "'");
}

}  // namespace

ManifestFile write_view(FileSystem& files, const std::string& folder, const Manifest& manifest) {
  ManifestFile row{.kind = ManifestFile::Kind::view, .name = std::string(kViewName)};
  const auto file = files.open(folder + "/" + row.name, OpenMode::create_new);
  {
    const Hdf5 library;
    Hdf5File view(library, *file, 1);
    {
      DatasetMaker maker(view);
      for (const ManifestTensor& tensor : manifest.tensors) {
        const Hdf5Id creation = maker.creation_list();
        const Hdf5Id space = hdf5_space(view, tensor.logical.shape);
        for (const ManifestFragment& fragment : tensor.fragments)
          map_fragment(view, creation.get(), space.get(), tensor, fragment,
                       manifest.files[fragment.file].name);
        view.checked(H5Sselect_all(space.get()), "select a tensor");
        maker.make(tensor.logical.state, tensor.logical.name, tensor.logical.type, space.get(),
                   creation.get());
      }
    }
    view.close();
  }
  file->sync();
  row.bytes = file->size();
  row.crc = crc_of_gaps(*file, row.bytes, {});
  return row;
}

}  // namespace strata
