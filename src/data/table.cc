#include "data/table.h"

namespace etrlrec {

std::string_view table_kind_name(TableKind kind) {
  switch (kind) {
    case TableKind::kDelimited:
      return "delimited text";
    case TableKind::kJsonLines:
      return "JSON Lines";
    case TableKind::kPythonLines:
      return "lines of Python literals";
    case TableKind::kParquet:
      return "Parquet";
  }
  return "";
}

}  // namespace etrlrec
