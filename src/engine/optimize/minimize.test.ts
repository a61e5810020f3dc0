import { describe, expect, it } from "vitest";
import { float32, type TensorData } from "../../core/tensor-data.ts";
import { constant, input, type Tensor } from "../graph/tensor.ts";
import { minimize, type MinimizeOptions, type MinimizeStep } from "./minimize.ts";

type Parameters = ReadonlyMap<string, Tensor>;

const start = new Map([
  ["x", float32([3, -2], [2])],
  ["y", float32([1, 2, 3, 4], [2, 2])],
]);
/** Σ (x − 1)² + Σ y² */
const bowl = (p: Parameters) => ({
  loss: p.get("x")!.sub(1).square().sum().add(p.get("y")!.square().sum()),
});

async function all(
  program: (p: Parameters) => { loss: Tensor },
  options: MinimizeOptions,
  from: ReadonlyMap<string, TensorData<"float32">> = start,
) {
  const steps: (Omit<MinimizeStep, "parameters"> & { values: Record<string, number[]> })[] = [];
  for await (const { parameters, ...rest } of minimize(from, program, options))
    steps.push({
      ...rest,
      values: Object.fromEntries(Array.from(parameters, ([path, { data }]) => [path, [...data]])),
    });
  return steps;
}

/** Adam's formulas (Kingma and Ba 2015, algorithm 1) in double precision, on the bowl. */
function adamByHand(steps: number, rate: (step: number) => number, scale = 1): number[] {
  const p = [3, -2];
  const [m, v] = [
    [0, 0],
    [0, 0],
  ];
  for (let t = 1; t <= steps; t++) {
    p.forEach((value, i) => {
      const g = 2 * (value - 1);
      m[i] = 0.9 * m[i]! + 0.1 * g;
      v[i] = 0.999 * v[i]! + 0.001 * g * g;
      p[i] = value - (scale * rate(t - 1) * (m[i] / (1 - 0.9 ** t))) / (Math.sqrt(v[i] / (1 - 0.999 ** t)) + 1e-8);
    });
  }
  return p;
}

describe("minimize", () => {
  it("takes Adam's steps by default, at the rate of each step and parameter", async () => {
    const rate = (step: number) => 0.1 / (1 + step);
    const rateScale = (path: string) => (path === "x" ? 2 : 1);
    const steps = await all(bowl, { steps: 20, learningRate: rate, rateScale });
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    adamByHand(20, rate, 2).forEach((wanted, i) => expect(steps[19]!.values["x"]![i]).toBeCloseTo(wanted, 4));
    expect(steps[0]!.loss).toBeCloseTo(4 + 9 + 30, 4);
    expect(start.get("x")!.data).toEqual(Float32Array.of(3, -2));
  });

  it("decays only matrices with AdamW", async () => {
    const flat = (p: Parameters) => ({ loss: p.get("x")!.sum().mul(0).add(p.get("y")!.sum().mul(0)) });
    const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.5 } as const;
    const [only] = await all(flat, { steps: 1, learningRate: 0.1, optimizer });
    expect(only!.values["x"]).toEqual([3, -2]);
    [1, 2, 3, 4].forEach((value, i) => expect(only!.values["y"]![i]).toBeCloseTo(0.95 * value, 6));
  });

  it("lowers the loss with Ranger", async () => {
    const steps = await all(bowl, { steps: 100, learningRate: 0.2, optimizer: { kind: "ranger" } });
    // y is a matrix whose rows keep their means.
    const [first, last] = [steps[0]!, steps[99]!];
    for (const value of last.values["x"]!) expect(Math.abs(value - 1)).toBeLessThan(1);
    expect(last.loss).toBeLessThan(first.loss - 10);
  });

  it("projects after each update, and continues from the projection", async () => {
    const clamp = (values: ReadonlyMap<string, Float32Array>) => {
      const x = values.get("x")!;
      x.forEach((value, i) => (x[i] = Math.max(value, 2)));
    };
    const steps = await all(bowl, { steps: 30, learningRate: 0.5, project: clamp });
    expect(steps[29]!.values["x"]).toEqual([2, 2]);
    expect(steps[29]!.loss).toBeGreaterThanOrEqual(2);
  });

  it("feeds each step, updates statistics, and returns other outputs", async () => {
    const target = input("target", []);
    const program = (p: Parameters) => {
      const error = p.get("x")!.sub(target);
      const mean = p.get("mean")!;
      return {
        loss: error.square().sum().add(mean.mul(0).sum()),
        outputs: { error },
        statistics: new Map([["mean", mean.mul(0.5).add(target.mul(0.5))]]),
      };
    };
    const from = new Map([
      ["x", float32([0], [1])],
      ["mean", float32([0], [])],
    ]);
    const feeds = (step: number) => Promise.resolve({ target: float32([step + 1], []) });
    const steps = await all(program, { steps: 3, learningRate: 0, feeds }, from);
    expect(steps.map(({ outputs }) => outputs["error"]!.data[0])).toEqual([-1, -2, -3]);
    expect(steps.map(({ outputs }) => Object.keys(outputs).sort())[0]).toEqual(["error", "loss"]);
    expect(steps.map(({ values }) => values["mean"]![0])).toEqual([0.5, 1.25, 2.125]);
  });

  it("stops when aborted, and throws at a loss that is not finite", async () => {
    const controller = new AbortController();
    const steps = minimize(start, bowl, { steps: 1_000_000, learningRate: 0.1, signal: controller.signal });
    expect((await steps.next()).done).toBe(false);
    controller.abort(new Error("enough"));
    await expect(steps.next()).rejects.toThrow("enough");
    const infinite = (p: Parameters) => ({
      loss: p
        .get("x")!
        .sum()
        .div(constant(float32([0], [])))
        .add(p.get("y")!.sum()),
    });
    await expect(all(infinite, { steps: 2, learningRate: 1 })).rejects.toThrow(/the loss is .* in step 1/);
  });
});
