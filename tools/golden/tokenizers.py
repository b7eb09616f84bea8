"""Small tokenizers of every kind that is read, trained on made-up text, with ids from their own libraries."""
import io
import json

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from golden.common import SEED, fresh_folder

SYLLABLES = "ka lo mi ren ta vo shu bel dor an fi gra ne pol ri sto un wei xi zan".split()
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
         r"\s+(?!\S)|\s+")
LLAMA3 = QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|")
TEXTS = [
    "", " ", "  two  spaces ", "kalo miren", " Kalo MIREN tavo's shu'll", "line\nbreak\r\n\n\ttab", "1 12 123 1234 12345",
    "a1b22c333", "don't DON'T we've", "punctuation!!! ...(yes) -> <no>", "na\u00efve caf\u00e9 cafe\u0301 \u00fcber",
    "\u0442\u0435\u043c\u043f\u0435\u0440\u0430\u0442\u0443\u0440\u0430", "\u65e5\u672c\u8a9e \u4e2d\u6587\u5b57",
    "\ud55c\uad6d\uc5b4", "emoji \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0661\u0662\u0663 \u2167 \u00bd",
    "mixed\u3000wide\u00a0space\u200bzero", "trailing newline\n", "\n\n\nbeldor", "x" * 70, "the Bel-Dor (1994)",
    "History; <12> drama Kalo Miren", "e = mc^2; f(x) => {x}", "https://example.org/a?b=c&d=e", "tab\there  and\t\tthere",
    "<|endoftext|> is text here", "</s><s><unk>", "\u2581 already visible", "kalo" * 12,
]


def made_up_text():
    """Words of syllables, frequent ones often: enough repetition for merges. A plain generator, the same everywhere."""
    state, lines = SEED, []
    for _ in range(400):
        words = []
        for _ in range(12):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            value = state >> 33
            length = 1 + value % 3
            word = "".join(SYLLABLES[((value >> (5 * i)) % 20) * ((value >> 3 * i) % 20) // 20] for i in range(length))
            words.append(word.capitalize() if value % 5 == 0 else word)
            if value % 11 == 0:
                words.append(str(value % 2000))
        lines.append(" ".join(words) + ".")
    return lines + ["na\u00efve caf\u00e9 \u65e5\u672c\u8a9e don't we've"] * 4


def digits_apart():
    """SmolLM2's: numerals one by one, then GPT-2's pattern; bytes that the training text lacks have no token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(made_up_text(), trainers.BpeTrainer(
        vocab_size=150, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], show_progress=False))
    return tokenizer


def byte_level(name, pattern, normalizer, ignore_merges):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    tokenizer.pre_tokenizer = whole if pattern is None else pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), whole])
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(made_up_text(), trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    return tokenizer


# Titles as one token: one begins another, one ends where another begins, one is inside another, digits, accents.
PHRASES = [" Kalo Miren;", " Kalo Miren II;", " Bel", " Bel-Dor (1994);", "mi", " Miren Kalo Miren", " 12 Taki;",
           " na\u00efve \u65e5\u672c;"]
PHRASE_TEXTS = [
    "History; start Kalo Miren; week Kalo Miren II; day Bel-Dor (1994);", " Kalo Miren; Kalo Miren;", "Kalo Miren; kalo miren;",
    " Kalo Miren Kalo Miren;", " Bel Bel-Dor Bel-Dor (1994); Belmi", " 12 Taki; 112 Taki;  12 Taki;", "x na\u00efve \u65e5\u672c;y",
    " Kalo Miren III;", "mimimi Miren", " Kalo  Miren;", "",
]


def with_phrases():
    tokenizer = byte_level("phrases", None, None, False)
    tokenizer.add_tokens([AddedToken(phrase, normalized=False, special=False) for phrase in PHRASES])
    return tokenizer


# What BERT's normalizer changes besides TEXTS: controls, invisible characters, marks, punctuation of all kinds.
CLEANED_TEXTS = [
    "\u0130stanbul \u01c5 \u1e9e \u00df", "a\u0000b\ufffdc\u00add\u200be\u2028f\u2029g\u0085h\u000bi", "\u4e2dkalo\u6587\u3007miren",
    "Kalo\u2019s \u201cMiren\u201d \u2014 \u00a1ta! \u00bfvo? \u3002\u00b7 $5 ^ ` ~ + | \u20ac", "A\u0301\u0328O\u0308 \u1fb7 \u0439",
    "kalo-miren_tavo.shu", "[MASK] [CLS] kalo [SEP]", "x" * 101 + " kalo", "\ud55c\u1112\u1161\u11ab", "\u0e01\u0e33 \u0915\u093f",
]


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(made_up_text(), trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False,
        initial_alphabet=list("abcdefghijklmnopqrstuvwxyz0123456789.,'-()!?:;<>")))
    tokenizer.enable_truncation(max_length=12)  # as published files have it; not applied to texts
    tokenizer.enable_padding(length=12)
    return tokenizer


def sentence_piece(kind, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(made_up_text()), model_writer=model, model_type=kind, minloglevel=2, num_threads=1, **options)
    return model.getvalue()


def encoded(encode, texts=TEXTS):
    return [dict(text=text, ids=encode(text)) for text in texts]


def save(path, value):
    path.write_text(json.dumps(value, indent=0) + "\n")


def make(root):
    kinds = {"gpt2": (None, None, False), "qwen2": (QWEN2, normalizers.NFC(), False), "llama3": (LLAMA3, None, True)}
    tokenizers = {name: byte_level(name, *settings) for name, settings in kinds.items()}
    tokenizers["smollm"] = digits_apart()
    for name, tokenizer in tokenizers.items():
        path = fresh_folder(root / "tokenizers" / name)
        tokenizer.save(str(path / "tokenizer.json"), pretty=False)
        save(path / "tokenizer_config.json", dict(eos_token="<|endoftext|>"))
        # A special token in a text is text for us; the library would recognise it.
        plain = Tokenizer.from_str(json.dumps({**json.loads(tokenizer.to_str()), "added_tokens": []}))
        save(path / "vectors.json", encoded(lambda text: plain.encode(text, add_special_tokens=False).ids))
    path = fresh_folder(root / "tokenizers" / "phrases")
    tokenizer = with_phrases()
    tokenizer.save(str(path / "tokenizer.json"), pretty=False)
    save(path / "tokenizer_config.json", dict(eos_token="<|endoftext|>"))
    texts = [text for text in TEXTS if "<|endoftext|>" not in text] + PHRASE_TEXTS
    save(path / "vectors.json", encoded(lambda text: tokenizer.encode(text, add_special_tokens=False).ids, texts))
    path = fresh_folder(root / "tokenizers" / "bert")
    tokenizer = word_piece()
    tokenizer.save(str(path / "tokenizer.json"), pretty=False)
    save(path / "tokenizer_config.json", dict(sep_token="[SEP]", unk_token="[UNK]"))
    # A special token in a text is text for us; the library would recognise it.
    plain = Tokenizer.from_str(json.dumps({**json.loads(tokenizer.to_str()), "added_tokens": [], "truncation": None,
                                           "padding": None}))
    cases = encoded(lambda text: plain.encode(text, add_special_tokens=False).ids, TEXTS + CLEANED_TEXTS)
    save(path / "vectors.json", [dict(case, decoded=plain.decode(case["ids"], skip_special_tokens=False)) for case in cases])
    for name, file, data in (
            ("t5", "spiece.model", sentence_piece("unigram", vocab_size=132, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
                                                  character_coverage=1.0)),
            ("llama2", "tokenizer.model", sentence_piece("bpe", vocab_size=420, unk_id=0, bos_id=1, eos_id=2,
                                                         byte_fallback=True, normalization_rule_name="identity",
                                                         remove_extra_whitespaces=False, character_coverage=0.98))):
        path = fresh_folder(root / "tokenizers" / name)
        (path / file).write_bytes(data)
        reader = sentencepiece.SentencePieceProcessor(model_proto=data)
        save(path / "vectors.json", encoded(reader.encode))
