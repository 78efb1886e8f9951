// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenize.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/data/document_encoder.h"
#include "core/data/utf8.h"

namespace strata {
namespace {

namespace fs = std::filesystem;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

[[noreturn]] void fail_to_read(const fs::path& path, std::string found) {
  throw Error(Fault::data, {.what = "a text file cannot be read",
                            .where = path.string(),
                            .found = std::move(found),
                            .expected = "a readable file of UTF-8 text",
                            .fix = "check the path and its permissions"});
}

// Does not open the file: that would end a pipe.
void require_readable(const fs::path& path) {
  if (::access(path.c_str(), R_OK) != 0) fail_to_read(path, std::generic_category().message(errno));
  if (fs::is_directory(path)) fail_to_read(path, "a directory");
}

// Not a MappedFile: text may come through a pipe.
class TextReader {
 public:
  explicit TextReader(const fs::path& path) : path_(path), file_(std::fopen(path.c_str(), "rbe")) {
    if (!file_) fail_to_read(path, std::generic_category().message(errno));
  }

  // Up to `buffer.size()` bytes; less only at the end.
  std::string_view read(std::string& buffer) {
    const size_t bytes = std::fread(buffer.data(), 1, buffer.size(), file_.get());
    if (std::ferror(file_.get())) fail_to_read(path_, std::generic_category().message(errno));
    return std::string_view(buffer).substr(0, bytes);
  }

 private:
  const fs::path& path_;
  std::unique_ptr<std::FILE, CloseFile> file_;
};

void require_utf8(const fs::path& file, const std::optional<Utf8Fault>& fault) {
  if (!fault) return;
  const bool utf16 = fault->offset == 0 && fault->byte >= 0xFE;  // its byte order mark
  throw Error(Fault::data,
              {.what = "a text file is not UTF-8",
               .where = fmt::format("{}:{}", file.string(), fault->line),
               .found = fmt::format("byte 0x{:02X} at offset {}{}", fault->byte, fault->offset,
                                    fault->at_end ? ", where the text ends inside a character" : ""),
               .expected = "UTF-8 text",
               .fix = fmt::format("iconv -f {} -t UTF-8 {} > NEW.txt", utf16 ? "UTF-16" : "WINDOWS-1252",
                                  file.string())});
}

bool is_token_file(const fs::path& path) {
  const auto suffix = path.extension();
  return suffix == ".bin" || suffix == ".idx" || fs::exists(idx_path(path));
}

std::string cache_name(const fs::path& file, const Tokenizer& tokenizer, const TokenizeOptions& options) {
  const MappedFile text(file);
  const std::string_view bytes(reinterpret_cast<const char*>(text.bytes().data()), text.bytes().size());
  uint64_t hash = hash_combine(hash_name(bytes), bytes.size());
  hash = hash_combine(hash, tokenizer.fingerprint());
  if (holds_records(file, options.records.format)) {
    const auto scheme = record_scheme_of(bytes, file, options.records);
    return fmt::format("{:016x}", hash_combine(hash, scheme ? scheme->fingerprint() : 0));
  }
  const DocumentSplit& split = options.document;
  hash = hash_combine(hash, static_cast<uint64_t>(split.kind));
  return fmt::format("{:016x}", hash_combine(hash, hash_name(split.separator)));
}

TokenFile open_cached(const fs::path& file, const fs::path& cache, const Tokenizer& tokenizer,
                      TokenizeOptions options) {
  const fs::path prefix = cache / cache_name(file, tokenizer, options);
  options.existing = Existing::keep;
  if (fs::exists(idx_path(prefix)) && fs::exists(bin_path(prefix))) {
    try {
      return TokenFile(prefix);
    } catch (const Error& damage) {
      log::warn("the cached tokens of {} are damaged and are made again\n{}", file.string(), damage.what());
      options.existing = Existing::replace;
    }
  }
  const RecordCounts records = tokenize_files({&file, 1}, prefix, tokenizer, options).records;
  if (records.unlearned > 0)
    log::warn("nothing is learned from {} of {} records, the first of them {}", records.unlearned,
              records.records, records.first_unlearned);
  return TokenFile(prefix);
}

}  // namespace

TokenizeProgress tokenize_files(std::span<const fs::path> files, const fs::path& prefix,
                                const Tokenizer& tokenizer, const TokenizeOptions& options) {
  check(options.chunk_bytes > 0, "[tokenize] chunk of {} bytes", options.chunk_bytes);
  TokenizeProgress progress;
  for (const fs::path& file : files) {
    require_readable(file);  // all of them, before hours are spent on the first
    std::error_code not_regular;
    if (const auto bytes = fs::file_size(file, not_regular); !not_regular)
      progress.total_bytes += static_cast<int64_t>(bytes);
  }

  const auto has_records = [&](const fs::path& file) { return holds_records(file, options.records.format); };
  TokenFileWriter writer(prefix, {.type = token_type_for(tokenizer.vocab_size()),
                                  .existing = options.existing,
                                  .mask = std::any_of(files.begin(), files.end(), has_records)});
  DocumentEncoder document(tokenizer, writer, options.threads);
  std::string buffer(static_cast<size_t>(options.chunk_bytes), '\0');
  for (const fs::path& file : files) {
    progress.file = file;
    TextReader reader(file);
    Utf8Checker checker;
    DocumentSplitter splitter(
        options.document, {[&](std::string_view piece) { document.piece(piece); }, [&] { document.end(); }});
    std::optional<RecordFileEncoder> records;
    if (has_records(file)) {
      document.finish();  // what is held back comes first
      records.emplace(file, options.records, tokenizer, writer, options.threads, progress.records);
    }
    for (std::string_view chunk; !(chunk = reader.read(buffer)).empty();) {
      require_utf8(file, checker.feed(chunk));
      if (records)
        records->feed(chunk);
      else
        splitter.feed(chunk);
      progress.bytes += static_cast<int64_t>(chunk.size());
      progress.tokens = writer.num_tokens();
      progress.documents = writer.num_documents();
      if (options.progress) options.progress(progress);
    }
    require_utf8(file, checker.finish());
    if (records)
      records->finish();
    else
      splitter.finish();
  }
  document.finish();
  if (writer.num_tokens() == 0)
    throw Error(Fault::data,
                {.what = "there is no text to tokenize",
                 .where = files.empty() ? "the list of files" : files[0].string(),
                 .found = fmt::format("{} files, {} bytes, no document", files.size(), progress.bytes),
                 .expected = "at least one document that is not empty",
                 .fix = "name files that hold text"});
  writer.commit();
  progress.learned = writer.num_learned();
  progress.tokens = writer.num_tokens();
  progress.documents = writer.num_documents();
  return progress;
}

std::vector<TokenFile> open_data(std::span<const fs::path> paths, const fs::path& cache,
                                 const Tokenizer& tokenizer, const TokenizeOptions& options) {
  std::vector<TokenFile> files;
  files.reserve(paths.size());
  for (const fs::path& path : paths)
    files.push_back(is_token_file(path) ? TokenFile(path) : open_cached(path, cache, tokenizer, options));
  return files;
}

}  // namespace strata
