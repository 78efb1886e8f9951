#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/sentencepiece: two small models and what the library's own Python module makes of difficult text.
Needs PyPI sentencepiece 0.2.

    python3 tests/golden/make_sentencepiece.py
"""
import json
import pathlib
import random

import sentencepiece

import tokenizer_texts

HERE = pathlib.Path(__file__).parent / "sentencepiece"


def main():
    HERE.mkdir(exist_ok=True)
    texts = [t for t in tokenizer_texts.difficult() + tokenizer_texts.random_texts(random.Random(7), 100) if "\0" not in t]
    expected = {"texts": texts, "models": {}}
    for kind in ("bpe", "unigram"):
        llama = kind == "bpe"  # as Llama 2 sets it: no normalization, bytes for what is unknown
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(line for text in tokenizer_texts.training() for line in text.split("\n") if line), model_prefix=str(HERE / kind),
            vocab_size=700, model_type=kind, character_coverage=0.98, byte_fallback=llama, split_digits=llama, num_threads=1,
            normalization_rule_name="identity" if llama else "nmt_nfkc", remove_extra_whitespaces=not llama, minloglevel=2,
            user_defined_symbols=["<sep>"] if llama else [])
        (HERE / f"{kind}.vocab").unlink()
        model = sentencepiece.SentencePieceProcessor(model_file=str(HERE / f"{kind}.model"))
        ids = [model.encode(t) for t in texts]
        expected["models"][kind] = {"ids": ids, "decoded": [model.decode(i) for i in ids]}
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
