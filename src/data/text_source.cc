#include "data/text_source.h"

#include <arrow/io/api.h>
#include <arrow/util/compression.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "data/arrow_value.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr size_t kLongestLine = size_t{1} << 28;
constexpr std::string_view kUtf8Mark = "\xef\xbb\xbf";

struct Packing {
  std::string_view magic, name;
  arrow::Compression::type codec;  // UNCOMPRESSED: not read
  std::string_view hint;
};
constexpr std::array kPackings{
    Packing{"\x1f\x8b", "gzip", arrow::Compression::GZIP, ""},
    Packing{"\x28\xb5\x2f\xfd", "zstd", arrow::Compression::ZSTD, ""},
    Packing{"BZh", "bzip2", arrow::Compression::BZ2, ""},
    Packing{"\x04\x22\x4d\x18", "LZ4", arrow::Compression::LZ4_FRAME, ""},
    Packing{std::string_view("\xfd\x37zXZ\0", 6), "xz", arrow::Compression::UNCOMPRESSED,
            "unxz FILE"},
    Packing{"PK\x03\x04", "zip archive (or spreadsheet)", arrow::Compression::UNCOMPRESSED,
            "unzip FILE; a spreadsheet: save it as CSV"},
    Packing{"7z\xbc\xaf", "7z archive", arrow::Compression::UNCOMPRESSED, "7z x FILE"},
    Packing{"Rar!", "rar archive", arrow::Compression::UNCOMPRESSED, "unrar x FILE"},
};

const Packing* packing_of(std::string_view bytes) {
  for (const Packing& packing : kPackings)
    if (bytes.starts_with(packing.magic)) return &packing;
  return nullptr;
}

// Appends `bytes`, whole UTF-16 units, to `out`. `pending` is half of a pair that the last block
// ended with, 0: none; a half without its other half becomes U+FFFD.
void append_utf16(std::string_view bytes, bool little_endian, uint16_t& pending, std::string& out) {
  constexpr uint32_t kReplacement = 0xfffd;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    const auto low = static_cast<unsigned char>(bytes[little_endian ? i : i + 1]);
    const auto high = static_cast<unsigned char>(bytes[little_endian ? i + 1 : i]);
    const auto unit = static_cast<uint16_t>(high << 8 | low);
    const bool first = unit >= 0xd800 && unit < 0xdc00, second = unit >= 0xdc00 && unit < 0xe000;
    if (pending != 0 && second) {
      append_code_point(0x10000 + ((pending - 0xd800U) << 10) + (unit - 0xdc00U), out);
      pending = 0;
      continue;
    }
    if (pending != 0) append_code_point(kReplacement, out);
    pending = first ? unit : uint16_t{0};
    if (!first) append_code_point(second ? kReplacement : unit, out);
  }
}

}  // namespace

// A compressed stream does not own its codec, so both live here.
struct TextSource::Stream {
  std::unique_ptr<arrow::util::Codec> codec;
  std::shared_ptr<arrow::io::InputStream> stream;
};

TextSource::TextSource(const std::filesystem::path& path, int64_t block_bytes)
    : path_(path), block_bytes_(block_bytes), stream_(std::make_unique<Stream>()) {
  const auto file = value_of(arrow::io::ReadableFile::Open(path.string()), path);
  std::array<char, 8> head{};
  const int64_t size = value_of(file->ReadAt(0, head.size(), head.data()), path);
  const auto rewound = file->Seek(0);
  CHECK(rewound.ok(), kInput, "{}: {}", path.string(), rewound.message());
  const Packing* packing = packing_of({head.data(), static_cast<size_t>(size)});
  stream_->stream = file;
  if (packing != nullptr) {
    CHECK(packing->codec != arrow::Compression::UNCOMPRESSED, kInput,
          "{}: expected text, gzip, zstd or bzip2, found a {}\nhint: unpack it first ({})",
          path.string(), packing->name, packing->hint);
    compression_ = packing->name;
    stream_->codec = value_of(arrow::util::Codec::Create(packing->codec), path);
    stream_->stream =
        value_of(arrow::io::CompressedInputStream::Make(stream_->codec.get(), file), path);
  }
  find_encoding();
}

TextSource::~TextSource() = default;

// Bytes that were read, 0 at the end.
size_t TextSource::read_raw(std::string& out) {
  const size_t before = out.size();
  out.resize(before + static_cast<size_t>(block_bytes_));
  const int64_t size = value_of(stream_->stream->Read(block_bytes_, out.data() + before), path_);
  out.resize(before + static_cast<size_t>(size));
  return static_cast<size_t>(size);
}

void TextSource::find_encoding() {
  while (raw_.size() < 4 && read_raw(raw_) > 0) {
  }
  if (raw_.starts_with(kUtf8Mark)) raw_.erase(0, kUtf8Mark.size());
  const bool little = raw_.starts_with("\xff\xfe"), big = raw_.starts_with("\xfe\xff");
  if (!little && !big) return;
  encoding_ = little ? "UTF-16LE" : "UTF-16BE";
  raw_.erase(0, 2);
}

bool TextSource::append_block(std::string& out) {
  if (encoding_ == "UTF-8" && raw_.empty() && !done_) {
    done_ = read_raw(out) == 0;
    return !done_;
  }
  if (raw_.empty() && (done_ || read_raw(raw_) == 0)) {
    done_ = true;
    return false;
  }
  if (encoding_ == "UTF-8") {
    if (out.empty()) {
      out.swap(raw_);
    } else {
      out += raw_;
    }
    raw_.clear();
    return true;
  }
  if (raw_.size() % 2 != 0) read_raw(raw_);
  const size_t whole = raw_.size() / 2 * 2;
  CHECK(whole > 0, kInput, "{}: expected UTF-16, found an odd number of bytes", path_.string());
  append_utf16(std::string_view(raw_).substr(0, whole), encoding_ == "UTF-16LE", high_surrogate_,
               out);
  raw_.erase(0, whole);
  return true;
}

Beginning read_beginning(const std::filesystem::path& path, size_t max_bytes) {
  TextSource source(path);
  Beginning beginning{{}, source.compression(), source.encoding()};
  while (beginning.text.size() <= max_bytes && source.append_block(beginning.text)) {
  }
  beginning.complete = beginning.text.size() <= max_bytes;
  if (!beginning.complete) beginning.text.resize(max_bytes);
  return beginning;
}

bool LineSource::fill() {
  if (ended_) return false;
  if (position_ > 0) {
    buffer_.erase(0, position_);
    position_ = 0;
  }
  ended_ = !source_->append_block(buffer_);
  return !ended_;
}

bool LineSource::line(size_t offset, Line& line) {
  size_t searched = offset;
  while (true) {
    const size_t size = buffer_.size() - position_;
    const char* begin = buffer_.data() + position_;
    const void* found =
        searched < size ? std::memchr(begin + searched, '\n', size - searched) : nullptr;
    if (found != nullptr) {
      line.end = static_cast<size_t>(static_cast<const char*>(found) - begin);
      line.next = line.end + 1;
      break;
    }
    searched = size;
    CHECK(size - std::min(size, offset) <= kLongestLine, kInput,
          "{}: expected lines, found one of more than {} MB", path_.string(), kLongestLine >> 20);
    if (fill()) continue;
    if (offset >= size) return false;
    line.end = line.next = size;
    break;
  }
  if (line.end > offset && buffer_[position_ + line.end - 1] == '\r') --line.end;
  return true;
}

LineBlocks::LineBlocks(const std::filesystem::path& path, bool until_quote, int64_t block_bytes)
    : path_(path),
      source_(std::make_unique<TextSource>(path, block_bytes)),
      until_quote_(until_quote) {}

bool LineBlocks::next(Block& block) {
  const std::lock_guard lock(mutex_);
  if (ended_) return false;
  block.text.swap(next_.text);
  next_.text.clear();
  while (true) {
    const size_t searched = block.text.size();
    if (!source_->append_block(block.text)) {
      ended_ = true;
      break;
    }
    const size_t end = std::string_view(block.text).substr(searched).rfind('\n');
    if (end != std::string_view::npos) {
      next_.text.assign(block.text, searched + end + 1);
      block.text.resize(searched + end + 1);
      break;
    }
    CHECK(block.text.size() <= kLongestLine, kInput,
          "{}: expected lines, found one of more than {} MB", path_.string(), kLongestLine >> 20);
  }
  if (until_quote_ && block.text.find('"') != std::string::npos) {
    next_.text.insert(0, block.text);
    ended_ = quoted_ = true;
    return false;
  }
  block.number = next_.number++;
  block.first_line = next_.first_line;
  next_.first_line += std::count(block.text.begin(), block.text.end(), '\n');
  return !block.text.empty();
}

std::unique_ptr<LineSource> LineBlocks::rest(Block& start) {
  start.number = next_.number;
  start.first_line = next_.first_line;
  if (!std::exchange(quoted_, false)) return nullptr;
  return std::make_unique<LineSource>(path_, std::move(next_.text), std::move(source_));
}

}  // namespace etrlrec
