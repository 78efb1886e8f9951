// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/hdf5_types.h"

#include <array>
#include <string>

namespace strata {
namespace {

// An IEEE-like 16-bit float: sign at bit 15, then `exponent` bits, then the fraction.
Hdf5Id small_float(const Hdf5File& file, size_t exponent, size_t bias) {
  Hdf5Id type = file.own(H5Tcopy(H5T_IEEE_F32LE), H5Tclose, "copy a type");
  const size_t fraction = 15 - exponent;
  file.checked(H5Tset_fields(type.get(), 15, fraction, exponent, 0, fraction), "describe a 16-bit float");
  file.checked(H5Tset_precision(type.get(), 16), "describe a 16-bit float");
  file.checked(H5Tset_size(type.get(), 2), "describe a 16-bit float");
  file.checked(H5Tset_ebias(type.get(), bias), "describe a 16-bit float");
  return type;
}

hid_t plain_type(ElementType type) {
  switch (type) {
    case ElementType::f64:
      return H5T_IEEE_F64LE;
    case ElementType::f32:
      return H5T_IEEE_F32LE;
    case ElementType::i64:
      return H5T_STD_I64LE;
    case ElementType::i32:
      return H5T_STD_I32LE;
    case ElementType::i16:
      return H5T_STD_I16LE;
    case ElementType::i8:
      return H5T_STD_I8LE;
    case ElementType::u64:
      return H5T_STD_U64LE;
    case ElementType::u32:
      return H5T_STD_U32LE;
    case ElementType::u16:
      return H5T_STD_U16LE;
    default:
      return H5T_STD_U8LE;
  }
}

bool says_its_type(ElementType type) {
  return type == ElementType::f8_e4m3 || type == ElementType::f8_e5m2 || type == ElementType::f8_e8m0 ||
         type == ElementType::boolean;
}

}  // namespace

Hdf5Id hdf5_type(const Hdf5File& file, ElementType type) {
  if (type == ElementType::bf16) return small_float(file, 8, 127);
  if (type == ElementType::f16) return small_float(file, 5, 15);
  return file.own(H5Tcopy(plain_type(type)), H5Tclose, "copy a type");
}

Hdf5Id hdf5_space(const Hdf5File& file, const Shape& shape) {
  std::array<hsize_t, Shape::kMaxRank> extents{1};
  for (int d = 0; d < shape.rank(); ++d) extents[static_cast<size_t>(d)] = static_cast<hsize_t>(shape[d]);
  return file.own(H5Screate_simple(std::max(shape.rank(), 1), extents.data(), nullptr), H5Sclose,
                  "make a data space");
}

Hdf5Id DatasetMaker::creation_list() const {
  Hdf5Id list = file_.own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "make a property list");
  file_.checked(H5Pset_obj_track_times(list.get(), false), "set a property");
  return list;
}

hid_t DatasetMaker::group(const std::string& name) {
  Hdf5Id& group = groups_[name];
  if (group.get() < 0) {
    const Hdf5Id list = file_.own(H5Pcreate(H5P_GROUP_CREATE), H5Pclose, "make a property list");
    file_.checked(H5Pset_obj_track_times(list.get(), false), "set a property");
    group = file_.own(H5Gcreate2(file_.get(), name.c_str(), H5P_DEFAULT, list.get(), H5P_DEFAULT), H5Gclose,
                      "create the group '" + name + "'");
  }
  return group.get();
}

Hdf5Id DatasetMaker::make(const std::string& group_name, const std::string& name, ElementType type,
                          hid_t space, hid_t creation) {
  Hdf5Id& stored = types_[type];
  if (stored.get() < 0) stored = hdf5_type(file_, type);
  Hdf5Id dataset = file_.own(
      H5Dcreate2(group(group_name), name.c_str(), stored.get(), space, H5P_DEFAULT, creation, H5P_DEFAULT),
      H5Dclose, "create the dataset '" + group_name + "/" + name + "'");
  if (says_its_type(type)) {
    const std::string text(strata::name(type));
    const Hdf5Id string = file_.own(H5Tcopy(H5T_C_S1), H5Tclose, "copy a type");
    file_.checked(H5Tset_size(string.get(), text.size()), "size a string");
    const Hdf5Id one = file_.own(H5Screate(H5S_SCALAR), H5Sclose, "make a data space");
    const Hdf5Id attribute =
        file_.own(H5Acreate2(dataset.get(), "dtype", string.get(), one.get(), H5P_DEFAULT, H5P_DEFAULT),
                  H5Aclose, "create an attribute");
    file_.checked(H5Awrite(attribute.get(), string.get(), text.data()), "write an attribute");
  }
  return dataset;
}

}  // namespace strata
