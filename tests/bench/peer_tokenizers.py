#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times `strata tokenize` and Hugging Face tokenizers on the same text, in turns, one thread each, and checks that the
ids are the same.

  tests/bench/peer_tokenizers.py --strata build/program/launch/strata --text big.txt [--vocab 32000] [--rounds 3] > table.md

Vocabularies are trained on the first half of the text. Needs PyPI tokenizers 0.23 and numpy. The peer gets the text in
documents of about 64 KiB, which is what it is fastest with. --cpu-time counts seconds of CPU in place of seconds: what a core does, on a
machine that others use, too."""
import argparse
import datetime
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "golden"))
import make_tokenizers as parts
import numpy as np
import tokenizer_texts
from tokenizers import Tokenizer, normalizers, pre_tokenizers

SEPARATOR = "\x1e\x1e"


def spent(cpu_time):
    """Seconds so far: of the clock, or of CPU by this process and its children that ended."""
    if not cpu_time:
        return time.perf_counter()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def documents(text, characters=65536):
    return [text[i : i + characters] for i in range(0, len(text), characters)]


def llama3(vocab):
    return parts.of_bytes(pre_tokenizers.Sequence([parts.split(parts.LLAMA3), parts.byte_level()]), vocab=vocab)


def llama2(vocab):
    tokenizer = parts.of_characters(pre_tokenizers.Metaspace(), byte_fallback=True, fuse_unk=True, vocab=vocab)
    tokenizer = parts.edited(tokenizer, pre_tokenizer=None)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return tokenizer


KINDS = {"gpt2": lambda vocab: parts.of_bytes(parts.byte_level(use_regex=True), vocab=vocab), "llama3": llama3, "llama2": llama2}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--strata", required=True)
    arguments.add_argument("--text", required=True)
    arguments.add_argument("--vocab", type=int, default=32000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--cpu-time", action="store_true")
    given = arguments.parse_args()
    text = pathlib.Path(given.text).read_text(encoding="utf-8").replace(SEPARATOR, "")
    docs = documents(text)
    tokenizer_texts.training = lambda: (line for line in text[: len(text) // 2].split("\n"))
    print(f"{platform.processor() or platform.machine()}, {datetime.date.today()}, one thread; {len(text.encode()) / 1e6:.0f} MB, "
          f"{given.vocab} tokens; MB/s{' of CPU time' if given.cpu_time else ''}, median (best) of {given.rounds}\n")
    print("| parts of | strata | tokenizers | ratio | ids |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        source, out = f"{folder}/text.txt", f"{folder}/out"
        pathlib.Path(source).write_text(SEPARATOR.join(docs), encoding="utf-8", newline="")
        size = os.path.getsize(source) / 1e6
        for name, make in KINDS.items():
            path = f"{folder}/{name}.json"
            make(given.vocab).save(path)
            peer = Tokenizer.from_file(path)
            ours, theirs = [], []
            for _ in range(given.rounds):
                begin = spent(given.cpu_time)
                subprocess.run([given.strata, "tokenize", source, "--tokenizer", path, "--document", SEPARATOR, "--out", out, "--overwrite",
                                "--threads", "1"], check=True, stdout=subprocess.DEVNULL)
                ours.append(size / (spent(given.cpu_time) - begin))  # reading the vocabulary and writing the tokens included
                begin = spent(given.cpu_time)
                ids = [peer.encode(d, add_special_tokens=False).ids for d in docs]
                theirs.append(size / (spent(given.cpu_time) - begin))
            same = np.array_equal(np.fromfile(out + ".bin", dtype=np.uint16), np.concatenate([np.array(i, dtype=np.uint16) for i in ids]))
            print(f"| {name} | {statistics.median(ours):.1f} ({max(ours):.1f}) | {statistics.median(theirs):.1f} ({max(theirs):.1f}) "
                  f"| {statistics.median(ours) / statistics.median(theirs):.1f} | {'equal' if same else 'DIFFER'} |", flush=True)


if __name__ == "__main__":
    main()
