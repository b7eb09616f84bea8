// etrlrec new-lm: a small language model for a data set.
#include "method/new_lm.h"

#include <memory>

#include "app/command.h"
#include "app/command_line.h"

namespace etrlrec {

void add_new_lm(CommandLine& app, CommonOptions& common) {
  auto options = std::make_shared<NewLmOptions>();
  Command command =
      app.add_command("new-lm", "a small random language model with a tokenizer for this data set");
  command.example("new-lm --data shop --out shop-base");
  command.add_option("--data,-d", options->data, "data set folder of prepare").required();
  command.add_option("--out,-o", options->out, "model folder to write").required();
  command
      .add_option("--family", options->family,
                  "qwen2, a decoder, or t5, an encoder that reads the prompt and a decoder that "
                  "writes the answer")
      .one_of({"qwen2", "t5"});
  const auto is_decoder = [=] { return options->family == "qwen2"; };
  command.add_option("--hidden-size", options->hidden_size, "width");
  command.add_option("--num-hidden-layers", options->num_hidden_layers,
                     "layers; of t5 in the encoder and as many in the decoder");
  command.add_option("--num-attention-heads", options->num_attention_heads, "heads");
  command.add_option("--intermediate-size", options->intermediate_size,
                     "feed-forward width, 0: three times the width");
  command
      .add_option("--init", options->init,
                  "start of the attention: ready to look things up, or random")
      .one_of({"lookup", "random"})
      .only_with("--family qwen2", is_decoder);
  command.add_option("--vocab-size", options->vocab_size, "tokens at most");
  command.add_option("--whole-titles", options->whole_titles,
                     "frequent titles that become one token each, at most so many");
  command
      .add_option("--whole-title-interactions", options->whole_title_interactions,
                  "training interactions from which on a title is frequent")
      .only_with("--whole-titles above 0", [=] { return options->whole_titles > 0; });
  command
      .add_option("--max-position-embeddings", options->max_position_embeddings, "longest sequence")
      .only_with("--family qwen2", is_decoder);
  command.add_option("--documents", options->documents, "further text files for the tokenizer");
  command.add_option("--sample-rows", options->sample_rows,
                     "training rows rendered for the tokenizer");
  command.add_option("--max-history", options->max_history, "history entries in a prompt");
  add_style(command, options->style);
  command.on_run([options, command, &common] {
    const Stopwatch watch;
    options->seed = common.seed;
    make_new_lm(*options);
    write_run_record(options->out, command, common, {{"data", options->data}}, watch.seconds());
  });
}

}  // namespace etrlrec
