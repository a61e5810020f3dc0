import { describe, expect, it } from "vitest";
import type { Sample } from "../../../inputs/data/sources/samples.ts";
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

  it("draws each sentence of a synthetic caption about equally often, the same within a step for the same text", () => {
    const synthetic = "A dog runs... It is brown! There is grass.";
    const samples = [...numbered(2), ...[3, 4].map((i) => ({ image: `/${i}.png`, captions: ["a dog"], synthetic }))];
    const sampler = new Sampler(samples, { batchSize: 4, seed: 5 });
    const drawn = Array.from({ length: 900 }, (_, step) => sampler.drawSynthetic(step, 2));
    for (const sentence of ["A dog runs", "It is brown", "There is grass"]) {
      // 300 ± 4 standard deviations of a fair die of three.
      expect(Math.abs(drawn.filter((draw) => draw.sentence === sentence).length - 300)).toBeLessThan(57);
    }
    expect(new Set(drawn.map(({ whole }) => whole))).toEqual(new Set([synthetic]));
    for (const step of [0, 1, 2, 3]) {
      expect(sampler.drawSynthetic(step, 3)).toEqual(drawn[step]);
      expect(new Sampler(samples, { batchSize: 4, seed: 5 }).drawSynthetic(step, 2)).toEqual(drawn[step]);
    }
  });

  it("draws the caption of the step in the place of a synthetic one that is not there or says nothing", () => {
    const samples = [...numbered(1), { ...numbered(2)[1]!, synthetic: " ... !" }];
    const sampler = new Sampler(samples, { batchSize: 2, seed: 5 });
    for (let step = 0; step < 10; step++) {
      for (const sample of [0, 1]) {
        const caption = sampler.drawCaption(step, sample);
        expect(sampler.drawSynthetic(step, sample)).toEqual({ sentence: caption, whole: caption });
      }
    }
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

  describe("with weights", () => {
    const mixture = [
      { count: 10, weight: 1 },
      { count: 6, weight: 2.5 },
      { count: 8, weight: 0.25 },
    ];
    const sampler = () => new Sampler(numbered(24), { batchSize: 9, seed: 3, mixture });
    const epochOf = (epoch: number) => [0, 1, 2].flatMap((i) => [...sampler().drawSamples(3 * epoch + i)]);

    it("draws each source by its own, the same number in each epoch and others of them for its fraction", () => {
      expect(sampler().stepsPerEpoch).toBe(3); // 10 + 15 + 2 = 27 = 3 × 9
      const parts = new Set<string>();
      for (const epoch of [0, 1, 2, 3]) {
        const times = Array.from({ length: 24 }, (_, i) => epochOf(epoch).filter((sample) => sample === i).length);
        expect(times.slice(0, 10)).toEqual(Array(10).fill(1));
        expect(sorted(times.slice(10, 16))).toEqual([2, 2, 2, 3, 3, 3]);
        expect(sorted(times.slice(16))).toEqual([0, 0, 0, 0, 0, 0, 1, 1]);
        parts.add(String(times));
      }
      expect(parts.size).toBeGreaterThan(1);
    });

    it("parts the copies of a sample, and augments each anew", () => {
      for (let epoch = 0; epoch < 20; epoch++) {
        // The last batch takes what is left, which may be the same twice.
        for (const step of [3 * epoch, 3 * epoch + 1]) expect(new Set(sampler().drawSamples(step)).size).toBe(9);
      }
      expect(sampler().augmentationKey(0, 11)).not.toEqual(sampler().augmentationKey(1, 11));
    });

    it("replaces a broken sample by one that the batch does not hold, each once", () => {
      const batch = [...sampler().drawSamples(1)];
      const replacements = [...sampler().replacements(1)];
      expect(new Set([...batch, ...replacements]).size).toBe(new Set(batch).size + replacements.length);
    });

    it("refuses weights that leave less than a batch", () => {
      const few = [{ count: 24, weight: 0.25 }];
      expect(() => new Sampler(numbered(24), { batchSize: 9, seed: 3, mixture: few })).toThrow(
        "with these weights an epoch has only 6 samples, and a batch 9; raise the weights",
      );
    });
  });

  describe("with a buffer", () => {
    /** Eight shards of 50, and ten files. */
    const inShards = [
      ...Array.from({ length: 400 }, (_, i) => {
        const bytes = { file: `/shard-${Math.floor(i / 50)}.tar`, offset: 512 * i, length: 1 };
        return { image: `/${i}.png`, captions: ["x"], bytes };
      }),
      ...numbered(10),
    ];
    const orderOf = (shuffleBuffer: number, epoch = 0) => [
      ...new Sampler(inShards, { batchSize: 410, seed: 5, shuffleBuffer }).drawSamples(epoch),
    ];

    it("draws every sample once, each epoch in another order", () => {
      for (const size of [1, 60, 1000]) {
        expect(sorted(orderOf(size))).toEqual(sorted(inShards.keys()));
        expect(orderOf(size, 1)).not.toEqual(orderOf(size));
      }
    });

    it("reads no further ahead than the buffer is long, shard after shard in random order", () => {
      const shardOf = (sample: number) => (sample < 400 ? Math.floor(sample / 50) : sample);
      const unshuffled = orderOf(1).map(shardOf);
      const turns = unshuffled.filter((shard, i) => shard !== unshuffled[i - 1]);
      expect(turns).toHaveLength(18);
      expect(turns).not.toEqual(sorted(turns));
      const place = new Map(orderOf(1).map((sample, at) => [sample, at]));
      const ahead = orderOf(60).map((sample, at) => place.get(sample)! - at);
      expect(Math.max(...ahead)).toBeLessThan(60);
      expect(Math.max(...ahead)).toBeGreaterThan(30);
    });
  });
});
