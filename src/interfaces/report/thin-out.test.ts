import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { extremes, thinOut } from "./thin-out.ts";

describe("thinOut", () => {
  it("leaves a curve alone that is short enough", () => {
    expect(thinOut([[3, 1, 2]])).toEqual([0, 1, 2]);
    expect(thinOut([])).toEqual([]);
    expect(thinOut([[]])).toEqual([]);
  });

  it("keeps the first, the last and every curve's extremes, in order and within the limit, for any curves", () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const random = new Random(seed);
    for (let round = 0; round < 50; round++) {
      const length = 1 + random.integer(5000);
      const columns = Array.from({ length: 1 + random.integer(3) }, () =>
        Array.from({ length }, () => (random.uniform() < 0.02 ? NaN : random.normal())),
      );
      const limit = 2 + 2 * columns.length + random.integer(500);
      const kept = thinOut(columns, limit);
      const context = `seed ${seed}, round ${round}`;
      expect(kept.length, context).toBeLessThanOrEqual(limit);
      expect(kept, context).toEqual([...new Set(kept)].sort((a, b) => a - b));
      expect([kept[0], kept.at(-1)], context).toEqual([0, length - 1]);
      for (const column of columns) {
        const [all, thinned] = [column, kept.map((i) => column[i]!)].map((values) => values.filter((v) => !isNaN(v)));
        expect(Math.min(...thinned!), context).toBe(Math.min(...all!));
        expect(Math.max(...thinned!), context).toBe(Math.max(...all!));
      }
    }
  });

  it("keeps a lone spike among a hundred thousand steps, and the steps spread over the whole run", () => {
    const values = Array.from({ length: 100_000 }, (_, i) => Math.sin(i / 1000));
    values[71_234] = 50;
    const kept = thinOut([values]);
    expect(kept.length).toBeLessThanOrEqual(2000);
    expect(kept).toContain(71_234);
    const gaps = kept.slice(1).map((index, i) => index - kept[i]!);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(Math.ceil((2 * 100_000) / 999));
  });
});

describe("extremes", () => {
  it("finds the lowest and the highest, and nothing where no number is", () => {
    expect(extremes([NaN, 2, -1, 7, 7])).toEqual([2, 3]);
    expect(extremes([4])).toEqual([0, 0]);
    expect(extremes([NaN, NaN])).toEqual([]);
  });
});
