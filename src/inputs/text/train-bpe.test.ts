import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { endOfWord } from "./bpe.ts";
import { ClipTokenizer } from "./tokenizer.ts";
import { trainBpe } from "./train-bpe.ts";

/** The dictionary of Sennrich et al. 2016, figure 1. */
const dictionary = [
  ...Array<string>(5).fill("low"),
  "lower",
  "lower",
  ...Array<string>(6).fill("newest"),
  ...Array<string>(3).fill("widest"),
];

/** Recounts all pairs for each merge. Words are lists of tokens; ties are broken by the ids of the parts. */
function trainByDefinition(words: readonly string[], count: number): string[] {
  const bytesOnly = new ClipTokenizer([]);
  const order = (token: string) =>
    token.replace(endOfWord, "").length === 1
      ? bytesOnly.encode(token[0]!)[0]! - (token.endsWith(endOfWord) ? 0 : 256)
      : 512 + made.indexOf(token);
  const made: string[] = [];
  const merges: string[] = [];
  let corpus = words.map((word) => [...word.slice(0, -1), word.at(-1)! + endOfWord]);
  while (merges.length < count) {
    const counts = new Map<string, number>();
    for (const tokens of corpus) {
      for (let i = 1; i < tokens.length; i++) {
        const pair = `${tokens[i - 1]} ${tokens[i]}`;
        if (!made.includes(pair.replace(" ", ""))) counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const [best] = [...counts].sort(([a, countA], [b, countB]) => {
      const [[leftA, rightA], [leftB, rightB]] = [a.split(" ").map(order), b.split(" ").map(order)] as [
        [number, number],
        [number, number],
      ];
      return countB - countA || leftA - leftB || rightA - rightB;
    });
    if (!best || best[1] < 2) break;
    const [left, right] = best[0].split(" ") as [string, string];
    merges.push(best[0]);
    made.push(left + right);
    corpus = corpus.map((tokens) => {
      const merged: string[] = [];
      for (let i = 0; i < tokens.length; i++) {
        const isPair = tokens[i] === left && tokens[i + 1] === right;
        merged.push(isPair ? left + right : tokens[i]!);
        if (isPair) i++;
      }
      return merged;
    });
  }
  return merges;
}

describe("trainBpe", () => {
  it("learns the suffixes of the paper's dictionary", () => {
    const merges = trainBpe([dictionary.join(" ")], 514 + 4);
    expect(merges).toEqual(["e s", "es t</w>", "l o", "e w"]);
  });

  const seed = Math.floor(Math.random() * 2 ** 31);
  it(`agrees with the definition, for any order of texts (seed ${seed})`, () => {
    const random = new Random(seed);
    for (let round = 0; round < 20; round++) {
      const words = Array.from({ length: 60 }, () =>
        Array.from({ length: 1 + random.integer(8) }, () => "aab"[random.integer(3)]).join(""),
      );
      const merges = trainBpe(words, 514 + 40);
      expect(merges, `seed ${seed}`).toEqual(trainByDefinition(words, 40));
      expect(
        trainBpe(
          [...random.permutation(words.length)].map((i) => words[i]!),
          514 + 40,
        ),
      ).toEqual(merges);
    }
  });

  it("makes a vocabulary of the requested size, or smaller if nothing is left to merge", () => {
    expect(new ClipTokenizer(trainBpe(dictionary, 514 + 4)).vocabSize).toBe(518);
    const all = new ClipTokenizer(trainBpe(dictionary, 10_000));
    for (const word of ["low", "lower", "newest", "widest"]) expect(all.encode(word)).toHaveLength(1);
    expect(trainBpe([], 1000)).toEqual([]);
  });

  it("cleans texts like the tokenizer, and learns no special tokens", () => {
    expect(trainBpe(["CAF&Eacute; cafÃ©"], 600)).toEqual(trainBpe(["café café"], 600));
    const tokenizer = new ClipTokenizer(trainBpe(Array<string>(9).fill("<|endoftext|></w>"), 1000));
    const text = "<|endoftext|></w> a</w>";
    expect(tokenizer.encode(text)[0]).toBe(tokenizer.endOfTextId);
    expect(tokenizer.decode(tokenizer.encode(text, { specialTokens: "text" }))).toBe("<| endoftext |></ w > a </ w > ");
  });

  it("ignores overlong words, and learns no token that a tokenizer refuses", () => {
    expect(trainBpe(["a".repeat(257)], 1000)).toEqual([]);
    const longest = "日".repeat(256);
    expect(new ClipTokenizer(trainBpe([longest, longest], 10_000)).encode(longest)).toHaveLength(1);
  });

  it.each([513, 600.5, NaN])("refuses a vocabulary of %d", (vocabSize) => {
    expect(() => trainBpe([], vocabSize)).toThrow(expect.objectContaining({ code: "CLIP_USAGE" }));
  });
});
