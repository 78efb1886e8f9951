// SPDX-License-Identifier: Apache-2.0
// HDF5's virtual file driver over a File of core/io.
#pragma once

#include <hdf5.h>

#include <exception>

#include "core/io/file.h"

namespace strata {

// The driver's properties in a file access list. Both outlive the HDF5 file.
struct Hdf5Storage {
  File* file = nullptr;
  std::exception_ptr* failure = nullptr;  // receives the first exception of the file
};

// Registers the driver; the caller closes it with H5FDunregister after its files. Negative when HDF5 refuses.
hid_t register_file_driver();

}  // namespace strata
