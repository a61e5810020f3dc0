import { describe, expect, it } from "vitest";
import { Random } from "../core/random.ts";
import { cleanText, repairText } from "./clean.ts";

describe("repairText", () => {
  it.each([
    ["curly quotes", "“don’t” ‘a’ „b‟ ‚c‛ ʼn", `"don't" 'a' "b" 'c' 'n`],
    ["ligatures", "ﬁne ﬂow oﬃce ﬀ ﬅ ﬆ ŉ ǅ ĳ", "fine flow office ff ſt st 'n Dž ij"],
    ["full-width and half-width forms", "Ａ！　ﾊﾞﾝ ￦", "A! バン ₩"],
    ["terminal colours", "esc\x1b[0;31mred\x1b[0m", "escred"],
    ["control characters", "a\0\x07\x0b\x1c\x7f\ufeff\u206a\ufffcb\tc", "ab\tc"],
    ["line ends", "a\r\nb\rc\u2028d\u2029", "a\nb\nc\nd\n"],
    ["lone surrogates", "a\ud800b\udc00 😀", "a\ufffdb\ufffd 😀"],
    ["accents that are not composed", "cafe\u0301 e\u0301\u0323", "café ẹ\u0301"],
    ["references of references", "&amp;amp;amp;eacute; &NTILDE; &#233;", "é Ñ é"],
    ["mojibake in references", "&Atilde;&copy;", "é"],
  ])("repairs %s", (_, text, repaired) => {
    expect(repairText(text)).toBe(repaired);
  });

  it("takes references as written from the first tag on", () => {
    expect(repairText("&eacute;\n<b>&eacute;\n&eacute;")).toBe("é\n<b>&eacute;\n&eacute;");
  });

  const seed = Math.floor(Math.random() * 2 ** 31);
  it(`changes nothing the second time (seed ${seed})`, () => {
    const random = new Random(seed);
    const ranges: readonly (readonly [first: number, last: number])[] = [
      [0x20, 0x7e],
      [0xa0, 0x24f],
      [0x300, 0x5ff],
      [0x2010, 0x2027],
      [0x2030, 0x2122],
      [0x3000, 0x9fff],
      [0xac00, 0xffff],
      [0x1f300, 0x1fbff],
    ];
    for (let i = 0; i < 2000; i++) {
      const codePoints = Array.from({ length: 1 + random.integer(30) }, () => {
        const [first, last] = ranges[random.integer(ranges.length)]!;
        return first + random.integer(last - first + 1);
      });
      const repaired = repairText(String.fromCodePoint(...codePoints));
      expect(repairText(repaired), `seed ${seed}, text ${JSON.stringify(repaired)}`).toBe(repaired);
    }
  });
});

describe("cleanText", () => {
  it.each([
    ["white space of any kind", " \t a\u00a0\u3000 b\r\n\u2003c \u0085", "a b c …"],
    ["references two levels deep, tags or not", "<b>&amp;lt;b&amp;gt;", "<b><b>"],
    ["capitals as Python does", "ΑΣ ΑΣΑ İI ÅẞǅK", "ας ασα i̇i åßdžk"],
    ["what is plain already", "a photo of a cat.", "a photo of a cat."],
    ["nothing", "", ""],
  ])("cleans %s", (_, text, cleaned) => {
    expect(cleanText(text)).toBe(cleaned);
  });
});
