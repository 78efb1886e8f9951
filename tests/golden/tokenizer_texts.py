# SPDX-License-Identifier: Apache-2.0
"""The texts of make_tokenizers.py: what small vocabularies are trained on, and what is hard to split right. Characters
are those of Unicode 14, whose tables the oldest supported PCRE2 has."""
import pathlib

LICENSES = pathlib.Path("/usr/share/common-licenses")
OTHER_LANGUAGES = [
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Straße, Übergröße, naïve façade.",
    "Все люди рождаются свободными и равными в своём достоинстве и правах.",
    "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。",
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "for (int i = 0; i < 10; ++i) {\n    printf(\"%d\\n\", i);\n}\n\tdef f(x):\n        return x ** 2  # comment\n",
    "it's we're I'll they've don't I'D SHE'S 12 345 6789 2024-11-26 3.14159 1,000,000 🙂👍🏽❤️",
]


def training():
    for name in ("GPL-3", "Apache-2.0", "Artistic", "GFDL-1.3"):
        yield from (LICENSES / name).read_text().split("\n\n")
    for text in OTHER_LANGUAGES:
        yield from [text] * 20


ADDED = ["<|endoftext|>", "<|begin_of_text|>", "<|im_start|>", "<|im_end|>", "<think>", "<mask>", "New York", "Hello", "<both>",
         "<bot", "[INST]", "[/INST]", "<s>", "</s>", "<unk>", "<|User|>", "<|begin▁of▁sentence|>", "x=", "<0x41>", "é"]


def difficult():
    texts = ["", " ", "  ", "\n", "\n\n\n", " \n ", "\t\t x\r\n\r\ny", "a", "Hello", "Hello world", " Hello  world  ", "hello\n\nWorld",
             "x" * 40, "ab " * 20, " " * 50, "end   ", "   start", "a\u00a0b\u2003c\u3000d\u0085e\u180ef\u200bg\ufeffh", "\x00\x01\x7f"]
    texts += ["I'm you're he'll THEY'VE it'S we'd don't 'tis ''s '' ’s I’m", "anti anti-antiqzx qzx Ġ ▁ ▁▁a a▁b <0x41> <0x0A>"]
    texts += ["1 12 123 1234 12345 1234567890 3.14 1,000 ½ ² Ⅷ ٣٤٥ 一二三 a1b22c333", "foo(bar)[0]{x: y}; // != === <<>> ... --- *** ###\n\n\n  }"]
    texts += ["é e\u0301 Å A\u030a ﬁ ﬀ ① ㎏ Ⅳ ñ n\u0303 ắ a\u0306\u0301 \u1100\u1161\u11a8 각 İstanbul ẞ ß ΑΣ ς ſ K Å"]
    texts += ["🙂 👍🏽 👩‍👩‍👧‍👦 🇩🇪 ❤️ #️⃣ 𝔘𝔫𝔦 𐍈 𠜎", "नमस्ते दुनिया ก็ไม่รู้ שָׁלוֹם مَرْحَبًا ພາສາ မြန်မာ ქართული հայ"]
    texts += ["日本語のテキスト、です。中文字符!한국어 텍스트。カタカナ ひらがな ー々〆", "``quoted'' “curly” ‘single’ «guille» „low“ — – … • · ¿¡"]
    texts += OTHER_LANGUAGES
    for token in ADDED:
        texts += [token, f"a{token}b", f"a {token} b", f"  {token}  \n{token}", f"{token}{token}", token[:-1], f"é{token}é {token}."]
    texts += ["<|endoftext|<|endoftext|>|>", "<bot<both> <both", "New Yorker New York, New  York NEW YORK", "hello HELLO Hello, ÉÉ é e\u0301"]
    texts += [(LICENSES / "GPL-3").read_text()[20000:20600], "line one.\nLine two\nline 3 \nX\n\nY\n z\n"]
    return texts


def random_texts(rng, count):
    ranges = [(0x20, 0x7E), (0x61, 0x7A), (0x30, 0x39), (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x5D0, 0x5EA),
              (0x610, 0x66F), (0x900, 0x97F), (0xE01, 0xE3A), (0x1100, 0x11FF), (0x1E00, 0x1FFE), (0x2000, 0x206F), (0x2100, 0x218B),
              (0x2460, 0x24FF), (0x3000, 0x303F), (0x3041, 0x30FF), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0xE000, 0xE0FF), (0xFB00, 0xFB06),
              (0xFE00, 0xFE0F), (0xFF01, 0xFF9F), (0x1D400, 0x1D7FF), (0x1F300, 0x1F64F), (0x20000, 0x2A6DF), (0x0, 0x1F)]
    fixed = [" ", "  ", "\n", "\n\n", " \n", "\t", "\r\n", "'s", "'LL", "'re", "the", " of", "ing", "▁", "\u00a0", "\u3000", "..."] + ADDED

    def piece():
        kind = rng.random()
        if kind < 0.45:
            return rng.choice(fixed)
        low, high = rng.choice(ranges) if kind < 0.8 else ranges[1]
        return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 6)))

    return ["".join(piece() for _ in range(rng.randint(1, 14))) for _ in range(count)]


def broken():
    """Bytes that are not UTF-8; what tokenizers sees is Python's replacement of them."""
    return [b"\x80", b"a\xffb", b"\xc3", b"ok \xe2\x82", b"\xe2\x82x", b"\xf0\x9f\x99", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80",
            b"<|endoftext|>\xfe<|im_end|>", b"x\xf0\x9f\x99\x82\xf0\x9fy", b"\xe4\xb8\xad\xe4\xb8"]
