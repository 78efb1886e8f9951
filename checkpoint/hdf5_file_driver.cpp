// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/hdf5_file_driver.h"

#include <algorithm>
#include <cstring>

namespace strata {
namespace {

struct OpenFile {
  H5FD_t base;  // first: HDF5 sees this only
  Hdf5Storage storage;
  haddr_t end_of_allocation;
  haddr_t end_of_file;
};

OpenFile& self(H5FD_t* file) { return *reinterpret_cast<OpenFile*>(file); }
const OpenFile& self(const H5FD_t* file) { return *reinterpret_cast<const OpenFile*>(file); }

// No exception may pass through HDF5's C code.
template <typename Body>
herr_t guarded(const Hdf5Storage& storage, Body body) {
  try {
    body();
    return 0;
  } catch (...) {
    if (!*storage.failure) *storage.failure = std::current_exception();
    return -1;
  }
}

// HDF5 1.10 that meets a failed write on closing keeps the file half open, and writes to it when the process
// ends. So it is never told: after the first failure nothing more is written, and Hdf5File::checked throws
// what was seen here.
template <typename Body>
herr_t changing(const Hdf5Storage& storage, Body body) {
  if (!*storage.failure) guarded(storage, body);
  return 0;
}

H5FD_t* open_file(const char*, unsigned flags, hid_t access, haddr_t) {
  const auto* const storage = static_cast<const Hdf5Storage*>(H5Pget_driver_info(access));
  if (!storage) return nullptr;
  auto* const opened =
      new OpenFile{.base = {}, .storage = *storage, .end_of_allocation = 0, .end_of_file = 0};
  const herr_t result = guarded(*storage, [&] {
    if (flags & H5F_ACC_TRUNC) storage->file->truncate(0);
    opened->end_of_file = static_cast<haddr_t>(storage->file->size());
  });
  if (result >= 0) return &opened->base;
  delete opened;
  return nullptr;
}

herr_t close_file(H5FD_t* file) {
  delete &self(file);
  return 0;
}

int compare(const H5FD_t* a, const H5FD_t* b) {
  const File *const left = self(a).storage.file, *const right = self(b).storage.file;
  return left < right ? -1 : left > right ? 1 : 0;
}

herr_t query(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
           H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t end_of_allocation(const H5FD_t* file, H5FD_mem_t) { return self(file).end_of_allocation; }
herr_t set_end_of_allocation(H5FD_t* file, H5FD_mem_t, haddr_t end) {
  self(file).end_of_allocation = end;
  return 0;
}
haddr_t end_of_file(const H5FD_t* file, H5FD_mem_t) {
  return std::max(self(file).end_of_file, self(file).end_of_allocation);
}

// What lies behind the end of the file reads as zeros.
herr_t read(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t at, size_t bytes, void* into) {
  return guarded(self(file).storage, [&] {
    const std::span<std::byte> memory(static_cast<std::byte*>(into), bytes);
    const int64_t got = self(file).storage.file->read_up_to(static_cast<int64_t>(at), memory);
    std::memset(memory.data() + got, 0, bytes - static_cast<size_t>(got));
  });
}

herr_t write(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t at, size_t bytes, const void* from) {
  OpenFile& opened = self(file);
  return changing(opened.storage, [&] {
    opened.storage.file->write(static_cast<int64_t>(at), {static_cast<const std::byte*>(from), bytes});
    opened.end_of_file = std::max<haddr_t>(opened.end_of_file, at + bytes);
  });
}

// Called when the file is closed: it becomes as long as what HDF5 has allocated in it.
herr_t truncate(H5FD_t* file, hid_t, hbool_t) {
  OpenFile& opened = self(file);
  return changing(opened.storage, [&] {
    if (opened.end_of_file == opened.end_of_allocation) return;
    opened.storage.file->truncate(static_cast<int64_t>(opened.end_of_allocation));
    opened.end_of_file = opened.end_of_allocation;
  });
}

constexpr H5FD_class_t kDriver = {
    .name = "strata_file",
    .maxaddr = HADDR_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(Hdf5Storage),
    .open = open_file,
    .close = close_file,
    .cmp = compare,
    .query = query,
    .get_eoa = end_of_allocation,
    .set_eoa = set_end_of_allocation,
    .get_eof = end_of_file,
    .read = read,
    .write = write,
    .truncate = truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

}  // namespace

hid_t register_file_driver() { return H5FDregister(&kDriver); }

}  // namespace strata
