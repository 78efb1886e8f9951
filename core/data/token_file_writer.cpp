// SPDX-License-Identifier: Apache-2.0
#include "core/data/token_file_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/data/loss_mask.h"

namespace strata {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void io_error(std::string what, const fs::path& path, int64_t offset, std::error_code reason) {
  throw Error(Fault::environment, {.what = std::move(what),
                                   .where = fmt::format("{}, byte {}", path.string(), offset),
                                   .found = reason.message(),
                                   .expected = "a folder with room that this process may write to",
                                   .fix = "free space, or check quota and permissions"});
}

std::error_code last_error() { return {errno, std::generic_category()}; }

// A new file under a name of its own that becomes `target` by rename, or goes away.
class PendingFile {
 public:
  explicit PendingFile(fs::path target) : target_(std::move(target)), temporary_(target_) {
    // Ranks on several hosts may write the same cache: a process number would not be unique.
    std::random_device random;
    temporary_ += fmt::format(".tmp-{:08x}{:08x}", random(), random());
    const int fd = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) io_error("an output file cannot be made", temporary_, 0, last_error());
    file_ = ::fdopen(fd, "wb");
    check(file_ != nullptr, "[token_file_writer] fdopen: {}", last_error().message());
  }
  ~PendingFile() {
    if (file_) std::fclose(file_);
    if (!renamed_) ::unlink(temporary_.c_str());
  }
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  void write(const void* data, size_t bytes) {
    if (bytes == 0) return;  // `data` may be null
    if (std::fwrite(data, 1, bytes, file_) != bytes) failed_write();
    bytes_ += static_cast<int64_t>(bytes);
  }

  // On disk, but still under the temporary name.
  void flush() {
    if (std::fflush(file_) != 0 || ::fsync(::fileno(file_)) != 0) failed_write();
  }

  void rename() {
    if (::rename(temporary_.c_str(), target_.c_str()) != 0)
      io_error("an output file cannot be renamed", target_, 0, last_error());
    renamed_ = true;
  }

 private:
  [[noreturn]] void failed_write() {
    io_error("an output file cannot be written", target_, bytes_, last_error());
  }

  fs::path target_, temporary_;
  std::FILE* file_ = nullptr;
  int64_t bytes_ = 0;
  bool renamed_ = false;
};

fs::path make_parent(fs::path prefix) {
  if (!prefix.has_parent_path()) return prefix;
  std::error_code failure;
  fs::create_directories(prefix.parent_path(), failure);
  if (failure) io_error("an output folder cannot be made", prefix.parent_path(), 0, failure);
  return prefix;
}

void sync_parent(const fs::path& prefix) {
  const fs::path parent = prefix.has_parent_path() ? prefix.parent_path() : fs::path(".");
  const int fd = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // a folder that may be written but not read: the names reach the disk later
  ::fsync(fd);
  ::close(fd);
}

template <typename T>
void narrow_into(std::span<const int32_t> tokens, std::vector<std::byte>& out) {
  out.resize(tokens.size() * sizeof(T));
  for (size_t i = 0; i < tokens.size(); ++i) {
    check(tokens[i] >= 0 &&
              static_cast<uint32_t>(tokens[i]) <= static_cast<uint32_t>(std::numeric_limits<T>::max()),
          "[token_file_writer] token {} does not fit in {} bytes", tokens[i], sizeof(T));
    const T value = static_cast<T>(tokens[i]);
    std::memcpy(out.data() + i * sizeof(T), &value, sizeof(T));
  }
}

}  // namespace

TokenType token_type_for(int64_t vocab_size) { return vocab_size < 65500 ? TokenType::u16 : TokenType::i32; }

struct TokenFileWriter::Impl {
  Impl(const fs::path& given, Options chosen)
      : options(chosen),
        prefix(make_parent(token_file_prefix(given))),
        bin((refuse_existing(), bin_path(prefix))),  // before a file is made
        idx(idx_path(prefix)) {
    if (options.mask) mask_file.emplace(mask_path(prefix));
    check(options.max_sequence >= 1 && options.max_sequence <= INT32_MAX,
          "[token_file_writer] max_sequence {}", options.max_sequence);
  }

  void refuse_existing() const {
    if (options.existing != Existing::refuse) return;
    for (const fs::path& path : {bin_path(prefix), idx_path(prefix), mask_path(prefix)})
      if (fs::exists(path))
        throw Error(Fault::usage, {.what = "the output is there already and is not written over",
                                   .where = path.string(),
                                   .found = "a file of that name",
                                   .expected = "a new name",
                                   .fix = "choose another output, remove the file, or ask to overwrite it"});
  }

  void end_sequence() {
    if (sequence_tokens == 0) return;
    lengths.push_back(static_cast<int32_t>(sequence_tokens));
    sequence_tokens = 0;
  }

  // A mask that an earlier writer left would be read as one of these tokens.
  void rename_mask() {
    const fs::path path = mask_path(prefix);
    if (mask_file)
      mask_file->rename();
    else if (::unlink(path.c_str()) != 0 && errno != ENOENT)
      io_error("an old loss mask cannot be removed", path, 0, last_error());
  }

  void write_mask() {
    const auto bytes = mask.file(
        document_hash(std::as_bytes(std::span(lengths)), std::as_bytes(std::span(document_indices))));
    mask_file->write(bytes.data(), bytes.size());
    mask_file->flush();
  }

  void write_index() {
    const auto put = [&](auto value) { idx.write(&value, sizeof value); };
    idx.write(token_index::kMagic.data(), token_index::kMagic.size());
    put(token_index::kVersion);
    put(static_cast<uint8_t>(options.type));
    put(uint64_t{lengths.size()});
    put(uint64_t{document_indices.size()});
    idx.write(lengths.data(), lengths.size() * sizeof(int32_t));
    int64_t pointer = 0;
    for (const int32_t length : lengths) {
      put(pointer);
      pointer += length * size_of(options.type);
    }
    idx.write(document_indices.data(), document_indices.size() * sizeof(int64_t));
  }

  Options options;
  fs::path prefix;
  PendingFile bin, idx;
  std::optional<PendingFile> mask_file;
  LossMaskBuilder mask;
  std::vector<int32_t> lengths;              // of the sequences ended so far
  std::vector<int64_t> document_indices{0};  // sequences before each document, and after the last
  int64_t sequence_tokens = 0;               // of the open sequence
  int64_t num_tokens = 0;
  std::vector<std::byte> encoded;
};

TokenFileWriter::TokenFileWriter(const fs::path& prefix, Options options)
    : impl_(std::make_unique<Impl>(prefix, options)) {}

TokenFileWriter::~TokenFileWriter() = default;

void TokenFileWriter::append(std::span<const int32_t> tokens, bool learned) {
  Impl& w = *impl_;
  check(learned || w.options.mask, "[token_file_writer] tokens that are not learned need a mask");
  if (w.options.mask) w.mask.append(static_cast<int64_t>(tokens.size()), learned);
  switch (w.options.type) {
    case TokenType::u8:
      narrow_into<uint8_t>(tokens, w.encoded);
      break;
    case TokenType::u16:
      narrow_into<uint16_t>(tokens, w.encoded);
      break;
    case TokenType::i32:
      narrow_into<int32_t>(tokens, w.encoded);
      break;
  }
  w.bin.write(w.encoded.data(), w.encoded.size());
  w.num_tokens += static_cast<int64_t>(tokens.size());
  for (auto left = static_cast<int64_t>(tokens.size()); left > 0;) {
    if (w.sequence_tokens == w.options.max_sequence) w.end_sequence();
    const int64_t taken = std::min(left, w.options.max_sequence - w.sequence_tokens);
    w.sequence_tokens += taken;
    left -= taken;
  }
}

void TokenFileWriter::end_document() {
  impl_->end_sequence();
  const auto sequences = static_cast<int64_t>(impl_->lengths.size());
  if (sequences > impl_->document_indices.back()) impl_->document_indices.push_back(sequences);
}

void TokenFileWriter::commit() {
  end_document();
  Impl& w = *impl_;
  w.write_index();
  w.bin.flush();
  w.idx.flush();
  if (w.mask.num_learned() == w.num_tokens) w.mask_file.reset();  // without a mask all are learned
  if (w.mask_file) w.write_mask();
  w.refuse_existing();
  const fs::path idx = idx_path(w.prefix);
  if (w.options.existing == Existing::keep && fs::exists(idx) && fs::exists(bin_path(w.prefix))) return;
  if (w.options.existing == Existing::replace && ::unlink(idx.c_str()) == 0) sync_parent(w.prefix);
  w.bin.rename();
  w.rename_mask();
  sync_parent(w.prefix);
  w.idx.rename();
  sync_parent(w.prefix);
}

int64_t TokenFileWriter::num_tokens() const { return impl_->num_tokens; }
int64_t TokenFileWriter::num_learned() const {
  return impl_->options.mask ? impl_->mask.num_learned() : num_tokens();
}
int64_t TokenFileWriter::num_documents() const {
  return static_cast<int64_t>(impl_->document_indices.size()) - 1;
}

}  // namespace strata
