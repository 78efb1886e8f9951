// SPDX-License-Identifier: Apache-2.0
// The HDF5 library as this folder uses it: handles that close themselves, errors that carry HDF5's own words,
// and files that are a File of core/io, so that every byte HDF5 writes can be made to fail in tests. Tensor
// bytes never pass through here: HDF5 lays files out, our own I/O fills them.
#pragma once

#include <hdf5.h>

#include <exception>
#include <mutex>
#include <string>
#include <utility>

#include "core/io/file.h"

namespace strata {

// The right to call HDF5, which keeps one state per process: the calls of one Hdf5 object exclude all others.
// HDF5 prints nothing while it lives.
class Hdf5 {
 public:
  Hdf5();
  ~Hdf5();
  Hdf5(const Hdf5&) = delete;
  Hdf5& operator=(const Hdf5&) = delete;

 private:
  std::unique_lock<std::mutex> lock_;
};

// A handle of HDF5 with the call that gives it back.
class Hdf5Id {
 public:
  using Close = herr_t (*)(hid_t);
  Hdf5Id() = default;
  Hdf5Id(hid_t id, Close close) : id_(id), close_(close) {}
  Hdf5Id(Hdf5Id&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Id& operator=(Hdf5Id&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Hdf5Id() {
    if (id_ >= 0) close_(id_);
  }
  hid_t get() const { return id_; }
  // Negative when closing failed; the handle is gone either way.
  herr_t close() { return close_(std::exchange(id_, -1)); }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

// A new HDF5 file in `file`, whose content is replaced. Format bounds (V110, V110): metadata with checksums.
class Hdf5File {
 public:
  // Objects of at least `alignment` bytes begin at multiples of it. All three outlive this.
  Hdf5File(const Hdf5& library, File& file, int64_t alignment);
  ~Hdf5File();

  hid_t get() const { return file_.get(); }
  const std::string& path() const { return storage_.path(); }
  // Throws when a call of HDF5 failed (`result` < 0): what our own file said if it was the cause, else
  // Error(environment) with HDF5's error stack. `action` completes "cannot ...". Returns the result.
  hid_t checked(hid_t result, const std::string& action) const;
  Hdf5Id own(hid_t result, Hdf5Id::Close close, const std::string& action) const {
    return {checked(result, action), close};
  }
  // Writes what HDF5 still holds. HDF5 answers success after failed writes: this looks at what the file saw.
  void close();

 private:
  File& storage_;
  std::exception_ptr failure_;  // the first one of storage_
  Hdf5Id driver_, file_;
};

}  // namespace strata
