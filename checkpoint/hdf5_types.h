// SPDX-License-Identifier: Apache-2.0
// Element types as HDF5 describes them, and datasets that all files of a checkpoint make alike.
#pragma once

#include <map>

#include "checkpoint/element_type.h"
#include "checkpoint/hdf5.h"
#include "core/tensor/shape.h"

namespace strata {

// f16 and bf16 are 16-bit floats of their own layout, which HDF5 converts on reading; FP8 and bool are bytes,
// and the dataset says what they are in its attribute "dtype".
Hdf5Id hdf5_type(const Hdf5File& file, ElementType type);

// A scalar is one element of rank 1.
Hdf5Id hdf5_space(const Hdf5File& file, const Shape& shape);

// Makes datasets in groups that appear when they are first needed.
class DatasetMaker {
 public:
  explicit DatasetMaker(const Hdf5File& file) : file_(file) {}

  // `creation` is a dataset creation list.
  Hdf5Id make(const std::string& group, const std::string& name, ElementType type, hid_t space,
              hid_t creation);
  // A dataset creation list that keeps no times: the same content is the same bytes.
  Hdf5Id creation_list() const;

 private:
  hid_t group(const std::string& name);

  const Hdf5File& file_;
  std::map<std::string, Hdf5Id> groups_;
  std::map<ElementType, Hdf5Id> types_;
};

}  // namespace strata
