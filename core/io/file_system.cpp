// SPDX-License-Identifier: Apache-2.0
#include "core/io/file_system.h"

#include <cerrno>
#include <filesystem>

namespace strata {
namespace {

bool missing(int code) { return code == ENOENT || code == ENOTDIR; }

void throw_if(int code, std::string action, const std::string& path) {
  if (code != 0) throw IoError({.action = std::move(action), .path = path, .code = code});
}

const char* open_action(OpenMode mode) {
  return mode == OpenMode::create || mode == OpenMode::create_new ? "create" : "open";
}

}  // namespace

std::unique_ptr<File> FileSystem::open(const std::string& path, OpenMode mode, Caching caching) {
  auto [file, code] = do_open(path, mode, caching);
  if (code != 0)
    throw IoError(
        {.action = open_action(mode), .path = path, .code = code, .direct = caching == Caching::direct});
  return std::move(file);
}

std::unique_ptr<File> FileSystem::open_if_exists(const std::string& path, OpenMode mode, Caching caching) {
  auto [file, code] = do_open(path, mode, caching);
  if (missing(code)) return nullptr;
  if (code != 0)
    throw IoError(
        {.action = open_action(mode), .path = path, .code = code, .direct = caching == Caching::direct});
  return std::move(file);
}

std::optional<FileInfo> FileSystem::info(const std::string& path) {
  const auto [info, code] = do_info(path);
  if (missing(code)) return std::nullopt;
  throw_if(code, "look up", path);
  return info;
}

bool FileSystem::is_link(const std::string& path) {
  const auto [link, code] = do_is_link(path);
  if (missing(code)) return false;
  throw_if(code, "look up", path);
  return link;
}

std::optional<std::vector<std::string>> FileSystem::list(const std::string& directory) {
  auto [names, code] = do_list(directory);
  if (code == ENOENT) return std::nullopt;
  throw_if(code, "list the folder", directory);
  return std::move(names);
}

bool FileSystem::make_directory(const std::string& path) {
  const int code = do_make_directory(path);
  if (code == EEXIST) {
    const std::optional<FileInfo> there = info(path);
    if (there && there->type == FileInfo::Type::directory) return false;
  }
  throw_if(code, "make the folder", path);
  return true;
}

void FileSystem::rename(const std::string& from, const std::string& to) {
  throw_if(do_rename(from, to), "rename to '" + to + "'", from);
}

bool FileSystem::remove(const std::string& path) {
  const int code = do_remove(path);
  if (missing(code)) return false;
  throw_if(code, "remove", path);
  return true;
}

void FileSystem::sync_directory(const std::string& path) {
  throw_if(do_sync_directory(path), "sync the folder", path);
}

std::unique_ptr<Mapping> FileSystem::map(const std::string& path) {
  auto [mapping, code] = do_map(path);
  throw_if(code, "map", path);
  return std::move(mapping);
}

Volume FileSystem::volume(const std::string& path) {
  auto [volume, code] = do_volume(path);
  throw_if(code, "look up the file system of", path);
  return std::move(volume);
}

std::string parent_directory(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

void make_directories(FileSystem& files, const std::string& path) {
  const std::optional<FileInfo> there = files.info(path);
  if (there && there->type == FileInfo::Type::directory) return;
  const std::string parent = parent_directory(path);
  if (parent != path) make_directories(files, parent);
  if (files.make_directory(path)) files.sync_directory(parent);
}

bool remove_tree(FileSystem& files, const std::string& path) {
  // Removing first and looking inside only when told "not empty" never follows a link into another folder.
  try {
    return files.remove(path);
  } catch (const IoError& error) {
    if (error.code() != ENOTEMPTY && error.code() != EEXIST) throw;
  }
  for (const std::string& name : files.list(path).value_or(std::vector<std::string>{}))
    remove_tree(files, path + "/" + name);
  return files.remove(path);
}

std::string read_file(FileSystem& files, const std::string& path) {
  const std::unique_ptr<File> file = files.open(path, OpenMode::read);
  std::string content(static_cast<size_t>(file->size()), '\0');
  file->read(0, std::as_writable_bytes(std::span(content)));
  return content;
}

void replace_file(FileSystem& files, const std::string& path, std::span<const std::byte> content) {
  const std::string temporary = path + ".tmp";
  try {
    const std::unique_ptr<File> file = files.open(temporary, OpenMode::create);
    file->write(0, content);
    file->sync();  // before the rename, or a crash could leave the new name on missing data
    files.rename(temporary, path);
  } catch (...) {
    try {
      files.remove(temporary);
    } catch (const Error&) {  // the first failure is the one to report
    }
    throw;
  }
  files.sync_directory(parent_directory(path));
}

void replace_file(FileSystem& files, const std::string& path, std::string_view content) {
  replace_file(files, path, std::as_bytes(std::span(content)));
}

}  // namespace strata
