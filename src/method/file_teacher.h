// The teacher "file": reasoning that was made elsewhere, one JSON object a line, with "messages" or
// with "prompt" and "completion", as TRL, Axolotl and LLaMA-Factory write and read it.
#pragma once

#include <filesystem>
#include <memory>
#include <span>

#include "method/construct_options.h"
#include "method/reply_source.h"
#include "method/row.h"

namespace etrlrec {

// Lines find their row by meta.row, else by the prompt (or the user's last message), which is the
// row's for the student. Lines of other rows than `rows` (ascending) are counted in a warning.
// `meta.hinted` says that the writer saw the target. The text keeps the contract of the guidance or
// that of the student's style, which is made into it. An empty path has no lines. Errors (kInput):
// a line that is none of these forms, a row that is none, meta that names another target than the
// row has.
std::unique_ptr<ReplySource> file_teacher(const std::filesystem::path& path,
                                          const RowSource& source, std::span<const int64_t> rows);

}  // namespace etrlrec
