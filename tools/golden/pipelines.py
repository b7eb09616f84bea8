"""Small compositions of every step that tokenizer.json knows, with the ids and texts of Hugging Face tokenizers."""
import base64
import json
import struct

from tokenizers import Tokenizer, pre_tokenizers

from golden.common import fresh_folder

TEXTS = [
    "", " ", "  two  spaces ", "kalo miren", "Kalo's SHU'LL", "li\nk\r\n\n\tb ", "1 12 1234a5 \u0663\u00bd\u2167",
    "x!!! ...(yes) -> <no>", "na\u00efve cafe\u0301 \u00fc", "\u1e9e\u0130\u01c5 \ufb01", "\u65e5\u672ca\u8a9e",
    "\ud55c\u1112\u1161\u11ab", "e\U0001f600\u200d\U0001f467", "a\u3000b\u00a0c\u200bd", "a\u0001b\ufeffc\u00add\u2028e", "\u2581a\u2581 b",
    "kalo" * 2, "<s>kalo</s> <a_1><b_2> x<m>y", "  <a_1>  kalo <m> ", "word wordsword", "aaeiou", "_a_b__c",
    "q\u0315\u0300\u05ae\u0062", "\u00b2\u24b6\u203f\u0301", "<unk>\u4e2d\u6587<0x41>", "a.b\na$b^", "tAtA[1]-{2}", "\u0e01\u0e33", "ss \u00df\u017fK\u212a",
]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
REGEXES = [
    r"\w+|[^\w\s]+", r"^a|b$", r"(?m)a.b", r"a.b", r"\h+", r"[\h&&[^a-c]]", r"[^\W_]+", r"a{,2}b?", r"(?i)kalo|\u017f|K", r"x(?i:SHU)|(?i)two|a",
    r"\p{Han}+|\p{^L}", r"[[:punct:]]+", r"[[:alpha:]&&[^k-m]]+", r"\b", r"(?<=a)b|(?<!\s)\d", r"a*", r"(?:ab|a)++", r"\p{N}{1,3}+", r"[\s\S]{2}",
    r"[a-c\d\-]|\x{e9}|\u00ef|\xC3\xBC", r"(a)\1", GPT2, r"[^\r\n\p{L}\p{N}]?\p{Lu}*\p{Ll}+|\p{N}{1,3}|\s+$|\s", r"\A.|\z", "(?<n>k)|\\\\|\u2581", r"[]a]|[^]b-]",
    r"a{2}?", r"\S+?", r"(?>a+)b|[[a-b][x-y]]", r"[[:upper:][:digit:]]|\p{Alnum}{4}", r"\R|\t", r"[\u4e00-\u9fff]|\W\w",
]


def step(kind, **settings):
    return dict(type=kind, **settings)


def charsmap(entries):
    """A double-array trie of replacements as SentencePiece stores it."""
    texts, places = b"", {}
    for key in sorted(entries):
        places[key.encode()] = len(texts)
        texts += entries[key].encode() + b"\0"
    units, used = {}, {0}

    def place(prefix, index):
        nexts = sorted({key[len(prefix)] for key in places if key.startswith(prefix) and len(key) > len(prefix)})
        labels = ([0] if prefix in places else []) + nexts
        base = next(b for b in range(1, 1 << 16) if not any(b ^ label in used for label in labels))
        used.update(base ^ label for label in labels)
        units[index] = (index ^ base) << 10 | (256 if prefix in places else 0) | (prefix[-1] if prefix else 0)
        if prefix in places:
            units[base] = 1 << 31 | places[prefix]
        for label in nexts:
            place(prefix + bytes([label]), base ^ label)

    place(b"", 0)
    size = max(units) // 256 * 256 + 256
    trie = struct.pack(f"<{size}I", *(units.get(i, 0) for i in range(size)))
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + texts).decode()


CHARSMAP = charsmap({"\u00ef": "i", "e\u0301": "E", "\u3000": " ", "\u00a0": "  ", "\r": "", "\ufb01": "fi", "\u00bd": "1/2", "\u200b": "", "\t": " ",
                     "\U0001f600": ":)", "\u1112": "h", "\u1112\u1161": "ha"})
NORMALIZERS = {
    "NFC": step("NFC"), "NFD": step("NFD"), "NFKC": step("NFKC"), "NFKD": step("NFKD"), "Lowercase": step("Lowercase"),
    "Prepend": step("Prepend", prepend="\u2581"), "Replace": step("Replace", pattern=dict(String="a"), content="bb"),
    "ReplaceEmpty": step("Replace", pattern=dict(String=""), content="-"),
    "ReplaceRegex": step("Replace", pattern=dict(Regex=r"\s+|(?<=l)o"), content=" "),
    "Strip": step("Strip", strip_left=True, strip_right=True), "StripLeft": step("Strip", strip_left=True, strip_right=False),
    "StripRight": step("Strip", strip_left=False, strip_right=True), "StripAccents": step("StripAccents"),
    "DecomposedWithoutAccents": step("Sequence", normalizers=[step("NFKD"), step("StripAccents")]),
    "Bert": step("BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True),
    "BertCased": step("BertNormalizer", clean_text=True, handle_chinese_chars=False, strip_accents=None, lowercase=False),
    "BertAccents": step("BertNormalizer", clean_text=False, handle_chinese_chars=True, strip_accents=True, lowercase=False),
    "Nmt": step("Nmt"), "Precompiled": step("Precompiled", precompiled_charsmap=CHARSMAP), "ByteLevel": step("ByteLevel"),
    "Empty": step("Sequence", normalizers=[]),
    "Nested": step("Sequence", normalizers=[step("Sequence", normalizers=[step("Lowercase"), step("NFD")]), step("Strip", strip_left=True, strip_right=True)]),
}


def metaspace(scheme, split=True):
    return step("Metaspace", replacement="\u2581", prepend_scheme=scheme, split=split)


def byte_level(prefix=False, regex=True):
    return step("ByteLevel", add_prefix_space=prefix, trim_offsets=True, use_regex=regex)


def split(pattern, behavior="Isolated", invert=False):
    return step("Split", pattern=pattern, behavior=behavior, invert=invert)


def sequence(*steps):
    return step("Sequence", pretokenizers=list(steps))


BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
PRE_TOKENIZERS = {
    **{f"Split{behavior}": split(dict(Regex="[aeiou]| "), behavior) for behavior in BEHAVIORS},
    **{f"SplitInverted{behavior}": split(dict(Regex="[^aeiou ]"), behavior, True) for behavior in BEHAVIORS},
    **{f"SplitAtEmpty{behavior}": split(dict(Regex="a*"), behavior) for behavior in BEHAVIORS},
    "SplitString": split(dict(String="o m"), "Removed"), "SplitNothing": split(dict(String="")),
    "Digits": step("Digits", individual_digits=False), "DigitsEach": step("Digits", individual_digits=True),
    "ByteLevel": byte_level(), "ByteLevelSpace": byte_level(True), "ByteLevelWhole": byte_level(True, False),
    "MetaspaceAlways": metaspace("always"), "MetaspaceFirst": metaspace("first"), "MetaspaceNever": metaspace("never"),
    "MetaspaceWhole": metaspace("always", False), "Whitespace": step("Whitespace"), "WhitespaceSplit": step("WhitespaceSplit"),
    **{f"Punctuation{behavior}": step("Punctuation", behavior=behavior) for behavior in BEHAVIORS[1:3]},
    "Bert": step("BertPreTokenizer"), "CharDelimiter": step("CharDelimiterSplit", delimiter="a"), "Fixed": step("FixedLength", length=3),
    "T5": sequence(step("WhitespaceSplit"), metaspace("always")), "FirstOfMany": sequence(split(dict(Regex="[aeiou]")), metaspace("first", False)),
    "DigitsThenBytes": sequence(step("Digits", individual_digits=True), byte_level()),
    "Nested": sequence(sequence(step("Punctuation", behavior="Contiguous")), step("WhitespaceSplit")), "Empty": sequence(),
    **{f"Regex{i}": split(dict(Regex=regex)) for i, regex in enumerate(REGEXES)},
}


def added(token_id, content, **flags):
    return dict(dict(id=token_id, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False), **flags)


def characters(texts):
    """A model that shows where pieces end: every character has another token at the end of one."""
    known = sorted(set("".join(texts)) | set(pre_tokenizers.ByteLevel.alphabet()) | set("\u2581bfh:E1/2-"))
    vocab = {"<unk>": 0}
    for character in known:
        vocab.setdefault(character, len(vocab))
        vocab.setdefault(character + "</w>", len(vocab))
    return step("BPE", dropout=None, unk_token="<unk>", continuing_subword_prefix=None, end_of_word_suffix="</w>", fuse_unk=False,
                byte_fallback=False, ignore_merges=False, vocab=vocab, merges=[])


def bpe(**settings):
    tokens = ["<unk>", "</s>", "\u2581", *"aklomire", "ka", "lo", "kalo", "\u2581m", "<0xC3>", "<0xA9>", "<0xAF>", "ir", "mi", "\u2581miren", "nn"]
    merges = [["k", "a"], ["l", "o"], ["ka", "lo"], ["\u2581", "m"], ["i", "r"], ["m", "i"]]
    values = dict(dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None, fuse_unk=False, byte_fallback=False,
                  ignore_merges=False, vocab={token: i for i, token in enumerate(tokens)}, merges=merges)
    return step("BPE", **{**values, **settings})


def marked_bpe():
    tokens = ["[UNK]", "k", "##a", "##l", "##o", "##o</w>", "ka", "##lo</w>", "kalo</w>", "a</w>", "e", "##e", "##e</w>"]
    return bpe(unk_token="[UNK]", continuing_subword_prefix="##", end_of_word_suffix="</w>", vocab={token: i for i, token in enumerate(tokens)},
               merges=[["k", "##a"], ["##l", "##o</w>"], ["ka", "##lo</w>"]])


def unigram(**settings):
    pieces = [["<unk>", 0.0], ["</s>", 0.0], ["\u2581", -2.0], ["\u2581k", -3.1], ["kalo", -6.0], ["ka", -2.5], ["lo", -2.6], ["\u2581kalo", -4.0],
              *[[c, -4.0 - i / 7] for i, c in enumerate("aklomirenwds")], ["<0xC3>", -9.0], ["<0xA9>", -9.0], ["<0xAF>", -9.0], ["<a_1>", -1.0],
              ["\u65e5", -3.0], ["word", -3.0], ["words", -3.0]]
    return step("Unigram", **{**dict(unk_id=0, vocab=pieces, byte_fallback=False), **settings})


def word_vocabulary(*more):
    return {token: i for i, token in enumerate(["[UNK]", "kalo", "miren", "word", "##s", "##word", "<s>", "a", "##a", "##1", "1", "x", "##!", "!", *more])}


FALLBACK = step("Sequence", decoders=[step("Replace", pattern=dict(String="\u2581"), content=" "), step("ByteFallback"), step("Fuse"),
                                      step("Strip", content=" ", start=1, stop=0)])
FLAGS = [added(900, "<s>", special=True), added(901, "</s>", special=True, rstrip=True), added(902, "<a_1>"), added(903, "<b_2>", normalized=True),
         added(904, "<m>", lstrip=True, rstrip=True), added(905, "word", single_word=True), added(906, "Kalo", normalized=True),
         added(907, "\u65e5\u672c", special=True, lstrip=True), added(908, "aa"), added(909, "aaa")]
DECODERS = {
    "None": None, "ByteLevel": byte_level(), "Metaspace": metaspace("always"), "MetaspaceNever": metaspace("never"),
    "WordPiece": step("WordPiece", prefix="##", cleanup=True), "WordPiecePlain": step("WordPiece", prefix="a", cleanup=False),
    "BPEDecoder": step("BPEDecoder", suffix="</w>"), "Fallback": FALLBACK, "Fuse": step("Fuse"), "Empty": step("Sequence", decoders=[]),
    "StripStart": step("Strip", content="\u2581", start=2, stop=0), "StripStop": step("Strip", content="a", start=0, stop=1), "Replace": step("Replace", pattern=dict(Regex="[a-l]+"), content="<>"),
}


def whole(**parts):
    values = dict(version="1.0", truncation=None, padding=None, added_tokens=[], normalizer=None, pre_tokenizer=None, post_processor=None,
                  decoder=None)
    return {**values, **parts}


def compositions():
    """By name: tokenizer.json, whose "model" may be the name of a shared one."""
    out = {f"normalizer {name}": whole(normalizer=value, model="characters") for name, value in NORMALIZERS.items()}
    out |= {f"pre_tokenizer {name}": whole(pre_tokenizer=value, model="characters") for name, value in PRE_TOKENIZERS.items()}
    out |= {f"decoder {name}": whole(decoder=value, pre_tokenizer=metaspace("always"), model="bpe bytes") for name, value in DECODERS.items()}
    for name in MODELS:
        if name != "characters":
            words = name.startswith("word")
            out[f"model {name}"] = whole(pre_tokenizer=step("Whitespace") if words else metaspace("always"), model=name,
                                         decoder=step("WordPiece", prefix="##", cleanup=True) if words else FALLBACK)
    steps = dict(plain=None, lower=step("Lowercase"), prepend=step("Sequence", normalizers=[NORMALIZERS["Prepend"], step(
        "Replace", pattern=dict(String=" "), content="\u2581")]), strip=NORMALIZERS["Strip"])
    for name, value in steps.items():
        out[f"added {name}"] = whole(normalizer=value, added_tokens=FLAGS, model="characters", decoder=step("Fuse"))
    out["added metaspace"] = whole(added_tokens=FLAGS, pre_tokenizer=metaspace("first"), model="characters", decoder=metaspace("first"))
    out["added strip metaspace"] = whole(normalizer=NORMALIZERS["Strip"], added_tokens=FLAGS, pre_tokenizer=metaspace("first"), model="characters")
    out["added unigram"] = whole(added_tokens=[added(1, "</s>", special=True), added(23, "<a_1>")], model="unigram",
                                 pre_tokenizer=metaspace("always"), decoder=metaspace("always"))
    return out


MODELS = {
    "bpe without unknown": bpe(), "bpe unknown": bpe(unk_token="<unk>"), "bpe fused": bpe(unk_token="<unk>", fuse_unk=True),
    "bpe bytes": bpe(unk_token="<unk>", byte_fallback=True), "bpe fused bytes": bpe(unk_token="<unk>", byte_fallback=True, fuse_unk=True),
    "bpe whole": bpe(unk_token="<unk>", ignore_merges=True), "bpe marks": marked_bpe(), "unigram": unigram(), "unigram bytes": unigram(byte_fallback=True),
    "word pieces": step("WordPiece", unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=9, vocab=word_vocabulary()),
    "words": step("WordLevel", unk_token="[UNK]", vocab=word_vocabulary("aaa", "two", "_a_b__c", "\u65e5\u672ca\u8a9e")),
    "characters": characters(TEXTS),
}


def with_model(composition, models):
    """Added tokens behind the model get the ids that the library gives them: the next ones."""
    model = models[composition["model"]]
    count, moved = len(model["vocab"]), []
    for token in composition["added_tokens"]:
        known = token["content"] in model["vocab"] if isinstance(model["vocab"], dict) else token["id"] < count
        token_id = model["vocab"][token["content"]] if isinstance(model["vocab"], dict) and known else token["id"]
        moved.append(dict(token, id=token_id if known else count + sum(not m["known"] for m in moved), known=known))
    return {**composition, "model": model, "added_tokens": [{k: v for k, v in m.items() if k != "known"} for m in moved]}


def spelled(tokenizer, text):
    return " ".join(map(str, tokenizer.encode(text, add_special_tokens=False).ids))


def documents():
    """Whole files that hold many steps at once, for who mutates files."""
    normalizer = step("Sequence", normalizers=[NORMALIZERS[name] for name in ("Precompiled", "NFKC", "ReplaceRegex", "Bert", "Strip", "Prepend")])
    regexes = sequence(*(split(dict(Regex=regex), BEHAVIORS[i % 5]) for i, regex in enumerate(REGEXES[::3])))
    return {
        "unigram": whole(normalizer=normalizer, pre_tokenizer=PRE_TOKENIZERS["T5"], model="unigram bytes", decoder=FALLBACK, added_tokens=FLAGS),
        "regexes": whole(pre_tokenizer=regexes, model="bpe marks", decoder=DECODERS["BPEDecoder"]),
        "words": whole(normalizer=step("Nmt"), pre_tokenizer=PRE_TOKENIZERS["Nested"], model="word pieces", decoder=DECODERS["WordPiece"]),
    }


def make(root):
    path = fresh_folder(root / "pipelines")
    for name, composition in documents().items():
        document = with_model(composition, MODELS)
        Tokenizer.from_str(json.dumps(document))
        fresh_folder(path / name)
        (path / name / "tokenizer.json").write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")
    cases = []
    for name, composition in compositions().items():
        document = with_model(composition, MODELS)
        tokenizer = Tokenizer.from_str(json.dumps(document))
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
        texts = [tokenizer.decode(one, skip_special_tokens=False) for one in ids]
        shown = [None if a == b else a for a, b in zip(texts, TEXTS)] if name.split()[0] in ("decoder", "model", "added") else []
        tokenizer.encode_special_tokens = True  # special tokens in texts stay text
        typed = [spelled(tokenizer, text) for text in TEXTS] if name.startswith("added") and "unigram" not in name else []
        case = {key: value for key, value in {**composition, "added_tokens": document["added_tokens"]}.items() if value not in (None, [], "1.0")}
        cases.append(dict(case, name=name, ids=[" ".join(map(str, one)) for one in ids],
                          **(dict(decoded=shown) if shown else {}), **(dict(typed=typed) if typed else {})))
    (path / "pipelines.json").write_text(json.dumps(dict(texts=TEXTS, models=MODELS, cases=cases), ensure_ascii=False, separators=(",", ":")) + "\n")
