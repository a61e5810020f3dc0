import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { sharedFolder, sharedMissing } from "../../../test/read-fixture.ts";
import { wordTokenizer } from "../../../test/word-tokenizer.ts";
import { canonicalizeText, JsonTokenizer } from "./json-tokenizer.ts";
import { parseMerges } from "./merges-file.ts";
import { ClipTokenizer } from "./tokenizer.ts";

describe("JsonTokenizer", () => {
  const tokenizer = new JsonTokenizer(wordTokenizer, { pad_token: "</s>" }, "canonicalize");

  it("pads to the context and reports the end of each text", () => {
    const { inputIds, endOfText } = tokenizer.tokenize(["Two cats!", "mice"], { contextLength: 4 });
    expect([...inputIds]).toEqual([2, 3, 1, 1, 0, 1, 1, 1]);
    expect([...endOfText]).toEqual([2, 1]);
    expect(tokenizer.vocabSize).toBe(5);
  });

  it("refuses a text that is too long, or truncates it before its end of text and reports the lost text", () => {
    const texts = ["two cats dogs"];
    expect(() => tokenizer.tokenize(texts, { contextLength: 3 })).toThrow(
      /is 1 token too long: it has 4 with its special tokens/,
    );
    const { inputIds, truncated } = tokenizer.tokenize(texts, { contextLength: 3, truncate: true });
    expect([...inputIds]).toEqual([2, 3, 1]);
    expect(truncated).toEqual([{ index: 0, dropped: 1, droppedText: "dogs" }]);
  });

  it("cleans texts as SigLIP's code does", () => {
    expect(canonicalizeText("  A photo_of (two) Cats;  don't ")).toBe("a photo of two cats dont");
  });

  it("requires a tokenizer and a padding token", () => {
    expect(() => new JsonTokenizer({}, {}, "none")).toThrow(/the tokenizer cannot be read/);
    expect(() => new JsonTokenizer(wordTokenizer, {}, "none")).toThrow(/needs a pad_token/);
  });

  it("refuses input that the library would skip or fail on later", () => {
    const read = (change: object) => new JsonTokenizer({ ...wordTokenizer, ...change }, { pad_token: "</s>" }, "none");
    const unknown = { type: "Sequence", normalizers: [{ type: "Replace", pattern: {}, content: "" }] };
    expect(() => read({ normalizer: unknown })).toThrow(/normalizer\.normalizers\.0\.pattern: /);
    const known = { type: "Sequence", normalizers: [{ type: "Replace", pattern: { Regex: "s$" }, content: "" }] };
    expect(read({ normalizer: known }).vocabSize).toBe(5);
    for (const id of [-1, 0.5, 1e300, "1"]) {
      const model = { ...wordTokenizer.model, vocab: { ...wordTokenizer.model.vocab, mice: id } };
      expect(() => read({ model })).toThrow(/model\.vocab\.mice: must be a token's id/);
    }
    const long = { type: "Metaspace", replacement: "x".repeat(100_000), prepend_scheme: "always" };
    expect(() => read({ pre_tokenizer: long })).toThrow(/pre_tokenizer\.replacement: /);
    const broken = { ...wordTokenizer.post_processor, single: [{ SpecialToken: null }] };
    expect(() => read({ post_processor: broken }).encodeWithSpecialTokens("two")).toThrow(
      expect.objectContaining({ code: "CLIP_TEXT" }) as Error,
    );
  });

  it.skipIf(sharedMissing)(`equals ClipTokenizer with the same vocabulary${sharedMissing}`, () => {
    const folder = `${sharedFolder}fixtures/vit-tiny/hf`;
    const read = (file: string) => readFileSync(`${folder}/${file}`, "utf8");
    const json = JSON.parse(read("tokenizer.json")) as object;
    const theirs = new JsonTokenizer(json, JSON.parse(read("tokenizer_config.json")) as object, "none");
    const ours = new ClipTokenizer(parseMerges(read("merges.txt")));
    expect(theirs.vocabSize).toBe(ours.vocabSize);
    for (const text of ["a photo of a cat", "it's 2024, isn't it?", "naïve café", "日本語 🙂", ""]) {
      expect(theirs.encodeWithSpecialTokens(text)).toEqual(ours.encodeWithSpecialTokens(text));
    }
  });
});
