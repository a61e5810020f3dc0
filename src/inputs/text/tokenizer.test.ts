import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { goldenTexts } from "../../learning/parity/golden-texts.ts";
import { cleanText } from "./clean.ts";
import { parseMerges } from "./merges-file.ts";
import { splitWords } from "./split.ts";
import { ClipTokenizer } from "./tokenizer.ts";

const shared = new URL("../../../../shared/", import.meta.url);
const readShared = <Content>(path: string) => JSON.parse(readFileSync(new URL(path, shared), "utf8")) as Content;
const isThere = existsSync(shared);
if (!isThere) console.log("skipped: the recorded ids, because ../shared is not there");

const tokenizer = await ClipTokenizer.published();
const unpad = (ids: readonly number[]) => ids.slice(0, ids.indexOf(49407) + 1);

describe("the published vocabulary", () => {
  it("has 49,408 tokens, special tokens last", () => {
    const { vocabSize, startOfTextId, endOfTextId, padId } = tokenizer;
    expect({ vocabSize, startOfTextId, endOfTextId, padId }).toEqual({
      vocabSize: 49408,
      startOfTextId: 49406,
      endOfTextId: 49407,
      padId: 0,
    });
  });

  it.each(goldenTexts)("encodes %j as the published file does", (text, ids) => {
    expect(tokenizer.encode(text)).toEqual(ids);
  });
});

interface Recorded {
  readonly ids: number[];
  readonly tokens: number[];
  readonly too_long: boolean;
  readonly decoded: string;
}
type Case = { readonly text: string } & (
  | ({ readonly ftfy: false } & Recorded)
  | { readonly ftfy: true; readonly with_ftfy: Recorded & { readonly fixed: string } }
);

describe.skipIf(!isThere)("ClipTokenizer against ids recorded elsewhere", () => {
  const observe = (text: string) => {
    const ids = tokenizer.encode(text);
    const { inputIds, truncated } = tokenizer.tokenize([text], { truncate: true });
    return { ids, tokens: [...inputIds], too_long: truncated.length > 0, decoded: tokenizer.decode(ids) };
  };
  const cases = isThere ? readShared<{ cases: Case[] }>("fixtures/tokenizer/cases.json").cases : [];

  it("equals OpenAI's SimpleTokenizer on every text that needs no ftfy", () => {
    const plain = cases.filter((recorded) => !recorded.ftfy);
    expect(plain.length).toBe(371);
    for (const { text, ids, tokens, too_long, decoded } of plain) {
      expect({ text, ...observe(text) }).toEqual({ text, ids, tokens, too_long, decoded });
    }
  });

  it("equals SimpleTokenizer with the real ftfy on every text that ftfy repairs", () => {
    const damaged = cases.filter((recorded) => recorded.ftfy);
    expect(damaged.length).toBe(40);
    const failed = damaged.filter(({ text, with_ftfy: { ids, tokens, too_long, decoded } }) => {
      const observed = observe(text);
      return JSON.stringify(observed) !== JSON.stringify({ ids, tokens, too_long, decoded });
    });
    expect(failed.map(({ text, with_ftfy }) => ({ text, wanted: with_ftfy.fixed, met: cleanText(text) }))).toEqual([]);
  });

  it("equals open_clip's tokenizer on 3,999 damaged and random texts", () => {
    const drawn = readShared<{ text: string; ids: number[] }[]>("fixtures/tokenizer/ftfy-6.3.1-cases.json");
    expect(drawn.length).toBe(3999);
    expect(drawn.map(({ text }) => ({ text, ids: tokenizer.encode(text) }))).toEqual(
      drawn.map(({ text, ids }) => ({ text, ids })),
    );
  });

  it("equals the ids in the test suites of other implementations", () => {
    interface Suite {
      cases: { name: string; text: string; ids: number[]; agrees_with_openai_semantics: boolean; note?: string }[];
      decode: { ids: number[]; text: string }[];
    }
    const { cases: suites, decode } = readShared<Suite>("data/tokenizer/public_suites.json");
    // Recorded without ftfy, which would drop the NUL of one and narrow the full-width tilde of the other.
    const withoutFtfy = ["transformers.js/CONTROL_TOKENS", "transformers.js/TILDE_NORMALIZATION"];
    const agreeing = suites.filter(
      ({ name, agrees_with_openai_semantics: agrees }) => agrees && !withoutFtfy.includes(name),
    );
    expect(agreeing.length).toBe(231);
    for (const { name, text, ids } of agreeing) {
      expect({ name, text, ids: [49406, ...tokenizer.encode(text), 49407] }).toEqual({ name, text, ids });
    }
    const literal = suites.filter(({ note }) => note?.startsWith("special-token text treated as literal"));
    expect(literal.length).toBe(2);
    for (const { text, ids } of literal) {
      expect([49406, ...tokenizer.encode(text, { specialTokens: "text" }), 49407]).toEqual(ids);
    }
    for (const { ids, text } of decode) expect(tokenizer.decode(ids)).toBe(text);
  });

  it("equals Hugging Face's tokenizer on 5,000 captions of COCO", () => {
    const { cases: captions } = readShared<{ cases: { caption: string; ids: number[] }[] }>(
      "data/tokenizer/coco_5000_token_ids.json",
    );
    expect(captions.length).toBe(5000);
    const { inputIds, contextLength } = tokenizer.tokenize(captions.map(({ caption }) => caption));
    captions.forEach(({ caption, ids }, i) => {
      const row = inputIds.subarray(i * contextLength, (i + 1) * contextLength);
      expect({ caption, ids: unpad([...row]) }).toEqual({ caption, ids });
    });
  });

  it("supports the reduced vocabulary of a small model, with the ids of its vocab.json", () => {
    const folder = "fixtures/vit-tiny/hf/";
    const small = new ClipTokenizer(parseMerges(readFileSync(new URL(`${folder}merges.txt`, shared), "utf8")));
    const vocabulary = readShared<Record<string, number>>(`${folder}vocab.json`);
    expect(small.vocabSize).toBe(Object.keys(vocabulary).length);
    expect(small.merges).toEqual(tokenizer.merges.slice(0, 86));
    expect([small.startOfTextId, small.endOfTextId]).toEqual([598, 599]);
    expect(small.encode("the cat")).toEqual(["the</w>", "c", "at</w>"].map((token) => vocabulary[token]));
  });
});

describe("tokenize", () => {
  it("adds special tokens to each text and pads with 0", () => {
    const { inputIds, endOfText, truncated } = tokenizer.tokenize(["a cat", ""], { contextLength: 6 });
    expect([...inputIds]).toEqual([49406, 320, 2368, 49407, 0, 0, 49406, 49407, 0, 0, 0, 0]);
    expect([...endOfText]).toEqual([3, 1]);
    expect(truncated).toEqual([]);
  });

  it("accepts a text that fills the context, and refuses one token more", () => {
    const { endOfText } = tokenizer.tokenize(["cat ".repeat(75)]);
    expect(endOfText[0]).toBe(76);
    expect(() => tokenizer.tokenize(["a cat", "cat ".repeat(78)])).toThrow(
      expect.objectContaining({
        code: "CLIP_TEXT",
        message: expect.stringMatching(
          /^text 1 \("cat cat .*…"\) is 3 tokens too long: it has 80 with its special tokens, and the context length is 77; .*truncate/,
        ) as string,
      }),
    );
  });

  it("reports the truncated text", () => {
    const texts = ["a cat", "a photo of a cat on a mat"];
    const { inputIds, endOfText, truncated } = tokenizer.tokenize(texts, { contextLength: 7, truncate: true });
    expect([...inputIds.slice(7)]).toEqual([49406, 320, 1125, 539, 320, 2368, 49407]);
    expect([...endOfText]).toEqual([3, 6]);
    expect(truncated).toEqual([{ index: 1, dropped: 3, droppedText: "on a mat" }]);
  });

  it("ends a text at a literal end of text, unless specialTokens is text", () => {
    const texts = ["a <|endoftext|> cat"];
    const parsed = tokenizer.tokenize(texts, { contextLength: 12 });
    expect([...parsed.inputIds.slice(0, 5)]).toEqual([49406, 320, 49407, 2368, 49407]);
    expect(parsed.endOfText[0]).toBe(2);
    const plain = tokenizer.tokenize(texts, { contextLength: 12, specialTokens: "text" });
    expect([...plain.inputIds].filter((id) => id === 49407)).toHaveLength(1);
    expect(plain.endOfText[0]).toBe([...plain.inputIds].indexOf(49407));
    expect(tokenizer.decode(tokenizer.encode(texts[0]!, { specialTokens: "text" }))).toBe("a <| endoftext |> cat ");
  });

  it.each([1, 2.5, NaN, 1e9])("refuses a context length of %d", (contextLength) => {
    expect(() => tokenizer.tokenize(["a"], { contextLength })).toThrow(expect.objectContaining({ code: "CLIP_USAGE" }));
  });
});

describe("decode", () => {
  it.each([-1, 49408, 1.5, NaN])("refuses the id %d", (id) => {
    expect(() => tokenizer.decode([id])).toThrow(`${id} is not a token id; this vocabulary has ids 0 to 49407`);
  });

  it("replaces invalid UTF-8", () => {
    const [first, second] = new ClipTokenizer([]).encode("é") as [number, number];
    expect(tokenizer.decode([first, second])).toBe("é ");
    expect(tokenizer.decode([first])).toBe("\ufffd");
  });
});

describe("any text", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = new Random(seed);
  const blocks = [0x7f, 0xff, 0x24f, 0x5ff, 0x30ff, 0xffff, 0x10ffff];
  const randomText = () => {
    const units = Array.from({ length: random.integer(40) }, () =>
      random.integer(blocks[random.integer(blocks.length)]! + 1),
    );
    return String.fromCodePoint(...units);
  };

  it(`is restored from its ids, in both vocabularies (seed ${seed})`, () => {
    const bytesOnly = new ClipTokenizer([]);
    for (let i = 0; i < 2000; i++) {
      const text = randomText();
      const words = splitWords(cleanText(text), "text")
        .map((word) => `${word} `)
        .join("");
      for (const vocabulary of [tokenizer, bytesOnly]) {
        const ids = vocabulary.encode(text, { specialTokens: "text" });
        expect(
          ids.every((id) => id >= 0 && id < vocabulary.startOfTextId),
          text,
        ).toBe(true);
        expect(vocabulary.decode(ids), `seed ${seed}, text ${JSON.stringify(text)}`).toBe(words);
      }
    }
  });

  it("has the same ids when it is cached", () => {
    const fresh = new ClipTokenizer(tokenizer.merges.slice(0, 2000));
    const text = "The quick brown fox, the quick brown fox.";
    expect(fresh.encode(text)).toEqual(fresh.encode(text));
  });

  it("may be one word of 200,000 letters", () => {
    const letters = Array.from({ length: 200_000 }, () => "etaoinshrdlu"[random.integer(12)]).join("");
    const ids = tokenizer.encode(letters);
    expect(tokenizer.decode(ids)).toBe(`${letters} `);
  });
});
