import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { baseSize, byteIdsOf, encodeWord, pairKey, readMerges, type Bpe } from "./bpe.ts";
import { ClipTokenizer } from "./tokenizer.ts";

/** The definition: merge all occurrences of the pair of lowest rank, until no pair has a merge. */
function encodeByDefinition({ bpeRanks }: Bpe, word: string): number[] {
  let ids = byteIdsOf(word);
  for (;;) {
    const ranks = ids.slice(1).map((id, i) => bpeRanks.get(pairKey(ids[i]!, id)) ?? Infinity);
    const best = Math.min(...ranks);
    if (best === Infinity) return ids;
    const merged: number[] = [];
    for (let i = 0; i < ids.length; i++) {
      if (ranks[i] === best) {
        merged.push(baseSize + best);
        i++;
      } else merged.push(ids[i]!);
    }
    ids = merged;
  }
}

describe("encodeWord", () => {
  it("merges by rank, not from left to right", () => {
    const bpe = readMerges(["b c", "a b", "a bc"]);
    expect(encodeWord(bpe, "abcx").length).toBe(2);
    expect(encodeWord(readMerges(["a b", "b c"]), "abcx").map((id) => id >= baseSize)).toEqual([true, false, false]);
  });

  it("merges overlapping pairs from the left", () => {
    expect(encodeWord(readMerges(["a a"]), "aaax")).toEqual([baseSize, ...byteIdsOf("ax")]);
  });

  it("distinguishes the end of a word", () => {
    const bpe = readMerges(["a t</w>"]);
    expect(encodeWord(bpe, "at")).toEqual([baseSize]);
    expect(encodeWord(bpe, "atx")).toEqual(byteIdsOf("atx"));
  });

  const seed = Math.floor(Math.random() * 2 ** 31);
  it(`agrees with the definition (seed ${seed})`, async () => {
    const random = new Random(seed);
    const published = readMerges((await ClipTokenizer.published()).merges);
    for (let i = 0; i < 500; i++) {
      const letters = i % 2 ? "etaoinsh" : "ab";
      const word = Array.from({ length: 1 + random.integer(40) }, () => letters[random.integer(letters.length)]).join(
        "",
      );
      expect(encodeWord(published, word), `seed ${seed}, word ${word}`).toEqual(encodeByDefinition(published, word));
    }
  });
});

describe("readMerges", () => {
  it.each([
    ["ab", "it has no space"],
    ["a bc", '"bc" is not a token yet'],
    ["ab c", '"ab" is not a token yet'],
    ["a  b", '" b" is not a token yet'],
    ["a</w> b", "nothing can follow </w>"],
  ])("refuses %j, with reason and place", (merge, problem) => {
    expect(() => readMerges(["x y", merge])).toThrow(
      expect.objectContaining({
        code: "CLIP_TEXT",
        message: expect.stringContaining(`merge 2, "${merge}": ${problem};`) as string,
      }),
    );
  });

  it("refuses an existing token, also if made from other parts", () => {
    expect(() => readMerges(["a b", "a b"])).toThrow("its result is already a token");
    expect(() => readMerges(["a b", "b c", "ab c", "a bc"])).toThrow("merge 4");
    expect(() => readMerges(["< /", "</ w", "</w >", "a </w>"])).toThrow("merge 4");
  });

  it("refuses tokens that double until memory is full", () => {
    const doubling = Array.from(
      { length: 40 },
      (_, i) => `${"a".repeat(2 ** Math.min(i, 12))} ${"a".repeat(2 ** Math.min(i, 12))}`,
    );
    expect(() => readMerges(doubling)).toThrow("its result is longer than 1024 bytes");
  });
});
