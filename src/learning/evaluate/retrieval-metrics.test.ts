import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { recallAtK } from "./classification-metrics.ts";
import { retrievalRanks } from "./retrieval-metrics.ts";

describe("retrievalRanks", () => {
  it("gives the recalls that NumPy's sorting and scikit-learn give, with several captions an image", async () => {
    const { imageOfText, similarities, textRecall, imageRecall } = JSON.parse(
      readFileSync(new URL("../../../fixtures/metrics/retrieval.json", import.meta.url), "utf8"),
    ) as {
      readonly imageOfText: number[];
      readonly similarities: number[][];
      readonly textRecall: Record<string, number>;
      readonly imageRecall: Record<string, number>;
    };
    const { textRanks, imageRanks } = await retrievalRanks(() => similarities, imageOfText);
    for (const [k, recall] of Object.entries(textRecall))
      expect(recallAtK(textRanks, Number(k))).toBeCloseTo(recall, 12);
    for (const [k, recall] of Object.entries(imageRecall))
      expect(recallAtK(imageRanks, Number(k))).toBeCloseTo(recall, 12);
  });

  it("finds nothing first if everything is equally near, though an image's captions do not compete", async () => {
    const rows = [Array<number>(5).fill(0.3), Array<number>(5).fill(0.3)];
    expect(await retrievalRanks(() => rows, [0, 0, 1, 1, 1])).toEqual({
      textRanks: [3, 2],
      imageRanks: [1, 1, 1, 1, 1],
    });
  });

  it("counts what is no number against the answer", async () => {
    const rows = [
      [NaN, 0.1],
      [0.2, NaN],
    ];
    expect(await retrievalRanks(() => rows, [0, 1])).toEqual({ textRanks: [1, 1], imageRanks: [1, 1] });
  });
});
