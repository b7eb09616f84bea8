// Reader options that a layout does not look at are refused, whatever file they are given for.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "base/io.h"
#include "data/reader_plan.h"
#include "refusals.h"

namespace etrlrec {
namespace {

namespace fs = std::filesystem;
using Change = std::function<void(ReaderOptions&)>;

TEST(ReaderOptions, without_effect_are_refused) {
  const fs::path folder =
      fs::temp_directory_path() / ("etrlrec_options_" + std::to_string(getpid()));
  const auto write = [&](const std::string& name, const std::string& text) {
    fs::create_directories((folder / name).parent_path());
    write_file_atomic(folder / name, text);
    return folder / name;
  };
  const fs::path data = write("ml/u.data", "1\t2\t3\t900000000\n2\t2\t3\t900000001\n");
  const fs::path inter =
      write("toy/toy.inter", "user_id:token\titem_id:token\ttimestamp:float\na\tx\t1\nb\tx\t2\n");
  const fs::path lines =
      write("log.jsonl", "{\"user\":\"a\",\"item\":\"x\",\"time\":1600000000}\n");
  const fs::path csv = write("log.csv", "user,item,time\na,x,1600000000\n");
  const fs::path items = write("items.csv", "item,title,genre\nx,One,a|b\n");

  const Change delimiter = [](ReaderOptions& o) { o.log_table.delimiter = ";"; };
  const Change header = [](ReaderOptions& o) { o.log_table.header = true; };
  const Change quoting = [](ReaderOptions& o) { o.log_table.quoting = true; };
  const Change items_delimiter = [](ReaderOptions& o) { o.item_table.delimiter = ","; };
  const Change items_header = [](ReaderOptions& o) { o.item_table.header = true; };
  const Change items_quoting = [](ReaderOptions& o) { o.item_table.quoting = true; };
  const Change id_column = [](ReaderOptions& o) { o.item_column = "item"; };
  const Change separator = [](ReaderOptions& o) { o.attribute_separator = "|"; };
  const Change title = [](ReaderOptions& o) { o.title = "title"; };
  const Change movielens_map = [](ReaderOptions& o) {
    o.format = "movielens";
    o.map = {{"user", "1"}};
  };
  struct Row {
    fs::path log;
    const char* name;
    const Change* change;
  };
  const Row refused[] = {
      {data, "--delimiter", &delimiter},
      {data, "--header", &header},
      {data, "--quoting", &quoting},
      {data, "--items-delimiter", &items_delimiter},
      {data, "--item-column", &id_column},
      {data, "--attribute-separator", &separator},
      {data, "--map", &movielens_map},
      {inter, "--header", &header},
      {inter, "--items-header", &items_header},
      {inter, "--title", &title},
      {inter, "--item-column", &id_column},
      {lines, "--delimiter", &delimiter},
      {lines, "--header", &header},
      {lines, "--quoting", &quoting},
      {csv, "--items-delimiter", &items_delimiter},
      {csv, "--items-header", &items_header},
      {csv, "--items-quoting", &items_quoting},
      {csv, "--item-column", &id_column},
      {csv, "--attribute-separator", &separator},
  };
  for (const Row& row : refused) {
    ReaderOptions options;
    (*row.change)(options);
    refuses([&] { plan_log(row.log, options); }, ExitCode::kUsage,
            std::string(row.name) + (row.change == &title ? "" : ": has no effect"));
  }
  // With a catalogue of its own the same options are heeded.
  ReaderOptions options;
  options.items = items;
  options.attributes = {"genre"};
  for (const Change* change :
       {&items_delimiter, &items_header, &items_quoting, &id_column, &separator, &title})
    (*change)(options);
  EXPECT_NO_THROW(plan_log(csv, options));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace etrlrec
