// tokenizer.json, read the way its composition asks for and as a pipeline, and encoding with what
// was accepted.
#include "base/json.h"
#include "fuzz.h"
#include "text/pipeline_file.h"
#include "text/tokenizer_folder.h"

namespace {

void use(const etrlrec::Tokenizer& tokenizer) {
  const std::string text = "Don't 12 caf\u00e9\n\xff \u65e5\u2581a <|endoftext|>";
  tokenizer.decode(tokenizer.encode(text));
  tokenizer.decode(tokenizer.encode_prompt(text, true));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace etrlrec;
  const std::string_view bytes = fuzz::bytes_of(data, size);
  fuzz::folder().put("tokenizer.json", bytes);
  fuzz::may_refuse([&] { use(*load_tokenizer(fuzz::folder().path())); });
  return fuzz::may_refuse([&] {
    const Json root = parse_json(bytes, "fuzz");
    if (root.is_object()) use(*read_pipeline(root, "", "fuzz"));
  });
}
