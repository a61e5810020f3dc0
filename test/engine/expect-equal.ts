import { expect } from "vitest";
import type { Tensor } from "../../src/engine/graph/tensor.ts";
import { floats, run } from "./gradient-error.ts";

/** Expects that two programs give the same elements, in the same shape, but for rounding. */
export async function expectEqual(got: Tensor, wanted: Tensor, tolerance = 3e-6): Promise<void> {
  const results = await run({ got, wanted });
  expect(results["got"]!.shape).toEqual(results["wanted"]!.shape);
  const elements = floats(results["wanted"]);
  floats(results["got"]).forEach((value, i) => expect(Math.abs(value - elements[i]!)).toBeLessThan(tolerance));
}
