#!/usr/bin/env python3
"""Records what ftfy and Python's html make of damaged, odd and sound texts, into fixtures/texts/ftfy.json.

ftfy is not in Debian bookworm in this version; a virtual environment has it:

  python3 -m venv /tmp/ftfy && /tmp/ftfy/bin/pip install ftfy==6.3.1
  /tmp/ftfy/bin/python scripts/fixtures-texts.py

Another draw of the same kinds, to be compared by `npx tsx scripts/compare-texts.ts DRAW`:

  /tmp/ftfy/bin/python scripts/fixtures-texts.py --seed 1 --count 20000 DRAW

Each row has its `kind`, the `text`, and `cleaned`: what open_clip's tokenizer splits, which is ftfy.fix_text, html.unescape
twice, single blanks and lower case.
"""

import argparse
import html
import html.entities
import json
import random
import sys
import unicodedata
from pathlib import Path

import ftfy

assert ftfy.__version__ == "6.3.1", f"recorded with ftfy 6.3.1, this is {ftfy.__version__}"

words = """a photo of a dog|don’t|áb|α β γ Ω|it`s|İstanbul|हिन्दी|¿qué?|ﬁre ﬂies|№ 5 ™ ®|½ cup, ¼ tsp|ŁódŹ|Ｆｕｌｌｗｉｄｔｈ|ไทย
naïve café|€100 £5|“smart quotes” – dash…|schöne Grüße|Привет, мир|hello\u200bworld|l’été à la plage|x²+y²|한국어|emoji 😀👍🏽
日本語の写真|عربي|piñata & crème brûlée|étude|Ελληνικά γράμματα|příliš žluťoučký kůň|çok güzel|Œuvre à Noël|ALLÉE|voilà le travail
às vezes àquela hora|mañana 5°C|šķīvis|ґанок|中文，测试|👩‍👩‍👧 🇩🇪|עברית|தமிழ்|±5 µm × 3|† ‡ ‰ ƒ|• bullet|\xa0space\xa0|soft\xadhyphen
ĳ ŉ ǆ|ﾊﾝｶｸ|\x1b[31mred\x1b[0m|tab\tline\nnext|a\r\nb\u2028c|<i>&eacute;</i>|&EACUTE; &frac12; &#xe9; &copy|¯\\_(ツ)_/¯|Ångström Ø æ
© 2024|§ 5 ¶|I’m|“|”|Ã|Â|À la carte\n|\ufeffmark|\ufffd|AMANHÃ…|POKÉ®|«sí»|e\u0301|ÃƒÂ©tude""".replace("\n", "|").split("|")

pages = ["latin-1", "sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1250", "sloppy-windows-1253"]
pages += ["sloppy-windows-1254", "sloppy-windows-1257", "iso-8859-2", "macroman", "cp437", "cp850", "windows-1252", "koi8-r"]

# First and last of ranges that the odd texts are drawn from; control characters twice.
blocks = [(0x20, 0x7E), (0x80, 0x9F), (0x80, 0x9F), (0xA0, 0xFF), (0x100, 0x17F), (0x2B0, 0x2FF), (0x370, 0x3FF)]
blocks += [(0x400, 0x4FF), (0x2000, 0x206F), (0x20A0, 0x20CF), (0x2100, 0x214F), (0x3040, 0x30FF), (0x4E00, 0x4FFF)]
blocks += [(0xFF00, 0xFFEF), (0x1F300, 0x1F64F)]


def draw(seed):
    """Endless rows, a kind after the other."""
    rng = random.Random(seed)

    def misread(text, errors="strict"):
        # The first two are the usual causes.
        page = rng.choice(pages + pages[:2] * 4)
        try:
            return text.encode("utf-8").decode(page, errors)
        except UnicodeDecodeError:
            return text

    def mojibake():
        parts = [rng.choice(words) for _ in range(rng.choice([1, 1, 2, 3]))]
        for i in range(len(parts)):
            for _ in range(rng.choice([0, 1, 1, 2])):
                parts[i] = misread(parts[i])
        return " ".join(parts)

    def worn():
        text = " ".join(rng.choice(words) for _ in range(rng.choice([1, 2])))
        for _ in range(rng.choice([1, 1, 2])):
            text = misread(text, rng.choice(["strict", "replace", "ignore"]))
        wear = [
            lambda: text.replace("\xa0", " "),
            lambda: "".join(c if rng.random() < 0.9 else rng.choice(["\ufffd", "?", " ", ""]) for c in text),
            lambda: text[: rng.randrange(len(text) + 1)],
            lambda: html.escape(text),
            lambda: "".join(c if c < "\x80" or rng.random() < 0.5 else f"&#{ord(c)};" for c in text),
            lambda: text.upper(),
            lambda: text.lower(),
        ]
        return rng.choice(wear)()

    def surrogates():
        """CESU-8: each half of a pair as a character of its own."""
        text = rng.choice(words) + rng.choice(["😀", "🎉 \0", "👍🏽!"])
        units = text.encode("utf-16-be")
        codes = [chr(units[i] << 8 | units[i + 1]) for i in range(0, len(units), 2)]
        data = "".join(codes).encode("utf-8", "surrogatepass").replace(b"\0", b"\xc0\x80")
        return data.decode(rng.choice(pages[:2]))

    def odd():
        chosen = [rng.choice(blocks) for _ in range(rng.randint(1, 4))]
        text = "".join(chr(rng.randint(*rng.choice(chosen))) for _ in range(rng.randint(1, 10)))
        return text + " " + rng.choice(words)

    def references():
        text = ""
        for _ in range(rng.randint(1, 3)):
            name = rng.choice(list(html.entities.html5) + ["#%d;" % rng.randrange(400), "#x%x;" % rng.randrange(0x120000)])
            name = rng.choice([name, name, name.upper(), name.rstrip(";"), "amp;" + name])
            text += rng.choice(["", " ", "a", " <"]) + "&" + name
        return text

    def controls():
        some = ["ab", "é", "\u0301\u0327", "\x1b[1;3m", "\r\n", "\u2029", "\ufeff", "\x1b["]
        some += [chr(rng.randrange(0x20)), chr(rng.randint(0x7F, 0xA0)), chr(rng.randint(0x2000, 0x206F)), chr(rng.randint(0xFFF0, 0xFFFF))]
        return "".join(rng.choice(some) for _ in range(rng.randint(1, 12)))

    letters = sorted({c for page in pages[:10] for c in bytes(range(0x80, 0x100)).decode(page)})

    def soup():
        share = rng.random()
        return "".join(
            rng.choice(letters) if rng.random() < share else chr(rng.randrange(0x20, 0x7F)) for _ in range(rng.randint(1, 14))
        )

    while True:
        for kind in [mojibake, worn, surrogates, odd, references, controls, soup]:
            yield kind.__name__, kind()


def clean(text):
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).lower()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=20210227)
parser.add_argument("--count", type=int, default=560)
parser.add_argument("out", nargs="?", default=Path(__file__).resolve().parent.parent / "fixtures" / "texts" / "ftfy.json")
options = parser.parse_args()

rows = [
    {"kind": kind, "text": text, "cleaned": clean(text)} for (kind, text), _ in zip(draw(options.seed), range(options.count))
]
versions = {
    "ftfy": ftfy.__version__,
    "python": sys.version.split()[0],
    "unicode": unicodedata.unidata_version,
}
lines = ",\n".join(json.dumps(row) for row in rows)
Path(options.out).write_text(f'{{"versions": {json.dumps(versions)}, "seed": {options.seed}, "rows": [\n{lines}\n]}}\n')
