import { describe, expect, it } from "vitest";
import {
  broadcastShapes,
  divideDims,
  isSymbol,
  normalizeAxis,
  parseDim,
  product,
  sameShape,
  type Shape,
} from "./shape.ts";

describe("sizes", () => {
  it("multiply to a canonical form in any order", () => {
    expect(product([])).toBe(1);
    expect(product([2, 3, 4])).toBe(24);
    expect(product(["batch", 50])).toBe("50*batch");
    expect(product([5, "length", 10, "batch"])).toBe("50*batch*length");
    expect(product(["2*length", "25*batch"])).toBe("50*batch*length");
    expect(product(["batch", "batch"])).toBe("batch*batch");
    expect(product([0, "batch"])).toBe(0);
  });

  it("divide if the quotient is whole and symbols cancel", () => {
    expect(divideDims(24, 4)).toBe(6);
    expect(divideDims(24, 5)).toBeUndefined();
    expect(divideDims("50*batch", 10)).toBe("5*batch");
    expect(divideDims("50*batch", "batch")).toBe(50);
    expect(divideDims("batch*batch", "batch")).toBe("batch");
    expect(divideDims("50*batch", "length")).toBeUndefined();
    expect(divideDims(50, "batch")).toBeUndefined();
    expect(divideDims(4, 0)).toBeUndefined();
  });

  it("divide by each of their factors", () => {
    const dims: Shape = [1, 7, "batch", "6*length", "batch*length"];
    for (const a of dims) for (const b of dims) expect(divideDims(product([a, b]), b)).toBe(product([a]));
  });

  it("split into their factor and their symbols", () => {
    expect(parseDim(7)).toEqual({ factor: 7, symbols: [] });
    expect(parseDim("batch")).toEqual({ factor: 1, symbols: ["batch"] });
    expect(parseDim("50*batch*length")).toEqual({ factor: 50, symbols: ["batch", "length"] });
  });

  it("are symbols if they are names", () => {
    expect(["batch", "n2", "_"].every(isSymbol)).toBe(true);
    expect([3, "", "2", "2n", "a*b", "a b", "−1"].some(isSymbol)).toBe(false);
  });
});

describe("shapes", () => {
  // For numbers, equal to numpy.broadcast_shapes.
  it.each<[Shape[], Shape | undefined]>([
    [
      [
        [2, 3],
        [2, 3],
      ],
      [2, 3],
    ],
    [
      [[2, 3], [3]],
      [2, 3],
    ],
    [
      [
        [2, 1],
        [1, 3],
      ],
      [2, 3],
    ],
    [
      [
        [8, 1, 6, 1],
        [7, 1, 5],
      ],
      [8, 7, 6, 5],
    ],
    [[[], [2]], [2]],
    [
      [[1], [3, 1], [2, 1, 1]],
      [2, 3, 1],
    ],
    [[[2, 3], [2]], undefined],
    [
      [["batch", 3], [3]],
      ["batch", 3],
    ],
    [
      [
        ["batch", 1],
        [1, "length"],
      ],
      ["batch", "length"],
    ],
    [[["batch"], [2]], undefined],
    [[["batch"], ["length"]], undefined],
  ])("%j broadcast to %j", (shapes, result) => {
    expect(broadcastShapes(...shapes)).toEqual(result);
    expect(broadcastShapes(...shapes.toReversed())).toEqual(result);
  });

  it("accept axes counted from 0 or from −1 only", () => {
    expect([-3, -1, 0, 2].map((axis) => normalizeAxis(axis, 3))).toEqual([0, 2, 0, 2]);
    expect([-4, 3, 0.5, NaN].map((axis) => normalizeAxis(axis, 3))).toEqual(Array(4).fill(undefined));
  });

  it("are the same if all sizes are", () => {
    expect(sameShape([2, "batch"], [2, "batch"])).toBe(true);
    expect(sameShape([2], [2, 1])).toBe(false);
    expect(sameShape([2, 3], [3, 2])).toBe(false);
  });
});
