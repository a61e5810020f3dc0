import { describe, expect, it } from "vitest";
import { float32 } from "../../core/tensor-data.ts";
import { blend } from "./blend.ts";

const original = new Map([
  ["logitScale", float32([2], [])],
  ["text.positionalEmbedding", float32([0.1, -0.2, 1e-30, 3], [2, 2])],
]);
const tuned = new Map([
  ["logitScale", float32([4], [])],
  ["text.positionalEmbedding", float32([0.3, 0.7, 1, -3], [2, 2])],
]);

describe("blend", () => {
  it("gives the original's weights at 0 and the tuned ones at 1, to the bit", () => {
    expect(blend(original, tuned, 0)).toEqual(original);
    expect(blend(original, tuned, 1)).toEqual(tuned);
  });

  it("moves every weight, and logitScale as a logarithm, by its share of the way", () => {
    const quarter = blend(original, tuned, 0.25);
    expect(quarter.get("logitScale")!.data[0]).toBe(2.5);
    const wanted = [0.25 * 0.3 + 0.75 * 0.1, 0.25 * 0.7 - 0.75 * 0.2, 0.25, 1.5];
    quarter.get("text.positionalEmbedding")!.data.forEach((value, i) => expect(value).toBeCloseTo(wanted[i]!, 7));
  });

  it("refuses weights of another architecture, and names all that differs", () => {
    const other = new Map([
      ["logitScale", float32([4], [])],
      ["logitBias", float32([1], [])],
      ["text.positionalEmbedding", float32([1, 2], [1, 2])],
    ]);
    expect(() => blend(original, other, 0.5)).toThrow(
      expect.objectContaining({
        code: "CLIP_CHECKPOINT",
        message:
          "cannot blend models of different architectures\n  text.positionalEmbedding: [2, 2] and [1, 2]\n  logitBias: none and []",
      }) as Error,
    );
  });
});
