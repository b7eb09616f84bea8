#!/usr/bin/env python3
"""Loads the reasoning of `construct` with the libraries that train on it, and compares what arrives with what was written.

  etrlrec construct DATA -o reasoning --style natural --messages
  pip install trl                      # or axolotl, or llamafactory
  tools/check_jsonl.py reasoning       # prints one line for each library and file

reasoning.jsonl (prompt and completion) and messages.jsonl (chats) go through the loading code of TRL, Axolotl and
LLaMA-Factory, as far as they are installed, with a small tokenizer that is made from the texts. Every row must arrive
with the same texts, and the tokens of the assistant alone must have labels. Exits 1 where a row is lost or differs, where a
library fails, and where none is installed. Nothing is downloaded. docs/formats.md has the versions that passed."""
import argparse
import collections
import contextlib
import importlib.metadata
import json
import os
import re
import sys
import tempfile
import traceback
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false", WANDB_DISABLED="true",
                  AXOLOTL_DO_NOT_TRACK="1", DISABLE_VERSION_CHECK="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")

FILES = ["reasoning.jsonl", "messages.jsonl"]
START, END, PAD = "<|im_start|>", "<|im_end|>", "<|pad|>"
NO_LABEL = -100
MAX_TOKENS = 1_000_000  # no row is cut
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '" + START + "' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '" + END + "' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '" + END + "' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + START + "assistant\n' }}{% endif %}")
CHAT = re.compile(f"(?:{re.escape(START)}system\n(?P<system>.*?){re.escape(END)}\n)?"
                  f"{re.escape(START)}user\n(?P<user>.*?){re.escape(END)}\n{re.escape(START)}assistant\n", re.DOTALL)

Row = collections.namedtuple("Row", "system user assistant")


def written_rows(path):
    rows = []
    for line in path.open(encoding="utf-8"):
        value = json.loads(line)
        if "messages" in value:
            said = {message["role"]: message["content"] for message in value["messages"]}
            rows.append(Row(said.get("system"), said["user"], said["assistant"]))
        else:
            rows.append(Row(None, value["prompt"], value["completion"]))
    return rows


def make_tokenizer(rows, folder):
    """A byte-level BPE of 512 tokens, which gives every text back, with marks of the assistant's text in its template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator((row.user + row.assistant for row in rows[:100]), trainers.BpeTrainer(
        vocab_size=512, special_tokens=[START, END, PAD], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, model_max_length=MAX_TOKENS,
                                   clean_up_tokenization_spaces=False)
    made.chat_template = CHAT_TEMPLATE
    made.save_pretrained(folder)
    return made


def load_with_trl(path, tokenizer, work):
    """The batches on which SFTTrainer would train."""
    from datasets import load_dataset
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl import SFTConfig, SFTTrainer
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                         num_attention_heads=1, num_key_value_heads=1))
    is_chat = path.name == "messages.jsonl"
    config = SFTConfig(output_dir=str(work / "out"), per_device_train_batch_size=1, max_length=None, report_to=[],
                       use_cpu=True, bf16=False, disable_tqdm=True, assistant_only_loss=is_chat)
    dataset = load_dataset("json", data_files=str(path), split="train", cache_dir=str(work / "cache"))
    trainer = SFTTrainer(model, args=config, train_dataset=dataset, processing_class=tokenizer)
    for batch in trainer.get_train_dataloader():
        yield batch["input_ids"][0].tolist(), batch["labels"][0].tolist()


def load_with_axolotl(path, tokenizer, work):
    """The training data that `axolotl preprocess` prepares; reasoning.jsonl with its own type of two fields."""
    os.environ["AXOLOTL_IS_PREPROCESS"] = "1"
    from axolotl.utils.data import prepare_datasets
    from axolotl.utils.dict import DictDefault
    kind = {"type": "chat_template", "field_messages": "messages"}
    if path.name == "reasoning.jsonl":
        kind = {"type": {"field_instruction": "prompt", "field_output": "completion", "format": "{instruction}",
                         "no_input_format": "{instruction}"}}
    config = DictDefault({
        "datasets": [{"path": str(path), "ds_type": "json", **kind}], "chat_template": "tokenizer_default",
        "dataset_prepared_path": str(work / "prepared"), "dataset_num_proc": 1, "sequence_len": MAX_TOKENS, "val_set_size": 0,
        "train_on_inputs": False, "seed": 1, "is_preprocess": True, "base_model": "none", "tokenizer_config": "none"})
    for row in prepare_datasets(config, tokenizer)[0]:
        yield row["input_ids"], row["labels"]


def load_with_llamafactory(path, tokenizer, work):
    """The training data of stage sft, with the columns and the five tags of docs/formats.md."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    info = {"file_name": str(path), "columns": {"prompt": "prompt", "response": "completion"}}
    if path.name == "messages.jsonl":
        info = {"file_name": str(path), "formatting": "sharegpt", "columns": {"messages": "messages"},
                "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
                         "system_tag": "system"}}
    (work / "dataset_info.json").write_text(json.dumps({"written": info}))
    model, data, training, _, _ = get_train_args({
        "stage": "sft", "do_train": True, "model_name_or_path": tokenizer.name_or_path, "finetuning_type": "full",
        "dataset": "written", "dataset_dir": str(work), "template": "chatml" if path.name == "messages.jsonl" else "empty",
        "cutoff_len": MAX_TOKENS, "output_dir": str(work / "out"), "overwrite_cache": True, "use_cpu": True,
        "report_to": "none"})
    model.cache_dir = str(work / "cache")
    template = get_template_and_fix_tokenizer(tokenizer, data)
    for row in get_dataset(template, model, data, training, stage="sft", tokenizer=tokenizer)["train_dataset"]:
        yield row["input_ids"], row["labels"]


LIBRARIES = [  # name, package, how it loads a file
    ("TRL", "trl", load_with_trl),
    ("Axolotl", "axolotl", load_with_axolotl),
    ("LLaMA-Factory", "llamafactory", load_with_llamafactory),
]


def arrived_row(ids, labels, tokenizer, is_chat):
    """The row that tokens and labels stand for; a text instead of a row says what is wrong with them."""
    with_label = [i for i, label in enumerate(labels) if label != NO_LABEL]
    if not with_label:
        return "no token has a label"
    first, end = with_label[0], with_label[-1] + 1
    if end - first != len(with_label):
        return "tokens without a label lie between those with one"
    if labels[first:end] != ids[first:end]:
        return "labels are not the tokens"
    before, answer, behind = (tokenizer.decode(part) for part in (ids[:first], ids[first:end], ids[end:]))
    if behind.strip():
        return f"text without a label follows the assistant's: {behind[:80]!r}"
    if is_chat and not re.search(f"{re.escape(END)}\n?$", answer):
        return f"the end of the assistant's turn has no label: {answer[-80:]!r}"
    answer = re.sub(f"{re.escape(END)}\n?$", "", answer)
    if not is_chat:
        return Row(None, before, answer)
    said = CHAT.fullmatch(before)
    return Row(said["system"], said["user"], answer) if said else f"not a chat: {before[:80]!r}"


def check(load, path, written, tokenizer_folder):
    """Loads one file; returns how many rows arrived and the differences, as texts."""
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    with tempfile.TemporaryDirectory() as work, contextlib.redirect_stdout(sys.stderr):
        pairs = list(load(path.resolve(), tokenizer, Path(work)))
    plain = AutoTokenizer.from_pretrained(tokenizer_folder)  # libraries may change the other one
    arrived = [arrived_row(ids, labels, plain, path.name == "messages.jsonl") for ids, labels in pairs]
    missing = collections.Counter(written)
    missing.subtract(row for row in arrived if isinstance(row, Row))
    differences = [f"bad labels: {row}" for row in arrived if isinstance(row, str)]
    for row, times in missing.items():
        differences += [f"{'written, not arrived' if times > 0 else 'arrived, not written'}: {row}"] * abs(times)
    return len(arrived), differences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reasoning", type=Path, help="the folder that construct --messages wrote")
    options = parser.parse_args()
    rows = {name: written_rows(options.reasoning / name) for name in FILES}
    tried, failed = 0, False
    with tempfile.TemporaryDirectory() as folder:
        for library, package, load in LIBRARIES:
            try:
                version = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                print(f"{library}: not installed, skipped", flush=True)
                continue
            if not tried:
                make_tokenizer(rows[FILES[0]], folder)
            tried += 1
            for name, written in rows.items():
                try:
                    arrived, differences = check(load, options.reasoning / name, written, folder)
                except Exception as error:  # whatever a library throws is a finding about it
                    traceback.print_exc()
                    arrived, differences = 0, [f"{type(error).__name__}: {error}"]
                print(f"{library} {version}: {name}: {arrived} of {len(written)} rows, {len(differences)} differences",
                      flush=True)
                for difference in differences[:3]:
                    print(f"  {difference[:400]}")
                failed = failed or bool(differences)
    if not tried:
        print("none of the libraries is installed")
    return 1 if failed or not tried else 0


if __name__ == "__main__":
    sys.exit(main())
