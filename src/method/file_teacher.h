// The teacher "file": reasoning that was made elsewhere, one JSON object a line, in the forms that
// TRL, Axolotl and LLaMA-Factory read: messages, prompt and completion, ShareGPT, Alpaca.
#pragma once

#include <filesystem>
#include <memory>
#include <span>

#include "method/construct_options.h"
#include "method/reply_source.h"
#include "method/row.h"

namespace etrlrec {

// Each line has one of four forms (kForms has them): `messages` of role and content; `prompt` and
// `completion`, each a text or messages; ShareGPT's `conversations` of from (human, user, gpt,
// assistant; others are not read) and value; Alpaca's `instruction` and `output`, where an `input`
// that is not empty is the prompt's next line. A key that is null is absent. What is said before
// the user's last message (system, earlier turns, Alpaca's `history`) is not read.
// Lines find their row by meta.row, else by the prompt (or the user's last message), which is the
// row's for the student. Lines of other rows than `rows` (ascending) are counted in a warning.
// `meta.hinted` says that the writer saw the target. The text keeps the contract of the guidance or
// that of the student's style, which is made into it. An empty path has no lines. Errors (kInput):
// a line that has none of these forms or two of them, a row that is none, meta that names another
// target than the row has.
std::unique_ptr<ReplySource> file_teacher(const std::filesystem::path& path,
                                          const RowSource& source, std::span<const int64_t> rows);

}  // namespace etrlrec
