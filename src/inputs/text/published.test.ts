import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { readPublishedMerges } from "./published.ts";

const huggingFace = new URL("../../../../shared/fixtures/tokenizer/hf/tokenizer.json", import.meta.url);
if (!existsSync(huggingFace)) console.log("skipped: the merges of Hugging Face's file, because ../shared is not there");

it("has 48,894 merges, starting with `i n`", async () => {
  const merges = await readPublishedMerges();
  expect([merges.length, ...merges.slice(0, 3), merges.at(-1)]).toEqual([48894, "i n", "t h", "a n", "jeky ll</w>"]);
});

it.skipIf(!existsSync(huggingFace))("equals the merges that Hugging Face made from the published file", async () => {
  const { model } = JSON.parse(readFileSync(huggingFace, "utf8")) as { model: { merges: (string | string[])[] } };
  expect(await readPublishedMerges()).toEqual(
    model.merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" "))),
  );
});
