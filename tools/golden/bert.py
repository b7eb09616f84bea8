"""BERT as a sentence encoder: a small random model, states of every token, and the normalised means of sentences."""
import torch
from transformers import BertConfig, BertModel

from golden.common import fresh_folder, mask_of, pad, random_rows, randomize, save_model, save_tensors

VOCAB = 300  # as many as the small tokenizer of this kind has
SHAPE = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48,
             max_position_embeddings=40, type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12, pad_token_id=0)


def make(root):
    model = BertModel._from_config(BertConfig(**SHAPE), attn_implementation="eager").eval()
    randomize(model, "bert", matrix=0.3, table=0.7)
    rows = random_rows((40, 17, 9, 1), 2, VOCAB, "bert")
    ids, mask = pad(rows), mask_of(rows)
    with torch.no_grad():
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    shown = mask.unsqueeze(-1).to(states.dtype)
    means = (states * shown).sum(1) / shown.sum(1)
    path = fresh_folder(root / "bert")
    save_model(model, path)
    save_tensors(path / "golden.safetensors", dict(input_ids=ids, attention_mask=mask, states=states * shown,
                                                   sentences=torch.nn.functional.normalize(means, dim=1)))
