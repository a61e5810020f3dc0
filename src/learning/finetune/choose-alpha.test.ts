import { describe, expect, it } from "vitest";
import { chooseAlpha, type SweepScores } from "./choose-alpha.ts";

const scores = (top1: number) => ({ top1, top5: 1, count: 400, classes: 10 });
/** Eleven blends from 0 to 1, by their top-1 in hundredths. */
const sweep = (own: readonly number[], general?: readonly number[]): SweepScores[] =>
  own.map((top1, i) => ({
    ...{ alpha: i / 10, validation: scores(top1 / 100) },
    ...(general && { general: scores(general[i]! / 100) }),
  }));
const rising = [16, 18, 21, 29, 35, 41, 47, 53, 59, 62, 61];

describe("chooseAlpha", () => {
  it("takes the best on the validation images of those that lose no more of the general set than is allowed", () => {
    const general = [63, 63, 62, 62, 62, 62, 61, 61, 60, 59, 58];
    expect(chooseAlpha(sweep(rising, general), 0.01)).toEqual({
      alpha: 0.5,
      why: "the best on your images, 41.0 %, among blends that lose at most 1.0 points on the general set",
    });
    expect(chooseAlpha(sweep(rising, general), 0.05).alpha).toBe(0.9);
    expect(chooseAlpha(sweep(rising, general), 0).alpha).toBe(0.1);
  });

  it("takes of equals the one nearer to the original", () => {
    const flat = rising.map(() => 50);
    expect(chooseAlpha(sweep([10, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60], flat), 0.01).alpha).toBe(0.1);
  });

  it("keeps the original where nothing better is allowed, and says what the best would cost", () => {
    const ruined = [63, 50, 40, 30, 20, 10, 10, 10, 10, 10, 10];
    expect(chooseAlpha(sweep(rising, ruined), 0.01)).toEqual({
      alpha: 0,
      why: "the original is the best on your images among blends that lose at most 1.0 points on the general set; 0.9 would gain 46.0 points and lose 53.0 points",
    });
    const worse = rising.map((_, i) => 16 - i);
    expect(chooseAlpha(sweep(worse, rising), 0.01)).toEqual({
      alpha: 0,
      why: "no blend is better on your images than the original",
    });
  });

  it("without a general set takes the nearest to the original within a standard error of the best", () => {
    // √(0.62 · 0.38 / 400) = 2.4 points.
    const { alpha, why } = chooseAlpha(sweep(rising), 0.01);
    expect(alpha).toBe(0.9);
    expect(chooseAlpha(sweep([16, 30, 50, 60, 61, 61, 62, 62, 62, 61, 60]), 0.01).alpha).toBe(0.3);
    expect(why).toMatch(
      /within a standard error \(2\.4 points\) of the best, 62\.0 %; without a general set, losses cannot be measured/,
    );
  });
});
