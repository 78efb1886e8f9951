// SPDX-License-Identifier: Apache-2.0
#include "core/io/io_error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace strata {
namespace {

std::string fix_for(const IoFailure& failure) {
  switch (failure.code) {
    case kEndOfFile:
      return "the file is cut short: copy or write it again";
    case ENOENT:
      return "check the path";
    case EACCES:
    case EPERM:
      return "give this user permission, or name another folder";
    case ENOSPC:
      return "free space on that file system, or name another folder";
    case EDQUOT:
      return "free space or raise the quota on that file system, or name another folder";
    case EROFS:
      return "name a folder on a writable file system";
    case EMFILE:
    case ENFILE:
      return "raise the limit of open files (ulimit -n)";
    case EEXIST:
      return "remove it, or name another path";
    case EIO:
      return "look for disk errors in the kernel log (dmesg); do not trust this file any more";
    case ELOOP:
      return "replace the symbolic link by the file it points to";
    case ESTALE:
      return "the file was replaced on its server: open it again";
    case EFBIG:
      return "the file system does not hold files of this size: name another folder";
    case EINVAL:
      if (failure.direct)
        return "this file system or range does not allow direct I/O: name a folder on a local disk";
      return "";
    default:
      return "";
  }
}

Report report_of(const IoFailure& failure) {
  Report report;
  report.what = fmt::format("cannot {} '{}'", failure.action, failure.path);
  if (failure.offset >= 0)
    report.where =
        fmt::format("{} bytes from offset {}, {} bytes done", failure.bytes, failure.offset, failure.done);
  report.found = io_code_text(failure.code);
  if (failure.code == kEndOfFile) {
    report.found = fmt::format("the file ends at byte {}", failure.offset + failure.done);
    report.expected = fmt::format("at least {} bytes", failure.offset + failure.bytes);
  }
  report.fix = fix_for(failure);
  return report;
}

}  // namespace

std::string io_code_text(int code) {
  if (code == kEndOfFile) return "unexpected end of file";
  if (code == kCrashed) return "crashed";
  const char* name = strerrorname_np(code);
  return fmt::format("{} ({})", std::generic_category().message(code), name ? name : std::to_string(code));
}

IoError::IoError(const IoFailure& failure)
    : Error(failure.code == kEndOfFile ? Fault::data : Fault::environment, report_of(failure)),
      code_(failure.code) {}

}  // namespace strata
