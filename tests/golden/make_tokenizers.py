#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/tokenizers: small vocabularies inside the parts that the families' real tokenizer.json have, and
what Hugging Face tokenizers makes of difficult text. Needs PyPI tokenizers 0.23 and Debian's base-files (the text).

    python3 tests/golden/make_tokenizers.py
"""
import json
import pathlib
import random

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import AddedToken

import tokenizer_texts

HERE = pathlib.Path(__file__).parent / "tokenizers"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
DEEPSEEK = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
            "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def byte_level(use_regex=False, add_prefix_space=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)


def special(text, **how):
    return AddedToken(text, special=True, normalized=False, **how)


def train(tokenizer, vocab, special_tokens=(), alphabet=(), max_length=None):
    trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=list(special_tokens), initial_alphabet=list(alphabet),
                                  show_progress=False, limit_alphabet=400, max_token_length=max_length)
    tokenizer.train_from_iterator(tokenizer_texts.training(), trainer)
    return tokenizer


def of_bytes(pre, normalizer=None, vocab=900):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    return train(tokenizer, vocab, alphabet=pre_tokenizers.ByteLevel.alphabet())


def of_characters(pre_for_training, bytes_too=True, vocab=900, **model):
    """Trained on marked words; the caller puts in the parts that the family has."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", **model))
    tokenizer.pre_tokenizer = pre_for_training
    return train(tokenizer, vocab, ["<unk>", "<s>", "</s>"] + (BYTES if bytes_too else []))


def edited(tokenizer, **parts):
    """The tokenizer with parts of its file replaced, and without bytes among the added tokens."""
    file = json.loads(tokenizer.to_str())
    file["added_tokens"] = [t for t in file["added_tokens"] if t["content"] not in BYTES]
    for path, value in parts.items():
        target = file
        *outer, last = path.split("__")
        for key in outer:
            target = target[key]
        target[last] = value
    return Tokenizer.from_str(json.dumps(file))


def gpt2():
    tokenizer = of_bytes(byte_level(use_regex=True))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_tokens([special("<|endoftext|>")])
    return tokenizer


def gpt2_prefix():
    tokenizer = of_bytes(byte_level(use_regex=True, add_prefix_space=True), vocab=500)
    tokenizer.add_tokens([special("<mask>", lstrip=True), AddedToken("New York", single_word=True, normalized=True)])
    return tokenizer


def llama3():
    tokenizer = of_bytes(pre_tokenizers.Sequence([split(LLAMA3), byte_level()]))
    # ignore_merges shows where a word of the vocabulary cannot be reached by merges.
    vocab = json.loads(tokenizer.to_str())["model"]["vocab"]
    vocab["Ġanti"], vocab["qzx"] = len(vocab), len(vocab) + 1
    tokenizer = edited(tokenizer, model__ignore_merges=True, model__vocab=vocab)
    tokenizer.add_special_tokens([special(t) for t in ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")])
    begin = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                                      special_tokens=[("<|begin_of_text|>", begin)])])
    return tokenizer


def qwen2():
    tokenizer = of_bytes(pre_tokenizers.Sequence([split(QWEN2), byte_level()]), normalizers.NFC())
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens([special(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    tokenizer.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    return tokenizer


def smollm2():
    tokenizer = of_bytes(pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level(use_regex=True)]))
    tokenizer.add_special_tokens([special(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    return tokenizer


def deepseek():
    steps = [split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK), byte_level()]
    tokenizer = of_bytes(pre_tokenizers.Sequence(steps), normalizers.Sequence([]))
    tokenizer.add_special_tokens([special(t) for t in ("<|begin▁of▁sentence|>", "<|end▁of▁sentence|>")])
    tokenizer.add_tokens([AddedToken("<|User|>", normalized=False), AddedToken("x=", normalized=True)])
    begin = tokenizer.token_to_id("<|begin▁of▁sentence|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin▁of▁sentence|> $A", special_tokens=[("<|begin▁of▁sentence|>", begin)])
    return tokenizer


def marked_decoder():
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])


def llama2():
    tokenizer = of_characters(pre_tokenizers.Metaspace(), byte_fallback=True, fuse_unk=True)
    tokenizer = edited(tokenizer, pre_tokenizer=None)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = marked_decoder()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
    return tokenizer


def mistral():
    tokenizer = of_characters(pre_tokenizers.Metaspace(), byte_fallback=True, fuse_unk=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Metaspace("▁", prepend_scheme="first"), decoders.ByteFallback(),
                                           decoders.Fuse()])
    tokenizer.add_special_tokens([special("[INST]"), special("[/INST]")])
    return tokenizer


def marks_inside():
    """No pre-tokenizer, and merges over spaces: text does not fall into words."""
    tokenizer = of_characters(split("[^\n]{1,12}"), byte_fallback=True, fuse_unk=True, vocab=700)
    tokenizer = edited(tokenizer, pre_tokenizer=None)
    tokenizer.decoder = marked_decoder()
    return tokenizer


def unknown_split(fuse):
    tokenizer = of_characters(pre_tokenizers.Metaspace(), bytes_too=False, vocab=400, fuse_unk=fuse)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace("▁", prepend_scheme="always")
    return tokenizer


def folded():
    tokenizer = of_characters(pre_tokenizers.Whitespace(), bytes_too=False, vocab=500)
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Replace(Regex("``|''"), '"'),
        normalizers.Strip(left=True, right=True)])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(False),
                                                       pre_tokenizers.Punctuation("merged_with_previous")])
    tokenizer.add_tokens([AddedToken("Hello", normalized=True), AddedToken("é", normalized=True, single_word=True),
                          AddedToken("<both>", normalized=False, lstrip=True, rstrip=True, special=True),
                          AddedToken("<bot", normalized=False, special=False)])
    return tokenizer


def behaviors():
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            steps = [split(r"[aeiou]|\s", behavior, invert), byte_level()]
            yield f"split_{behavior}{'_inverted' if invert else ''}", pre_tokenizers.Sequence(steps)
    yield "split_text", pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "merged_with_next"), byte_level()])
    yield "whitespace_split", pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), byte_level()])
    yield "punctuation", pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), byte_level()])


FAMILIES = {
    "gpt2": gpt2, "gpt2_prefix": gpt2_prefix, "llama3": llama3, "qwen2": qwen2, "smollm2": smollm2, "deepseek": deepseek,
    "llama2": llama2, "mistral": mistral, "marks_inside": marks_inside, "unknown": lambda: unknown_split(False),
    "unknown_fused": lambda: unknown_split(True), "folded": folded}


def fnv(ids):
    """FNV-1a over the ids as 32-bit little-endian numbers."""
    h = 0xCBF29CE484222325
    for i in ids:
        for byte in i.to_bytes(4, "little"):
            h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def results(tokenizer, texts, random_texts):
    cases = []
    for text in texts:
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        around = tokenizer.encode(text).ids
        cases.append({"ids": plain, "around": around if around != plain else None,
                      "decoded": tokenizer.decode(plain, skip_special_tokens=True),
                      "decoded_with_special": tokenizer.decode(around, skip_special_tokens=False)})
    hashes = [fnv(tokenizer.encode(text, add_special_tokens=False).ids) for text in random_texts]
    return {"cases": cases, "hashes": hashes}


def merges_as_pairs(file, pairs):
    """Both spellings of merges are read: half of the families have one, half the other."""
    if not pairs:
        file["model"]["merges"] = [" ".join(m) for m in file["model"]["merges"]]
    return file


def main():
    HERE.mkdir(exist_ok=True)
    texts, random_texts = tokenizer_texts.difficult(), tokenizer_texts.random_texts(random.Random(20261126), 400)
    broken = tokenizer_texts.broken()
    write = lambda name, value: (HERE / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    expected = {}
    for number, (name, make) in enumerate(FAMILIES.items()):
        tokenizer = make()
        write(f"{name}.json", merges_as_pairs(json.loads(tokenizer.to_str()), number % 2 == 0))
        expected[name] = results(tokenizer, texts, random_texts)
        expected[name]["broken"] = [tokenizer.encode(b.decode("utf-8", "replace"), add_special_tokens=False).ids for b in broken]
    base = Tokenizer.from_file(str(HERE / "gpt2.json"))
    variants = []
    for name, pre_tokenizer in behaviors():
        base.pre_tokenizer = pre_tokenizer
        hashes = [fnv(base.encode(text, add_special_tokens=False).ids) for text in texts + random_texts]
        variants.append({"name": name, "pre_tokenizer": json.loads(base.to_str())["pre_tokenizer"], "hashes": hashes})
    write("expected.json", {"texts": texts, "random_texts": random_texts, "broken": [b.hex() for b in broken],
                            "families": expected, "variants": variants})


if __name__ == "__main__":
    main()
