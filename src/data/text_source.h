// The text of a file, block by block: compression is undone (gzip, zstd, bzip2, LZ4 frames; told
// by the first bytes), UTF-16 becomes UTF-8, and a byte order mark at the start is left out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace etrlrec {

inline constexpr int64_t kTextBlockBytes = 1 << 22;

class TextSource {
 public:
  // Errors (kInput): a file that cannot be opened, an archive or a compression that is not read
  // (zip, xz, 7z, rar), with a hint how to unpack it.
  explicit TextSource(const std::filesystem::path& path, int64_t block_bytes = kTextBlockBytes);
  ~TextSource();

  const std::string& compression() const { return compression_; }  // "", "gzip", "zstd", ...
  const std::string& encoding() const { return encoding_; }        // "UTF-8", "UTF-16LE", ...

  // Appends the next block to `out`; false at the end of the file. Errors (kInput): damaged data,
  // half a UTF-16 unit.
  bool append_block(std::string& out);

 private:
  struct Stream;
  size_t read_raw(std::string& out);
  void find_encoding();

  std::filesystem::path path_;
  int64_t block_bytes_;
  std::string compression_, encoding_ = "UTF-8";
  std::unique_ptr<Stream> stream_;
  std::string raw_;  // bytes that are read and not yet handed out
  uint16_t high_surrogate_ = 0;
  bool done_ = false;
};

// At most max_bytes of the text from its start; complete: the whole file is shorter.
struct Beginning {
  std::string text, compression, encoding;
  bool complete = false;
};
Beginning read_beginning(const std::filesystem::path& path, size_t max_bytes);

// The lines of a file. Offsets count from the current position, so that a reader can look at
// several lines before it decides how many of them it takes.
class LineSource {
 public:
  struct Line {
    size_t end = 0;   // offset of the line's end, without \n or \r\n
    size_t next = 0;  // offset of the next line
  };
  explicit LineSource(const std::filesystem::path& path)
      : LineSource(path, {}, std::make_unique<TextSource>(path)) {}
  // The lines of `text`, then those of `rest` where there is one.
  LineSource(const std::filesystem::path& path, std::string text, std::unique_ptr<TextSource> rest)
      : path_(path), source_(std::move(rest)), buffer_(std::move(text)), ended_(!source_) {}

  // The line that begins at `offset`; false at the end of the file. Views that text() gave are no
  // longer valid. Error (kInput): a line of more than 256 MB.
  bool line(size_t offset, Line& line);
  std::string_view text(size_t begin, size_t end) const {
    return std::string_view(buffer_).substr(position_ + begin, end - begin);
  }
  void advance(size_t offset) { position_ += offset; }

 private:
  bool fill();

  std::filesystem::path path_;
  std::unique_ptr<TextSource> source_;
  std::string buffer_;
  size_t position_ = 0;
  bool ended_ = false;
};

// A file cut into blocks of whole lines, which several threads may take.
class LineBlocks {
 public:
  struct Block {
    std::string text;
    int64_t number = 0, first_line = 1;  // from 0, from 1
  };
  // `until_quote`: a block with a double quote is not handed out, nor is any behind it.
  LineBlocks(const std::filesystem::path& path, bool until_quote, int64_t block_bytes);

  // False at the end. Errors (kInput) as of LineSource.
  bool next(Block& block);
  // What is left, once, where a quote ended the blocks; null where the file has ended. `start` gets
  // the place, and the number that the next block would have.
  std::unique_ptr<LineSource> rest(Block& start);

 private:
  std::filesystem::path path_;
  std::unique_ptr<TextSource> source_;
  bool until_quote_;
  std::mutex mutex_;
  Block next_;  // its text: what stands behind the last whole line
  bool ended_ = false, quoted_ = false;
};

}  // namespace etrlrec
