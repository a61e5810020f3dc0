import { describe, expect, it } from "vitest";
import { Random } from "./random.ts";

const draw = (count: number, next: () => number) => Array.from({ length: count }, next);
const mean = (values: readonly number[]) => values.reduce((total, value) => total + value, 0) / values.length;

describe("random numbers", () => {
  it("are the same for the same key, on every machine", () => {
    const random = new Random(1, 2, 3);
    expect(draw(4, () => random.uint32())).toMatchInlineSnapshot(`
      [
        1720408277,
        3833187416,
        195605755,
        4188815785,
      ]
    `);
    expect(new Random(7).permutation(10)).toMatchInlineSnapshot(`
      Uint32Array [
        5,
        3,
        0,
        2,
        9,
        1,
        8,
        6,
        4,
        7,
      ]
    `);
  });

  it("differ for every part of the key, its position and its size, also beyond 32 bits", () => {
    const keys = [[1], [2], [1, 0], [0, 1], [1, 1], [1, 1, 0], [2 ** 32], [2 ** 32 + 1], [-1], [0]];
    const streams = keys.map((key) => {
      const random = new Random(...key);
      return draw(4, () => random.uint32()).join();
    });
    expect(new Set(streams).size).toBe(keys.length);
  });

  // Of 20,000 draws the mean of uniform numbers lies within 0.01 of 1/2 in all but 1 of 10⁶ keys (4.9 deviations).
  it("are uniform and independent of the next key", () => {
    for (const key of [0, 1, 2, 1000]) {
      const [a, b] = [new Random(key), new Random(key + 1)];
      const [first, second] = [draw(20_000, () => a.uniform()), draw(20_000, () => b.uniform())];
      expect(Math.abs(mean(first) - 0.5)).toBeLessThan(0.01);
      expect(Math.abs(mean(first.map((value) => (value - 0.5) ** 2)) - 1 / 12)).toBeLessThan(0.003);
      expect(Math.abs(mean(first.map((value, i) => (value - 0.5) * (second[i]! - 0.5))))).toBeLessThan(0.003);
      expect(Math.min(...first)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...first)).toBeLessThan(1);
    }
  });

  it("are independent between the first draws of neighbouring keys", () => {
    const first = draw(20_000, () => 0).map((_, i) => new Random(5, 0, i).uniform());
    expect(Math.abs(mean(first) - 0.5)).toBeLessThan(0.01);
    expect(Math.abs(mean(first.slice(1).map((value, i) => (value - 0.5) * (first[i]! - 0.5))))).toBeLessThan(0.003);
    const counts = new Array<number>(16).fill(0);
    for (const value of first) counts[Math.floor(value * 16)]!++;
    // χ² with 15 degrees of freedom is above 45 once in 10⁴.
    expect(counts.reduce((total, count) => total + (count - 1250) ** 2 / 1250, 0)).toBeLessThan(45);
  });

  it("stay within their bounds", () => {
    const random = new Random(3);
    const integers = draw(2000, () => random.integer(7));
    expect(new Set(integers)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6]));
    for (const value of draw(2000, () => random.uniform(-2, 3))) {
      expect(value).toBeGreaterThanOrEqual(-2);
      expect(value).toBeLessThan(3);
    }
  });

  it("from normal() have the first four moments of the normal distribution", () => {
    const random = new Random(11);
    const values = draw(40_000, () => random.normal());
    const moment = (power: number) => mean(values.map((value) => value ** power));
    expect(Math.abs(moment(1))).toBeLessThan(0.025);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.04);
    expect(Math.abs(moment(3))).toBeLessThan(0.1);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.25);
  });

  it("from permutation() put each number in each place equally often", () => {
    const random = new Random(13);
    const counts = new Array<number>(16).fill(0);
    for (let i = 0; i < 8000; i++) {
      const order = random.permutation(4);
      expect([...order].sort()).toEqual([0, 1, 2, 3]);
      order.forEach((value, place) => counts[4 * place + value]!++);
    }
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(200);
  });
});
