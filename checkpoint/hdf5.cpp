// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/hdf5.h"

#include <fmt/format.h>

#include "checkpoint/hdf5_file_driver.h"
#include "core/base/error.h"

namespace strata {
namespace {

// HDF5's own state is one per process; so is its lock.
std::mutex& library_lock() {
  static std::mutex lock;
  return lock;
}

// "H5Dcreate2: unable to create dataset; H5O__...: ...", outermost call first.
std::string error_stack() {
  std::string text;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_DOWNWARD,
      [](unsigned, const H5E_error2_t* error, void* into) -> herr_t {
        auto& all = *static_cast<std::string*>(into);
        if (all.size() > 2000) return 0;
        if (!all.empty()) all += "; ";
        all +=
            fmt::format("{}: {}", error->func_name ? error->func_name : "?", error->desc ? error->desc : "?");
        return 0;
      },
      &text);
  return text.empty() ? "HDF5 gives no reason" : text;
}

}  // namespace

Hdf5::Hdf5() : lock_(library_lock()) {
  // At the end of the process HDF5 would close what a failed close left half open, through a driver whose
  // file is gone. Every file of ours is closed by its owner. (The call counts before any other only.)
  H5dont_atexit();
  H5open();
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5::~Hdf5() { H5Eclear2(H5E_DEFAULT); }

Hdf5File::Hdf5File(const Hdf5&, File& file, int64_t alignment) : storage_(file) {
  H5Eclear2(H5E_DEFAULT);
  driver_ = own(register_file_driver(), H5FDunregister, "register a file driver");
  const Hdf5Id access = own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "make a property list");
  const Hdf5Storage storage{&storage_, &failure_};
  checked(H5Pset_driver(access.get(), driver_.get(), &storage), "choose the file driver");
  checked(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_V110), "choose the format");
  checked(H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG), "choose how files close");
  const auto unit = static_cast<hsize_t>(alignment);
  checked(H5Pset_alignment(access.get(), unit, unit), "choose the alignment");
  // The root group's: files of the same content are the same bytes whenever they are made.
  const Hdf5Id creation = own(H5Pcreate(H5P_FILE_CREATE), H5Pclose, "make a property list");
  checked(H5Pset_obj_track_times(creation.get(), false), "set a property");
  file_ = own(H5Fcreate(file.path().c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose,
              "create the HDF5 file");
}

Hdf5File::~Hdf5File() = default;

hid_t Hdf5File::checked(hid_t result, const std::string& action) const {
  if (failure_) std::rethrow_exception(failure_);
  if (result >= 0) return result;
  throw Error(Fault::environment,
              {.what = "HDF5 cannot " + action, .where = storage_.path(), .found = error_stack()});
}

void Hdf5File::close() { checked(file_.close(), "close the file"); }

}  // namespace strata
