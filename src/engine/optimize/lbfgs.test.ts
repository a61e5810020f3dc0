import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { lbfgs, type Objective } from "./lbfgs.ts";

/** Rosenbrock's function Σ 100 (x₂ᵢ₊₁ − x₂ᵢ²)² + (1 − x₂ᵢ)²: a curved valley with minimum 0 at all ones. */
const rosenbrock: Objective = (x) => {
  const gradient = new Float64Array(x.length);
  let value = 0;
  for (let i = 0; i < x.length; i += 2) {
    const [a, b] = [x[i + 1]! - x[i]! ** 2, 1 - x[i]!];
    value += 100 * a ** 2 + b ** 2;
    gradient[i] = -400 * x[i]! * a - 2 * b;
    gradient[i + 1] = 200 * a;
  }
  return { value, gradient };
};

/** ½ Σ scaleᵢ (xᵢ − atᵢ)² along random axes: x is reflected, which keeps lengths. */
function quadratic(scales: readonly number[], at: readonly number[], random: Random): Objective {
  const normal = scales.map(() => random.normal());
  const square = normal.reduce((sum, value) => sum + value ** 2, 0);
  const mirror = (x: readonly number[]) => {
    const share = (2 * x.reduce((sum, value, i) => sum + value * normal[i]!, 0)) / square;
    return x.map((value, i) => value - share * normal[i]!);
  };
  return (x) => {
    const turned = mirror(Array.from(x, (value, i) => value - at[i]!));
    const value = turned.reduce((sum, y, i) => sum + scales[i]! * y ** 2, 0) / 2;
    return { value, gradient: Float64Array.from(mirror(turned.map((y, i) => scales[i]! * y))) };
  };
}

const distance = (a: Float64Array, b: ArrayLike<number>) => Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

describe("lbfgs", () => {
  it.each([2, 100])("finds the minimum of Rosenbrock's valley in %i dimensions", async (size) => {
    const start = Float64Array.from({ length: size }, (_, i) => (i % 2 === 0 ? -1.2 : 1));
    const { x, value, iterations, reason, gradient } = await lbfgs(rosenbrock, start);
    expect(reason).toBe("gradient");
    expect(distance(x, new Array<number>(size).fill(1))).toBeLessThan(1e-8);
    expect(value).toBeLessThan(1e-16);
    expect(Math.max(...gradient.map(Math.abs))).toBeLessThanOrEqual(1e-8);
    // Measured: 34 and 33. Steepest descent needs thousands.
    expect(iterations).toBeLessThan(60);
    expect(start[0]).toBe(-1.2);
  });

  const seed = 20_260_801;
  it(`finds the minimum of quadratics of any scale (seed ${seed})`, async () => {
    const random = new Random(seed);
    for (let round = 0; round < 20; round++) {
      const size = 1 + random.integer(30);
      const scales = Array.from({ length: size }, () => 10 ** random.uniform(-2, 2));
      const at = scales.map(() => 5 * random.normal());
      const objective = quadratic(scales, at, random);
      const { x } = await lbfgs(objective, new Float64Array(size), { gradientTolerance: 1e-10 });
      expect(distance(x, at)).toBeLessThan(1e-7);
    }
  });

  it("uses the curvature of all remembered steps", async () => {
    const objective = quadratic([1, 3, 10, 30, 100], [1, 2, 3, 4, 5], new Random(1));
    const remembering = await lbfgs(objective, new Float64Array(5));
    const forgetful = await lbfgs(objective, new Float64Array(5), { history: 1 });
    // Measured: 20 and 111.
    expect(remembering.iterations).toBeLessThan(forgetful.iterations / 1.5);
    for (const { x } of [remembering, forgetful]) expect(distance(x, [1, 2, 3, 4, 5])).toBeLessThan(1e-8);
  });

  it("takes only steps that lower the value and flatten the slope", async () => {
    const steps: { value: number; slope: number }[] = [];
    let before = Infinity;
    let beforeX: Float64Array = Float64Array.of(-1.2, 1);
    // Checks the conditions one step at a time, without history.
    for (let i = 0; i < 20; i++) {
      const { x, value, gradient } = await lbfgs(rosenbrock, beforeX, { maxIterations: 1 });
      const start = await rosenbrock(beforeX);
      const along = (g: Float64Array) => g.reduce((sum, dx, j) => sum + dx * (x[j]! - beforeX[j]!), 0);
      steps.push({ value, slope: Math.abs(along(gradient)) / Math.abs(along(start.gradient)) });
      expect(value).toBeLessThanOrEqual(start.value + 1e-4 * along(start.gradient));
      expect(value).toBeLessThan(before);
      [before, beforeX] = [value, x];
    }
    for (const { slope } of steps) expect(slope).toBeLessThanOrEqual(0.9);
  });

  it("avoids points where the function is undefined", async () => {
    // x − ln x has its minimum at 1; the first step from 1e-3 goes far below 0 or not far enough.
    const objective: Objective = ([x]) => ({
      value: x! > 0 ? x! - Math.log(x!) : NaN,
      gradient: Float64Array.of(1 - 1 / x!),
    });
    for (const start of [1e-3, 50]) {
      const { x, value } = await lbfgs(objective, Float64Array.of(start));
      expect(x[0]).toBeCloseTo(1, 7);
      expect(value).toBeCloseTo(1, 12);
    }
  });

  it("stops at each limit and reports which", async () => {
    const start = Float64Array.of(-1.2, 1);
    expect(await lbfgs(rosenbrock, start, { maxIterations: 3 })).toMatchObject({
      reason: "iterations",
      iterations: 3,
    });
    const rough = await lbfgs(rosenbrock, start, { valueTolerance: 0.5 });
    expect(rough.reason).toBe("value");
    const at = await lbfgs(rosenbrock, Float64Array.of(1, 1));
    expect(at).toMatchObject({ reason: "gradient", iterations: 0, evaluations: 1 });
  });

  it("ends with the lowest point found when rounding hides lower ones", async () => {
    // Values rounded to 1e-3: all are equal near the minimum.
    const objective: Objective = async (x) => {
      const { value, gradient } = await rosenbrock(x);
      return { value: Math.round(value * 1e3) / 1e3, gradient };
    };
    const { reason, value } = await lbfgs(objective, Float64Array.of(-1.2, 1));
    expect(reason).toBe("precision");
    expect(value).toBeLessThan(0.01);
  });

  it("stops when it is told to", async () => {
    const controller = new AbortController();
    let evaluations = 0;
    const objective: Objective = (x) => {
      if (++evaluations === 5) controller.abort();
      return rosenbrock(x);
    };
    await expect(lbfgs(objective, Float64Array.of(-1.2, 1), { signal: controller.signal })).rejects.toThrow();
    expect(evaluations).toBe(5);
  });
});
