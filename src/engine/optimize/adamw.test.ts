import { describe, expect, it } from "vitest";
import { Random } from "../../core/random.ts";
import { AdamW, type AdamwOptions } from "./adamw.ts";
import type { OptimizedParameter } from "./optimizer.ts";
import type { Moment } from "./adamw-part.ts";

const clip: AdamwOptions = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2 };

/** Sizes around four, which the kernel takes at a time, and around the pieces in which numbers pass through it. */
const sizes = [1, 2, 3, 4, 5, 4095, 4096, 4097, 8191, 8192, 8193, 20_000];
const parameters: OptimizedParameter[] = sizes.map((size, i) => ({
  path: `p${size}`,
  shape: [size],
  decay: i % 2 === 0,
}));

/** Random numbers by path, from 1e-6 to 1e2 in size. */
function randomValues(random: Random, described: readonly OptimizedParameter[]): Map<string, Float32Array> {
  const number = () => random.normal() * 10 ** random.uniform(-6, 2);
  return new Map(described.map(({ path, shape: [size] }) => [path, Float32Array.from({ length: size! }, number)]));
}

const copy = (values: ReadonlyMap<string, Float32Array>) =>
  new Map(Array.from(values, ([path, array]) => [path, array.slice()]));

const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** The definition (Loshchilov and Hutter 2019, algorithm 2) in double precision. */
class DoubleAdamW {
  readonly #options: AdamwOptions;
  readonly values: Map<string, Float64Array>;
  readonly #moments = new Map<string, { m: Float64Array; v: Float64Array }>();
  #steps = 0;

  constructor(options: AdamwOptions, start: ReadonlyMap<string, Float32Array>) {
    this.#options = options;
    this.values = new Map(Array.from(start, ([path, array]) => [path, Float64Array.from(array)]));
  }

  step(gradients: ReadonlyMap<string, Float32Array>, learningRate: number, gradientScale: number): void {
    const { beta1, beta2, epsilon, weightDecay } = this.#options;
    this.#steps++;
    for (const {
      path,
      shape: [size],
      decay,
    } of parameters) {
      const x = this.values.get(path)!;
      const { m, v } = this.#moments.get(path) ?? { m: new Float64Array(size!), v: new Float64Array(size!) };
      this.#moments.set(path, { m, v });
      for (let i = 0; i < size!; i++) {
        const g = gradients.get(path)![i]! * gradientScale;
        m[i] = beta1 * m[i]! + (1 - beta1) * g;
        v[i] = beta2 * v[i]! + (1 - beta2) * g ** 2;
        const [mean, square] = [m[i]! / (1 - beta1 ** this.#steps), v[i]! / (1 - beta2 ** this.#steps)];
        if (decay) x[i]! -= learningRate * weightDecay * x[i]!;
        x[i]! -= (learningRate * mean) / (Math.sqrt(square) + epsilon);
      }
    }
  }
}

/** Copies of all moments, by `first` or `second` and the path. */
async function momentsOf(adamw: AdamW, parameters: readonly OptimizedParameter[]): Promise<Map<string, Float32Array>> {
  const moments = new Map<string, Float32Array>();
  for (const { path } of parameters)
    for (const moment of ["first", "second"] as const) moments.set(`${moment} ${path}`, await adamw.read(moment, path));
  return moments;
}

const placeOf = (name: string) => name.split(" ") as [Moment, string];

describe("AdamW", () => {
  it("follows its definition in double precision within the rounding of float32", async () => {
    const seed = 20_210_226;
    const random = new Random(seed);
    const values = randomValues(random, parameters);
    const wanted = new DoubleAdamW(clip, values);
    await using adamw = await AdamW.create(clip, parameters);
    const learningRates = [1e-4, 1e-2, 3e-3, 1e-3, 1e-5];
    for (const [s, learningRate] of learningRates.entries()) {
      const gradients = randomValues(random, parameters);
      const gradientScale = s === 2 ? 0.37 : 1;
      wanted.step(gradients, learningRate, gradientScale);
      await adamw.step(values, gradients, { learningRate, gradientScale });
    }
    // In units of what one rounding of a number and of its updates, each about a learning rate, may cost: 5 steps with
    // some 4 roundings each.
    const sumOfRates = learningRates.reduce((sum, rate) => sum + rate);
    let worst = 0;
    for (const [path, array] of values) {
      array.forEach((value, i) => {
        const exact = wanted.values.get(path)![i]!;
        const unit = 2 ** -24 * (Math.abs(exact) + sumOfRates);
        worst = Math.max(worst, Math.abs(value - exact) / unit);
      });
    }
    // Measured: 12.2.
    expect(worst, `seed ${seed}`).toBeLessThan(20);
  });

  it("shrinks what decays by the learning rate times the decay, and nothing else, where gradients are zero", async () => {
    const start = randomValues(new Random(1), parameters);
    const values = copy(start);
    const zeros = new Map(parameters.map(({ path, shape: [size] }) => [path, new Float32Array(size!)]));
    await using adamw = await AdamW.create(clip, parameters);
    await adamw.step(values, zeros, { learningRate: 0.25 });
    for (const { path, decay } of parameters) {
      const keep = Math.fround(1 - 0.25 * 0.2);
      expect(values.get(path)).toEqual(decay ? start.get(path)!.map((value) => value * keep) : start.get(path));
    }
  });

  it("scales the rate of a parameter, its decay with it, to the bit as if the learning rate were another", async () => {
    const start = randomValues(new Random(5), parameters);
    const gradients = randomValues(new Random(6), parameters);
    const [scaled, whole] = [copy(start), copy(start)];
    const slower = parameters.map((parameter) => ({ ...parameter, rateScale: 0.25 }));
    await using one = await AdamW.create(clip, slower);
    await one.step(scaled, copy(gradients), { learningRate: 0.01 });
    await using other = await AdamW.create(clip, parameters);
    await other.step(whole, copy(gradients), { learningRate: 0.0025 });
    expect(scaled).toEqual(whole);
    expect(scaled).not.toEqual(start);
  });

  it("goes on from its moments as if it had never stopped, to the bit", async () => {
    const random = new Random(2);
    const unbroken = randomValues(random, parameters);
    const batches = Array.from({ length: 4 }, () => randomValues(random, parameters));
    await using first = await AdamW.create(clip, parameters);
    for (const batch of batches.slice(0, 2)) await first.step(unbroken, copy(batch), { learningRate: 1e-3 });

    const [resumed, moments, { steps }] = [copy(unbroken), await momentsOf(first, parameters), first];
    for (const batch of batches.slice(2)) await first.step(unbroken, copy(batch), { learningRate: 1e-3 });
    await using second = await AdamW.create(clip, parameters);
    for (const [name, values] of moments) await second.write(...placeOf(name), values);
    second.steps = steps;
    for (const batch of batches.slice(2)) await second.step(resumed, batch, { learningRate: 1e-3 });
    expect(resumed).toEqual(unbroken);
    expect(await momentsOf(second, parameters)).toEqual(await momentsOf(first, parameters));
    expect([first.steps, second.steps]).toEqual([4, 4]);
  });

  it("gives copies of its moments: later steps do not show in them", async () => {
    const values = randomValues(new Random(3), parameters);
    await using adamw = await AdamW.create(clip, parameters);
    const before = await momentsOf(adamw, parameters);
    await adamw.step(values, randomValues(new Random(4), parameters), { learningRate: 1e-3 });
    for (const {
      path,
      shape: [size],
    } of parameters) {
      for (const moment of ["first", "second"])
        expect(before.get(`${moment} ${path}`)).toEqual(new Float32Array(size!));
    }
  });

  it("gives the same numbers to the bit on one thread and on two, moments too", async () => {
    // Enough for two threads to be worth it.
    const large: OptimizedParameter[] = [
      { path: "a", shape: [4_100_001], decay: true },
      { path: "b", shape: [3_900_001], decay: false },
      { path: "c", shape: [7], decay: true },
    ];
    const pattern = Float32Array.from({ length: 10_007 }, (_, i) => Math.sin(i) ** 3);
    const numbers = (from: number): Map<string, Float32Array> =>
      new Map(
        large.map(({ path, shape: [size] }) => {
          const values = new Float32Array(size!);
          for (let at = 0; at < size!; at += pattern.length) values.set(pattern.subarray(from, from + size! - at), at);
          return [path, values];
        }),
      );
    async function run(threads: number): Promise<Map<string, Float32Array>> {
      const values = numbers(0);
      await using adamw = await AdamW.create(clip, large, threads);
      await adamw.step(values, numbers(1), { learningRate: 1e-3 });
      for (const [name, kept] of await momentsOf(adamw, large)) await adamw.write(...placeOf(name), kept);
      await adamw.step(values, numbers(2), { learningRate: 1e-3, gradientScale: 0.5 });
      for (const [name, moment] of await momentsOf(adamw, large)) values.set(name, moment);
      return values;
    }
    const [one, two] = [await run(1), await run(2)];
    expect(one.size).toBe(9);
    for (const [name, values] of one) expect(Buffer.compare(bytesOf(values), bytesOf(two.get(name)!)), name).toBe(0);
  });
});
