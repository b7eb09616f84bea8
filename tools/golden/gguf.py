"""GGUF: blocks of every type with their values, a Llama in llama.cpp's layout, a small one of mixed types with logits, pieces."""
import json

import gguf
import numpy as np
import sentencepiece
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from golden.common import SEED, fresh_folder, save_json

TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
HALVES = {"Q4_1": [0, 2], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}  # where the fp16 scales lie
CHAT = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}" \
       "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"


def type_of(name):
    return gguf.GGMLQuantizationType[name]


def random_rows(name, rows, columns, random, scale=0.1):
    """Rows of any bytes, with scales that a model could have."""
    if name in ("F32", "F16", "BF16"):
        values = (scale * random.standard_normal((rows, columns))).astype(np.float32)
        return gguf.quantize(values, type_of(name)).view(np.uint8).reshape(rows, -1)
    values, size = gguf.GGML_QUANT_SIZES[type_of(name)]
    blocks = random.integers(0, 256, (rows * columns // values, size), dtype=np.uint8)
    for offset in HALVES.get(name, [0]):
        steps = 8 if name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1") else 128 if name == "Q8_0" else 1000
        halves = (scale / steps * random.uniform(-1, 1, len(blocks))).astype(np.float16)
        blocks[:, offset:offset + 2] = halves.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, -1)


def blocks_of(name, random):
    rows = random_rows(name, 2, 256, random)
    rows[1, :2] = [3, 128] if name not in HALVES and name[0] == "Q" else rows[1, :2]  # a subnormal, negative scale
    values = gguf.dequantize(rows if name[0] in "QB" else rows.view(np.float32 if name == "F32" else np.float16), type_of(name))
    return dict(bytes=rows.tobytes().hex(), values=[float(x) for x in values.astype(np.float32).ravel()])


def permuted(weight, heads):
    """As llama.cpp's converter stores q_proj and k_proj: the two halves of a head's rows interleaved."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def put_tokenizer(writer, folder):
    root = json.loads((folder / "tokenizer.json").read_text())
    vocab, added = root["model"]["vocab"], {token["content"] for token in root["added_tokens"]}
    tokens = sorted(vocab, key=vocab.get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if token in added else gguf.TokenType.NORMAL for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in root["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT)


def put_llama(writer, shape):
    writer.add_context_length(shape["max_position_embeddings"])
    writer.add_embedding_length(shape["hidden_size"])
    writer.add_block_count(shape["num_hidden_layers"])
    writer.add_feed_forward_length(shape["intermediate_size"])
    writer.add_head_count(shape["num_attention_heads"])
    writer.add_head_count_kv(shape["num_key_value_heads"])
    writer.add_rope_dimension_count(shape["head_dim"])
    writer.add_rope_freq_base(1e4)
    writer.add_layer_norm_rms_eps(1e-5)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def make_llama(root, path):
    """The weights of decoders/llama-tied, exactly."""
    config = json.loads((root / "decoders" / "llama-tied" / "config.json").read_text())
    writer = gguf.GGUFWriter(path / "llama-tied.gguf", "llama")
    put_llama(writer, config)
    put_tokenizer(writer, root / "tokenizers" / "smollm")
    for name, tensor in load_file(root / "decoders" / "llama-tied" / "model.safetensors").items():
        weight = tensor.numpy()
        for heads, part in ((config["num_attention_heads"], "q_proj"), (config["num_key_value_heads"], "k_proj")):
            if part in name:
                weight = permuted(weight, heads)
        if name.startswith("model.layers."):
            layer, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
            theirs = f"blk.{layer}.{NAMES[part]}.weight"
        else:
            theirs = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]
        writer.add_tensor(theirs, np.ascontiguousarray(weight))
    finish(writer)


def make_mixed(root, path, random):
    """Every type once or more, at random; logits as Transformers reads the file."""
    shape = dict(hidden_size=32, intermediate_size=256, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=1,
                 head_dim=16, max_position_embeddings=64)
    vocabulary = len(json.loads((root / "tokenizers" / "smollm" / "tokenizer.json").read_text())["model"]["vocab"])
    writer = gguf.GGUFWriter(path / "mixed.gguf", "llama")
    put_llama(writer, shape)
    writer.add_vocab_size(vocabulary)
    put_tokenizer(writer, root / "tokenizers" / "smollm")

    def add(name, kind, rows, columns):
        writer.add_tensor(name, random_rows(kind, rows, columns, random, .3), raw_dtype=type_of(kind))

    def norm(name):
        writer.add_tensor(name, (1 + .2 * random.standard_normal(32)).astype(np.float32))

    norm("output_norm.weight")
    add("token_embd.weight", "Q8_0", vocabulary, 32)
    add("output.weight", "BF16", vocabulary, 32)
    for layer, (small, wide) in enumerate((("Q4_0", "Q6_K"), ("Q5_0", "Q4_K"), ("Q5_1", "Q5_K"))):
        prefix = f"blk.{layer}."
        norm(prefix + "attn_norm.weight")
        norm(prefix + "ffn_norm.weight")
        add(prefix + "attn_q.weight", small, 32, 32)
        add(prefix + "attn_k.weight", "F16", 16, 32)
        add(prefix + "attn_v.weight", "Q4_1", 16, 32)
        add(prefix + "attn_output.weight", "Q4_1", 32, 32)
        add(prefix + "ffn_gate.weight", small, 256, 32)
        add(prefix + "ffn_up.weight", small, 256, 32)
        add(prefix + "ffn_down.weight", wide, 32, 256)
    finish(writer)
    model = AutoModelForCausalLM.from_pretrained(path, gguf_file="mixed.gguf", dtype=torch.float32)
    ids = [int(x) for x in random.integers(0, vocabulary, 12)]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    save_json(path / "mixed.json", dict(ids=ids, logits=logits))


def make_pieces(root, path):
    """The SentencePiece model of tokenizers/llama2 as a vocabulary alone."""
    reader = sentencepiece.SentencePieceProcessor(str(root / "tokenizers" / "llama2" / "tokenizer.model"))
    ids = range(reader.vocab_size())
    writer = gguf.GGUFWriter(path / "pieces.gguf", "llama")
    writer.add_context_length(64)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([reader.id_to_piece(i) for i in ids])
    writer.add_token_scores([reader.get_score(i) for i in ids])
    writer.add_token_types([gguf.TokenType.UNKNOWN if reader.is_unknown(i) else gguf.TokenType.CONTROL if reader.is_control(i) else
                            gguf.TokenType.BYTE if reader.is_byte(i) else gguf.TokenType.NORMAL for i in ids])
    writer.add_bos_token_id(reader.bos_id())
    writer.add_eos_token_id(reader.eos_id())
    writer.add_unk_token_id(reader.unk_id())
    writer.add_add_bos_token(True)
    finish(writer)


def make(root):
    path, random = fresh_folder(root / "gguf"), np.random.default_rng(SEED)
    save_json(path / "blocks.json", {name: blocks_of(name, random) for name in TYPES})
    make_llama(root, path)
    make_mixed(root, path, random)
    make_pieces(root, path)
