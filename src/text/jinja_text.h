// Text that knows which of its bytes the template wrote and which came with the data, for the Jinja
// interpreter. Slices and joins keep that, so that a rendered chat says what opens a turn and what
// only looks like it. Also the characters and white space of Python's str. Internal to text/.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace etrlrec {

class JinjaText {
 public:
  struct Run {
    size_t end = 0;  // byte behind the last one
    bool from_template = false;
  };

  JinjaText() = default;
  JinjaText(std::string bytes, bool from_template);
  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  const std::vector<Run>& runs() const { return runs_; }  // ends rise; neighbours differ
  bool is_template() const;                               // no byte came with the data
  JinjaText slice(size_t begin, size_t end) const;        // bytes
  void append(const JinjaText& other);
  void append(std::string_view bytes, bool from_template);
  // Made by the filters `safe` and `escape`: `+` escapes what is joined to it.
  bool is_markup = false;

 private:
  std::string bytes_;
  std::vector<Run> runs_;
};

// Bytes of the character at the start of a text that is not empty; bytes that are no UTF-8 are
// characters of their own.
size_t character_length(std::string_view text);
size_t count_characters(std::string_view text);
// Byte of the character `index`, text.size() behind the last one.
size_t character_offset(std::string_view text, size_t index);

// Length of the white space (of Python's str.strip) at one end of a text, 0 if there is none.
size_t white_space_at(std::string_view text, bool at_end);
std::string_view trim_left(std::string_view text);
std::string_view trim_right(std::string_view text);

}  // namespace etrlrec
