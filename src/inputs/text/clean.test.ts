import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { cleanText, repairText } from "./clean.ts";

const misread = (text: string) => String.fromCharCode(...new TextEncoder().encode(text));
const times = (count: number, change: (text: string) => string, text: string) =>
  Array.from({ length: count }).reduce<string>(change, text);

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
    ["references 200 levels deep", `&${"amp;".repeat(200)}lt;`, "<"],
    [
      "names in capitals only where no shorter name begins them",
      "&SZLIG; &LTIMES; &FRAC12; &nTILDE;",
      "SS &LTIMES; ½ &nTILDE;",
    ],
    ["mojibake in references", "&Atilde;&copy;", "é"],
    ["mojibake 12 levels deep", times(12, misread, "é"), "é"],
    ["terminal colours behind other damage", "a\u0007\x1b\uff3b31mred\x1b[0m", "ared"],
  ])("repairs %s", (_, text, repaired) => {
    expect(repairText(text)).toBe(repaired);
  });

  it("keeps references after the first tag", () => {
    expect(repairText("&eacute;\n<b>&eacute;\n&eacute;")).toBe("é\n<b>&eacute;\n&eacute;");
  });

  // Each would take minutes, or overflow the stack, if a step read the whole text for each place.
  it.each([
    ["a million characters of references in references", `&${"amp;".repeat(250_000)}lt;`, /^&(?:amp;)+lt;$/],
    ["a million accents on one letter", `a${"\u0301\u0323".repeat(500_000)}`, /^[aạá][\u0301\u0323]+$/],
    ["a million characters that are damaged in parts", `日${"Ã©".repeat(499_000)}`, /^日é+$/],
    ["a million halves of characters", "\ud800".repeat(1_000_000), /^\ufffd+$/],
    ["a million characters of a colour that never ends", `\x1b[${"1;".repeat(500_000)}`, /^\[[1;]+$/],
  ])("repairs %s in linear time", { timeout: 120_000 }, (_, text, repaired) => {
    expect(repairText(text)).toMatch(repaired);
  });

  it("repairs a line of more than a million characters in parts", () => {
    const text = "Ã©".repeat(500_000) + "日Ã©".repeat(10);
    expect(repairText(text)).toBe("é".repeat(500_000) + "日é".repeat(10));
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
  const { rows } = JSON.parse(readFileSync(new URL("../../../fixtures/texts/ftfy.json", import.meta.url), "utf8")) as {
    rows: { kind: string; text: string; cleaned: string }[];
  };
  const kinds = [...new Set(rows.map(({ kind }) => kind))];
  it("has recordings of seven kinds", () => expect([kinds.length, rows.length]).toEqual([7, 560]));

  it.each(kinds)("equals ftfy and html.unescape on every recorded text of the kind %s", (kind) => {
    const recorded = rows.filter((row) => row.kind === kind);
    const cleaned = recorded.map((row) => ({ ...row, cleaned: cleanText(row.text) }));
    expect(cleaned).toEqual(recorded);
  });

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
