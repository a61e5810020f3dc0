import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { wordTokenizer } from "../../../test/word-tokenizer.ts";
import { JsonTokenizer } from "./json-tokenizer.ts";
import { hasNestedQuantifiers } from "./nested-quantifiers.ts";

/** From the tokenizers of GPT-2, GPT-4, GPT-4o, Llama 3, DeepSeek, BLOOM, CLIP and SentencePiece. */
const published = [
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
  String.raw`<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`,
  String.raw`[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+`,
  String.raw` ?[^(\s|[.,!?…。，、।۔،])]+`,
  String.raw`(?=(\d{3})+(?!\d))`,
  ...[" {2,}", String.raw`\s+`, "▁", "[0-9][0-9][0-9]", "(ab)+", "(?:ab){2}c?", "(a+)?b", "(a|b)?"],
];

const hostile = [
  ...["(a+)+$", "(a*)*", "(a|aa)+$", "(?:a|a)*b", "((a+)b?)*", "(a{1,9})+", "(a+){10}", "(a+){2,}", "(?<n>x+x+)+y"],
  ...["([a-z]+)*[0-9]", String.raw`(\w+\s?)*$`, "(?:(?:a?)b)+", "(a?){30}a{30}", "(?=(a+)+b)", "(a+)+?", "(ab|c)*"],
];

describe("hasNestedQuantifiers", () => {
  it.each(published)("is false for %s", (pattern) => {
    expect(hasNestedQuantifiers(pattern)).toBe(false);
  });

  it.each(hostile)("is true for %s", (pattern) => {
    expect(hasNestedQuantifiers(pattern)).toBe(true);
  });
});

const withPattern = (Regex: string) => ({
  ...{ ...wordTokenizer, normalizer: { type: "Replace", pattern: { Regex }, content: "x" } },
});

describe("regular expressions of a tokenizer.json", () => {
  it.each(["(a+)+$", "^(a+)+$"])("that run forever are refused at once: %s", (pattern) => {
    expect(() => new JsonTokenizer(withPattern(pattern), { pad_token: "</s>" }, "none")).toThrow(
      /normalizer\.pattern.*is a regular expression that may run forever/,
    );
    const split = { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
    const inside = { ...wordTokenizer, pre_tokenizer: { type: "Sequence", pretokenizers: [split] } };
    expect(() => new JsonTokenizer(inside, { pad_token: "</s>" }, "none")).toThrow(/may run forever/);
  });

  it("are interrupted if they still take too long", { timeout: 120_000 }, () => {
    // No nested quantifiers, but still time in the 10th power of the length.
    const tokenizer = new JsonTokenizer(withPattern(`${"a*".repeat(10)}b`), { pad_token: "</s>" }, "none");
    expect(() => tokenizer.encodeWithSpecialTokens("a".repeat(300))).toThrow(
      "the tokenizer cannot encode: its steps took more than 10 s; is it the right file?",
    );
    expect(tokenizer.encodeWithSpecialTokens("two cats")).toEqual([2, 3, 1]);
  });

  const file = fileURLToPath(new URL("../../../../shared/cases/hostile/redos-tokenizer.json", import.meta.url));
  it.skipIf(!existsSync(file))("of a known problem case are refused", () => {
    const json = JSON.parse(readFileSync(file, "utf8")) as object;
    expect(() => new JsonTokenizer(json, { pad_token: "<pad>" }, "none")).toThrow(/may run forever/);
  });
});
