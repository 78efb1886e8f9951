// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/gguf_source.h"

#include <algorithm>
#include <map>

#include "checkpoint/adapters/gguf_types.h"
#include "checkpoint/adapters/strided_copy.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr int64_t kBufferBytes = int64_t{1} << 20;

int64_t stored_bytes(const GgufTensor& tensor, int64_t elements) {
  if (const BlockFormat* const blocks = gguf_block_format(tensor.type))
    return elements / blocks->elements * blocks->bytes;
  return elements * size_of(*gguf_element_type(tensor.type));
}

// Decodes columns [first, first + columns) of `rows` rows that follow each other in the file.
class BlockReader {
 public:
  BlockReader(File& file, const BlockFormat& format, int64_t row_elements)
      : file_(file), format_(format), row_bytes_(row_elements / format.elements * format.bytes) {}

  void read(int64_t offset, int64_t rows, int64_t first, int64_t columns, const StridedTarget& into,
            int64_t row_stride, int64_t column_stride) {
    const int64_t per_buffer = kBufferBytes / format_.bytes * format_.elements;
    // Whole groups of rows where one is short, parts of a row where it is long.
    const int64_t some_rows = std::clamp<int64_t>(kBufferBytes / row_bytes_, 1, rows);
    for (int64_t c = first; c < first + columns;) {
      const int64_t block = c / format_.elements;
      const int64_t end =
          std::min(first + columns, some_rows > 1 ? first + columns : block * format_.elements + per_buffer);
      const int64_t count = (end + format_.elements - 1) / format_.elements - block;
      for (int64_t r = 0; r < rows; r += some_rows) {
        const int64_t now = std::min(some_rows, rows - r);
        stored_.resize(static_cast<size_t>((now - 1) * row_bytes_ + count * format_.bytes));
        file_.read(offset + r * row_bytes_ + block * format_.bytes, stored_);
        decoded_.resize(static_cast<size_t>(count * format_.elements));
        for (int64_t i = 0; i < now; ++i) {
          format_.decode(stored_.data() + i * row_bytes_, count, decoded_.data());
          const std::byte* from =
              reinterpret_cast<const std::byte*>(decoded_.data() + (c - block * format_.elements));
          std::byte* to = into.data + (r + i) * row_stride + (c - first) * column_stride;
          copy_strided({end - c}, {.data = from, .strides = {4}}, {.data = to, .strides = {column_stride}},
                       4);
        }
      }
      c = end;
    }
  }

 private:
  File& file_;
  const BlockFormat& format_;
  int64_t row_bytes_;
  std::vector<std::byte> stored_;
  std::vector<float> decoded_;
};

}  // namespace

bool GgufSource::recognises(FileSystem& files, const std::string& path) {
  const auto info = files.info(path);
  if (!info || info->type != FileInfo::Type::file || info->bytes < 4 || files.is_link(path)) return false;
  std::string magic(4, '\0');
  files.open(path, OpenMode::read_plain)->read(0, std::as_writable_bytes(std::span(magic)));
  return magic == "GGUF";
}

GgufSource::GgufSource(FileSystem& files, const std::string& path) : StoredTensors(files), path_(path) {
  const size_t number = add_file(path);
  const auto opened = file(number);
  header_ = read_gguf_header(*opened);
  for (const GgufTensor& tensor : header_.tensors) {
    const BlockFormat* const blocks = gguf_block_format(tensor.type);
    const auto type = blocks ? ElementType::f32 : gguf_element_type(tensor.type);
    if (!type)
      throw Error(Fault::model,
                  {.what = fmt::format("tensor '{}' is stored in a way that is not read here", tensor.name),
                   .where = path,
                   .found = gguf_type_name(tensor.type),
                   .expected = "F32, F16, BF16, Q8_0, Q4_0 or Q4_1",
                   .fix = "use a file of the model in one of these"});
    const TensorSpec logical{.name = tensor.name, .type = *type, .shape = tensor.shape};
    check_logical(logical, path);
    if (blocks && tensor.shape[-1] % blocks->elements != 0)
      throw Error(Fault::model, {.what = fmt::format("tensor '{}' has no whole blocks in a row", tensor.name),
                                 .where = path,
                                 .found = fmt::format("{} of {}", tensor.shape, blocks->name),
                                 .expected = fmt::format("rows of a multiple of {}", blocks->elements)});
    add({.logical = logical, .file = number, .offset = tensor.offset});
    blocks_.push_back(blocks);
  }
  check_apart(opened->size());
  nlohmann::json said = nlohmann::json::object();
  for (const auto& [key, value] : header_.values.items())
    if (!key.starts_with("tokenizer.")) said[key] = value;
  metadata_ = {{"gguf", std::move(said)}};
}

void GgufSource::check_apart(int64_t file_bytes) const {
  std::vector<const GgufTensor*> order;
  for (const GgufTensor& tensor : header_.tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  const auto refuse = [&](const GgufTensor& tensor, std::string found, std::string expected) {
    throw Error(Fault::model, {.what = fmt::format("tensor '{}' does not lie where it should", tensor.name),
                               .where = path_,
                               .found = std::move(found),
                               .expected = std::move(expected),
                               .fix = "fetch or write the file again"});
  };
  int64_t end = 0;
  for (const GgufTensor* tensor : order) {
    if (tensor->offset < end)
      refuse(*tensor, fmt::format("begin at byte {}", tensor->offset),
             fmt::format("at least {}, where the one before it ends", end));
    const int64_t bytes = stored_bytes(*tensor, tensor->shape.numel());
    if (tensor->offset > file_bytes || bytes > file_bytes - tensor->offset)
      refuse(*tensor, fmt::format("a file of {} bytes", file_bytes),
             fmt::format("{} bytes at {}", bytes, tensor->offset));
    end = tensor->offset + bytes;
  }
}

std::string GgufSource::format() const {
  std::map<uint32_t, int64_t> elements;
  for (const GgufTensor& tensor : header_.tensors) elements[tensor.type] += tensor.shape.numel();
  const auto most = std::max_element(elements.begin(), elements.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  std::string text = fmt::format("GGUF {}", header_.version);
  if (most != elements.end()) text += ", " + gguf_type_name(most->first);
  return elements.size() > 1 ? text + " and others" : text;
}

void GgufSource::read(size_t tensor, const Rect& rect, const StridedTarget& into) const {
  const BlockFormat* const blocks = blocks_.at(tensor);
  if (!blocks) return StoredTensors::read(tensor, rect, into);
  if (rect.numel() == 0) return;
  const GgufTensor& stored = header_.tensors[tensor];
  const Shape& shape = stored.shape;
  const int rank = shape.rank(), column = rank - 1, row = rank - 2;
  const auto opened = file(0);
  BlockReader reader(*opened, *blocks, shape[column]);
  const int64_t rows = rank > 1 ? rect.extent[row] : 1;
  const auto stride = [&](int d) { return d < 0 ? 0 : into.strides[static_cast<size_t>(d)]; };
  // The dims in front of rows and columns, one after another.
  const int64_t outer = rect.numel() / (rows * rect.extent[column]);
  for (int64_t o = 0; o < outer; ++o) {
    int64_t left = o, first_row = rank > 1 ? rect.begin[row] : 0, rows_of_dim = rank > 1 ? shape[row] : 1;
    StridedTarget target = into;
    for (int d = row - 1; d >= 0; --d) {
      const int64_t i = left % rect.extent[d];
      left /= rect.extent[d];
      first_row += (rect.begin[d] + i) * rows_of_dim;
      rows_of_dim *= shape[d];
      target.data += i * stride(d);
    }
    const int64_t row_bytes = shape[column] / blocks->elements * blocks->bytes;
    reader.read(stored.offset + first_row * row_bytes, rows, rect.begin[column], rect.extent[column], target,
                stride(row), stride(column));
  }
}

std::vector<std::string> GgufSource::texts(const std::string& key, int64_t most) const {
  const auto found = header_.arrays.find(key);
  return found == header_.arrays.end() ? std::vector<std::string>()
                                       : read_gguf_texts(*file(0), found->second, most);
}

std::vector<double> GgufSource::numbers(const std::string& key, int64_t most) const {
  const auto found = header_.arrays.find(key);
  return found == header_.arrays.end() ? std::vector<double>()
                                       : read_gguf_numbers(*file(0), found->second, most);
}

}  // namespace strata
