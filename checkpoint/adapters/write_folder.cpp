// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/write_folder.h"

#include <charconv>

#include "checkpoint/manifest.h"
#include "checkpoint/sha256.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr std::string_view kJournal = ".journal";
constexpr int64_t kJournalBytes = int64_t{1} << 28;  // a longer one is not ours

// "12 0 <32 digits>\n" from `text`, which it shortens; nothing when there is no whole line of that form.
struct JournalLine {
  size_t tensor = 0, piece = 0;
  Digest digest;
};
std::optional<JournalLine> take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  JournalLine line;
  const char* const last = text.data() + end;
  const auto tensor = std::from_chars(text.data(), last, line.tensor);
  if (tensor.ec != std::errc() || tensor.ptr == last || *tensor.ptr != ' ') return std::nullopt;
  const auto piece = std::from_chars(tensor.ptr + 1, last, line.piece);
  if (piece.ec != std::errc() || piece.ptr == last || *piece.ptr != ' ') return std::nullopt;
  const auto digest = digest_from({piece.ptr + 1, static_cast<size_t>(last - piece.ptr - 1)});
  if (!digest) return std::nullopt;
  line.digest = *digest;
  text.remove_prefix(end + 1);
  return line;
}

}  // namespace

WriteFolder::WriteFolder(FileSystem& files, std::string path, int64_t sync_bytes)
    : files_(files), path_(std::move(path)), sync_bytes_(sync_bytes) {
  while (path_.size() > 1 && path_.ends_with('/')) path_.pop_back();
  if (files_.info(path_))
    throw Error(Fault::usage, {.what = "what is to be written is there already",
                               .where = path_,
                               .fix = "remove it, or name another folder"});
}

bool WriteFolder::open(const std::string& identity) {
  const std::string name = path() + "/" + std::string(kJournal);
  const std::string head = sha256_hex(identity) + "\n";
  if (files_.info(path())) {
    auto journal = files_.open_if_exists(name, OpenMode::update);
    const int64_t bytes = journal ? journal->size() : 0;
    std::string text(static_cast<size_t>(bytes <= kJournalBytes ? bytes : 0), '\0');
    if (!text.empty()) journal->read(0, std::as_writable_bytes(std::span(text)));
    if (text.starts_with(head)) {
      std::string_view rest = std::string_view(text).substr(head.size());
      while (const auto line = take_line(rest)) kept_[{line->tensor, line->piece}] = line->digest;
      journal_end_ = std::ssize(text) - std::ssize(rest);  // a torn line is written over
      journal_ = std::move(journal);
      return true;
    }
    journal.reset();
    if (bytes == 0 && !files_.list(path())->empty())
      throw Error(Fault::usage, {.what = "a folder of the name under which the result is made is there",
                                 .where = path(),
                                 .found = "no conversion that was cut off",
                                 .fix = "remove it, or name another folder"});
    remove_tree(files_, path());
  }
  make_directories(files_, path());
  journal_ = files_.open(name, OpenMode::create);
  journal_->write(0, std::as_bytes(std::span(head)));
  journal_->sync();
  files_.sync_directory(path());
  journal_end_ = std::ssize(head);
  return false;
}

std::optional<Digest> WriteFolder::kept(size_t tensor, size_t piece) const {
  const auto known = kept_.find({tensor, piece});
  if (known == kept_.end()) return std::nullopt;
  return known->second;
}

void WriteFolder::wrote(size_t tensor, size_t piece, const Digest& digest, int64_t bytes,
                        const std::function<void()>& sync) {
  const std::lock_guard lock(mutex_);
  pending_ += fmt::format("{} {} {}\n", tensor, piece, to_string(digest));
  pending_bytes_ += bytes;
  if (pending_bytes_ < sync_bytes_) return;
  sync();
  journal_->write(journal_end_, std::as_bytes(std::span(pending_)));
  journal_->sync();
  journal_end_ += std::ssize(pending_);
  pending_.clear();
  pending_bytes_ = 0;
}

void WriteFolder::write(const std::string& name, std::string_view content) {
  const std::string file = name.substr(name.rfind('/') + 1);
  if (!is_plain_name(file) && file != ".metadata")
    throw Error(Fault::usage, {.what = "a file has a name that cannot be written beside the model",
                               .found = name.substr(0, 80)});
  const auto opened = files_.open(path() + "/" + name, OpenMode::create);
  opened->write(0, std::as_bytes(std::span(content)));
  opened->sync();
}

void WriteFolder::publish() {
  journal_.reset();
  files_.remove(path() + "/" + std::string(kJournal));
  files_.sync_directory(path());
  files_.rename(path(), path_);
  files_.sync_directory(parent_directory(path_));
}

void WriteFolder::discard() {
  journal_.reset();
  remove_tree(files_, path());
}

}  // namespace strata
