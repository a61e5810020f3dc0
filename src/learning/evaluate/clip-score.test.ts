import { describe, expect, it } from "vitest";
import { clipScore, refClipScore } from "./clip-score.ts";

describe("CLIPScore", () => {
  it("is two and a half times the cosine, and never below 0", () => {
    expect(clipScore(0.3)).toBeCloseTo(0.75, 12);
    expect(clipScore(-0.2)).toBe(0);
  });
});

describe("RefCLIPScore", () => {
  it("is the harmonic mean of CLIPScore and the cosine to the nearest reference", () => {
    // 2 · 0.75 · 0.6 / (0.75 + 0.6)
    expect(refClipScore(0.3, [0.1, 0.6, -1])).toBeCloseTo(2 / 3, 12);
    // The harmonic mean of equals is the same.
    expect(refClipScore(0.2, [0.5])).toBeCloseTo(clipScore(0.2), 12);
  });

  it("is 0 if either is", () => {
    expect(refClipScore(-0.1, [0.9])).toBe(0);
    expect(refClipScore(0.3, [-0.4])).toBe(0);
    expect(refClipScore(-0.3, [-0.4])).toBe(0);
  });
});
