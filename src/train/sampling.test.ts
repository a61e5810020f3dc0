import { describe, expect, it } from "vitest";
import type { Sample } from "./pairs.ts";
import { Sampler } from "./sampling.ts";

const numbered = (count: number): Sample[] =>
  Array.from({ length: count }, (_, i) => ({ image: `/${i}.png`, captions: [`one of ${i}`, `two of ${i}`] }));
const sorted = (samples: Iterable<number>) => [...samples].sort((a, b) => a - b);

describe("Sampler", () => {
  it("draws every sample once in an epoch, but for the tail that fills no batch", () => {
    const sampler = new Sampler(numbered(23), { batchSize: 4, seed: 1 });
    expect(sampler.stepsPerEpoch).toBe(5);
    for (const epoch of [0, 7]) {
      const drawn = [0, 1, 2, 3, 4].flatMap((i) => [...sampler.drawSamples(5 * epoch + i)]);
      expect(drawn).toHaveLength(20);
      expect(new Set(drawn).size).toBe(20);
    }
    const whole = new Sampler(numbered(20), { batchSize: 4, seed: 1 });
    expect(sorted([0, 1, 2, 3, 4].flatMap((step) => [...whole.drawSamples(step)]))).toEqual(sorted(Array(20).keys()));
  });

  it("orders each epoch and each seed anew", () => {
    const orders = [
      new Sampler(numbered(8), { batchSize: 8, seed: 1 }).drawSamples(0),
      new Sampler(numbered(8), { batchSize: 8, seed: 1 }).drawSamples(1),
      new Sampler(numbered(8), { batchSize: 8, seed: 2 }).drawSamples(0),
    ].map(String);
    expect(new Set(orders).size).toBe(3);
  });

  it("answers for a step as it does when asked for that step alone", () => {
    const samples = numbered(23);
    const going = new Sampler(samples, { batchSize: 4, seed: 9 });
    for (let step = 0; step < 17; step++) {
      const fresh = new Sampler(samples, { batchSize: 4, seed: 9 });
      expect(fresh.drawSamples(step)).toEqual(going.drawSamples(step));
      for (const sample of going.drawSamples(step)) {
        expect(fresh.drawCaption(step, sample)).toBe(going.drawCaption(step, sample));
        expect(fresh.augmentationKey(step, sample)).toEqual(going.augmentationKey(step, sample));
      }
    }
  });

  it("draws each caption of a sample about equally often", () => {
    const sampler = new Sampler(numbered(4), { batchSize: 4, seed: 3 });
    const ones = Array.from({ length: 1000 }, (_, step) => sampler.drawCaption(step, 2)).filter(
      (c) => c === "one of 2",
    );
    // 500 ± 4 standard deviations of a fair coin.
    expect(Math.abs(ones.length - 500)).toBeLessThan(64);
  });

  it("draws the same caption within a step for samples with the same list", () => {
    const captions = ["a", "b", "c"];
    const samples = [...numbered(3), { image: "/x.png", captions }, { image: "/y.png", captions: [...captions] }];
    const sampler = new Sampler(samples, { batchSize: 5, seed: 5 });
    const drawn = Array.from({ length: 50 }, (_, step) => [sampler.drawCaption(step, 3), sampler.drawCaption(step, 4)]);
    for (const [first, second] of drawn) expect(second).toBe(first);
    expect(new Set(drawn.map(([first]) => first)).size).toBe(3);
  });

  it("offers as replacements what the batch does not hold, the next of the epoch first", () => {
    const sampler = new Sampler(numbered(10), { batchSize: 4, seed: 2 });
    const offered = [...sampler.replacements(0)];
    expect(offered.slice(0, 4)).toEqual([...sampler.drawSamples(1)]);
    expect(sorted([...offered, ...sampler.drawSamples(0)])).toEqual(sorted(Array(10).keys()));
  });

  it("augments a sample differently in each epoch, and two samples of an epoch differently", () => {
    const sampler = new Sampler(numbered(8), { batchSize: 4, seed: 2 });
    const keys = [sampler.augmentationKey(0, 1), sampler.augmentationKey(2, 1), sampler.augmentationKey(0, 2)];
    expect(new Set(keys.map(String)).size).toBe(3);
    expect(sampler.augmentationKey(1, 1)).toEqual(sampler.augmentationKey(0, 1));
  });

  it("says how far to go down with a batch larger than the data", () => {
    expect(() => new Sampler(numbered(3), { batchSize: 4, seed: 1 })).toThrow("lower batchSize to at most 3");
    expect(() => new Sampler(numbered(3), { batchSize: 0, seed: 1 })).toThrow("whole number of at least 1");
  });
});
