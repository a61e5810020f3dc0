import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Random } from "../../../core/random.ts";
import { type AugmentConfig, augmentImage, photoAugment } from "../../../inputs/image/augment.ts";
import type { Processes } from "../../../engine/distributed/group.ts";
import { decodeImage } from "../../../inputs/image/decode.ts";
import type { PreprocessConfig } from "../../../inputs/image/preprocess-config.ts";
import { preprocessImage } from "../../../inputs/image/preprocess.ts";
import { ClipTokenizer } from "../../../inputs/text/tokenizer.ts";
import { DataLoader, type DataLoaderOptions, type TrainingBatch } from "./loader.ts";
import type { Sample } from "../../../inputs/data/sources/samples.ts";
import { Sampler } from "./sampling.ts";

const preprocess: PreprocessConfig = {
  imageSize: 16,
  mean: [0.5, 0.4, 0.3],
  std: [0.5, 0.25, 0.2],
  resample: "bicubic",
};
const augment: AugmentConfig = {
  geometry: { kind: "randomPlacement", background: "random", scale: [0.7, 1.1], shift: 0.1, rotation: 10, warp: 0 },
  blur: 0.5,
  brightness: 0.2,
  contrast: 0.2,
  saturation: 0.2,
  grayscale: 0.1,
  erase: 0,
};
const tokenizer = new ClipTokenizer(["d o", "do g</w>"]);
const base = { batchSize: 4, seed: 7, preprocess, augment, tokenizer, contextLength: 12, workers: 1 };

let root: string;
/** 14 images of random pixels: PNG with alpha and JPEG, 20 to 46 pixels wide. */
let samples: Sample[];
/** Steps 0 … 5 of an unbroken run on one thread. */
let unbroken: readonly TrainingBatch[];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "clip-ts-loader-"));
  const random = new Random(1);
  samples = await Promise.all(
    Array.from({ length: 14 }, async (_, i) => {
      const [width, height, channels] = [20 + 2 * i, 24, i % 2 === 0 ? (4 as const) : (3 as const)];
      const pixels = Uint8Array.from({ length: width * height * channels }, () => random.integer(256));
      const image = join(root, `${i}.${channels === 4 ? "png" : "jpg"}`);
      await sharp(pixels, { raw: { width, height, channels } }).toFile(image);
      return { image, captions: [`dog ${i}`, `a dog, number ${i}`] };
    }),
  );
  unbroken = (await load()).batches;
});
afterAll(() => rm(root, { recursive: true }));

async function take(loader: DataLoader, fromStep: number, toStep: number): Promise<TrainingBatch[]> {
  const batches: TrainingBatch[] = [];
  for await (const batch of loader.batches({ fromStep, toStep })) batches.push(batch);
  return batches;
}

async function load(
  options: Partial<DataLoaderOptions> = {},
  { data = samples, fromStep = 0, toStep = 6 }: { data?: readonly Sample[]; fromStep?: number; toStep?: number } = {},
): Promise<{ batches: TrainingBatch[]; loader: DataLoader }> {
  await using loader = new DataLoader(data, { ...base, ...options });
  return { batches: await take(loader, fromStep, toStep), loader };
}

/** Processes of one job that are in this one: what one says comes when all have said something. */
function linkedProcesses(size: number): Processes[] {
  let said: { rank: number; text: string; hear: (all: string[]) => void }[] = [];
  return Array.from({ length: size }, (_, rank) => ({
    ...{ rank, size },
    exchange: (text) =>
      new Promise((hear) => {
        said.push({ rank, text, hear });
        if (said.length < size) return;
        const all = said.toSorted((a, b) => a.rank - b.rank);
        said = [];
        for (const each of all) each.hear(all.map((other) => other.text));
      }),
  }));
}

describe("DataLoader", () => {
  it("gives each row the image, augmented by the sampler's key, and the caption of its sample", async () => {
    const sampler = new Sampler(samples, base);
    expect(unbroken.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4, 5]);
    for (const { step, samples: drawn, pixels, inputIds, endOfText, captions } of unbroken) {
      expect(drawn).toEqual(sampler.drawSamples(step));
      expect(captions).toEqual(Array.from(drawn, (sample) => sampler.drawCaption(step, sample)));
      const texts = tokenizer.tokenize(captions, { contextLength: 12, truncate: true });
      expect(inputIds).toEqual(texts.inputIds);
      expect(endOfText).toEqual(texts.endOfText);
      for (const [row, sample] of drawn.entries()) {
        const random = new Random(...sampler.augmentationKey(step, sample));
        const augmented = augmentImage(await decodeImage(samples[sample]!.image), 16, augment, random);
        expect(pixels.subarray(row * 768, (row + 1) * 768)).toEqual(augmented);
      }
    }
  });

  it("gives with the objective clips also a sentence of each synthetic caption, and what is to be written of it", async () => {
    const data = samples.map((sample, i) => (i % 3 === 0 ? sample : { ...sample, synthetic: `A dog. Number ${i}!` }));
    const objective = { decoderWeight: 2, captionLength: 9 };
    const { batches } = await load({ objective, workers: 2 }, { data });
    const sampler = new Sampler(data, base);
    for (const [at, { step, samples: drawn, synthetic, ...rest }] of batches.entries()) {
      expect({ step, samples: drawn, ...rest }).toEqual(unbroken[at]);
      const draws = Array.from(drawn, (sample) => sampler.drawSynthetic(step, sample));
      const sentences = draws.map(({ sentence }) => sentence);
      const wanted = tokenizer.tokenize(sentences, { contextLength: 12, truncate: true });
      expect(synthetic!.inputIds).toEqual(wanted.inputIds);
      expect(synthetic!.endOfText).toEqual(wanted.endOfText);
      synthetic!.captionGroup.forEach((group, row) => expect(group).toBe(sentences.indexOf(sentences[row]!)));
      const captions = draws.map(({ whole }) => tokenizer.encodeWithSpecialTokens(whole).slice(1));
      const lengths = captions.map(({ length }) => Math.min(length, 9));
      const total = lengths.reduce((sum, length) => sum + length);
      for (const [row, length] of lengths.entries()) {
        const [ids, weights] = [synthetic!.writtenIds, synthetic!.tokenWeights].map((values) =>
          Array.from(values.subarray(9 * row, 9 * row + 9)),
        );
        // Where it does not fit, the mark at the end takes the last place.
        const written = [...captions[row]!.slice(0, length - 1), tokenizer.endOfTextId];
        expect(ids).toEqual([...written, ...Array<number>(9 - length).fill(tokenizer.padId)]);
        expect(weights).toEqual(ids!.map((_, place) => (place < length ? Math.fround(1 / total) : 0)));
      }
    }
    const [first] = (await load({ objective: { ...objective, decoderWeight: 0 } }, { data, toStep: 1 })).batches;
    expect(first!.synthetic).toEqual({
      ...batches[0]!.synthetic,
      writtenIds: new Int32Array(0),
      tokenWeights: new Float32Array(0),
    });
  });

  it("preprocesses as for inference when nothing is to be varied, from the cache too", async () => {
    const { batches } = await load({ augment: undefined });
    for (const { samples: drawn, pixels } of batches) {
      for (const [row, sample] of drawn.entries()) {
        const expected = preprocessImage(await decodeImage(samples[sample]!.image), preprocess);
        expect(pixels.subarray(row * 768, (row + 1) * 768)).toEqual(expected.pixels);
      }
    }
  });

  it("makes the same batches with two threads, with none ahead, and without a cache", async () => {
    expect((await load({ workers: 2 })).batches).toEqual(unbroken);
    expect((await load({ workers: 3, prefetch: 0, cacheBytes: 0 })).batches).toEqual(unbroken);
  });

  it("makes the same batches when a run goes on in the middle of an epoch", async () => {
    expect((await load({}, { fromStep: 4 })).batches).toEqual(unbroken.slice(4));
  });

  it("makes the same batches of photos that are shrunk before they are cached", async () => {
    const photo = join(root, "photo.jpg");
    await sharp({ create: { width: 300, height: 200, channels: 3, background: "#7f3" } }).toFile(photo);
    const data = [...samples.slice(0, 3), { image: photo, captions: ["green"] }];
    // One epoch is one step: the second finds everything in the cache, or nothing.
    const cached = await load({ augment: photoAugment }, { data, toStep: 2 });
    expect(cached.loader.stats.decodedImages).toBe(4);
    const decoded = await load({ augment: photoAugment, cacheBytes: 0 }, { data, toStep: 2 });
    expect(decoded.loader.stats.decodedImages).toBe(8);
    expect(decoded.batches).toEqual(cached.batches);
    const green = cached.batches[1]!.pixels.subarray(768 * cached.batches[1]!.samples.indexOf(3)).slice(0, 768);
    const reds = Array.from({ length: 256 }, (_, i) => green[3 * i]!);
    expect(Math.max(...reds.map((red) => Math.abs(red - 0x77)))).toBeLessThanOrEqual(3);
  });

  it("decodes an image once if the cache holds all, and only those outside again if it holds some", async () => {
    const bytes = samples.reduce((sum, _, i) => sum + (20 + 2 * i) * 24 * 4, 0);
    const all = await load({ batchSize: 14, cacheBytes: bytes }, { toStep: 3 });
    expect(all.loader.stats.decodedImages).toBe(14);
    const some = await load({ batchSize: 14, cacheBytes: bytes / 2 }, { toStep: 3 });
    expect(some.loader.stats.decodedImages).toBeGreaterThan(14 + 2 * 5);
    expect(some.loader.stats.decodedImages).toBeLessThan(14 + 2 * 10);
    expect(some.batches).toEqual(all.batches);
  });

  it("puts captions that read the same into one group, and cuts and counts those that are too long", async () => {
    const captions = ["a dog", "A  DOG", "a dog.", `${"a dog ".repeat(9)}here`, `${"a dog ".repeat(9)}there`, "a dog"];
    const data = captions.map((caption, i) => ({ image: samples[i]!.image, captions: [caption] }));
    const { batches, loader } = await load({ batchSize: 6 }, { data, toStep: 1 });
    const [{ samples: drawn, captionGroup, captions: drawnCaptions }] = batches as [TrainingBatch];
    expect(drawnCaptions).toEqual(Array.from(drawn, (sample) => captions[sample]));
    const groupOf = (sample: number) => captionGroup[drawn.indexOf(sample)]!;
    expect([1, 5].map(groupOf)).toEqual([groupOf(0), groupOf(0)]);
    expect(groupOf(4)).toBe(groupOf(3));
    expect(new Set([0, 2, 3].map(groupOf)).size).toBe(3);
    expect(captionGroup.every((group, row) => group <= row && captionGroup[group] === group)).toBe(true);
    expect(loader.stats.truncatedCaptions).toBe(2);
  });

  it("lists broken images and replaces them alike, whatever was known of them before", async () => {
    const broken = ["damaged.jpg", "empty.png", "text.png", "missing.png"].map((name) => join(root, name));
    const photo = await sharp(samples[3]!.image).resize(200, 200).jpeg().toBuffer();
    await writeFile(broken[0]!, photo.subarray(0, photo.length / 2));
    await writeFile(broken[1]!, "");
    await writeFile(broken[2]!, "no image");
    const data = [...samples.slice(0, 8), ...broken.map((image) => ({ image, captions: ["a dog"] }))];
    const { batches, loader } = await load({ batchSize: 5 }, { data, toStep: 6 });
    expect(new Map(loader.broken.map(({ image, reason }) => [image, reason]))).toEqual(
      new Map([
        [broken[0], expect.stringMatching(/damaged\.jpg is damaged or cut short/)],
        [broken[1], expect.stringMatching(/empty\.png is empty/)],
        [broken[2], expect.stringMatching(/text\.png is text, not an image/)],
        [broken[3], expect.stringMatching(/missing\.png does not exist/)],
      ]),
    );
    const sampler = new Sampler(data, { ...base, batchSize: 5 });
    for (const { step, samples: used, captions, pixels } of batches) {
      const drawn = sampler.drawSamples(step);
      expect(new Set(used).size).toBe(5);
      used.forEach((sample, row) => {
        expect(sample).toBe(drawn[row]! < 8 ? drawn[row] : sample);
        expect(sample).toBeLessThan(8);
        expect(data[sample]!.captions).toContain(captions[row]);
        expect(pixels.subarray(row * 768, (row + 1) * 768).some((value) => value !== 0)).toBe(true);
      });
    }
    expect((await load({ batchSize: 5, workers: 2 }, { data, toStep: 6 })).batches).toEqual(batches);
    await using backwards = new DataLoader(data, { ...base, batchSize: 5, prefetch: 0 });
    for (let step = 5; step >= 0; step--) expect(await take(backwards, step, step + 1)).toEqual([batches[step]]);
  });

  it("shares a batch out among processes, which put the same in place of broken images as one does", async () => {
    const missing = [2, 5, 9].map((i) => ({ image: join(root, `missing-${i}.png`), captions: ["a dog"] }));
    const data = [...samples.slice(0, 11), ...missing];
    const options = { batchSize: 6, cacheBytes: 0 };
    const { batches: whole, loader: alone } = await load(options, { data, toStep: 5 });
    expect(alone.broken).toHaveLength(3);
    const shares = await Promise.all(
      linkedProcesses(3).map((processes) =>
        load({ ...options, processes, prefetch: processes.rank }, { data, toStep: 5 }),
      ),
    );
    for (const [step, batch] of whole.entries()) {
      for (const key of ["samples", "pixels", "inputIds", "endOfText"] as const)
        expect(shares.flatMap(({ batches }) => [...batches[step]![key]])).toEqual([...batch[key]]);
      expect(shares.flatMap(({ batches }) => batches[step]!.captions)).toEqual(batch.captions);
    }
    const names = (loader: DataLoader) => loader.broken.map(({ image }) => image).sort();
    for (const { loader } of shares) expect(names(loader)).toEqual(names(alone));
    expect(shares[0]!.loader.stats.decodedImages).toBeLessThan(alone.stats.decodedImages / 2);
  });

  it("gives up when more than half of the images are broken, or too few are left for a batch", async () => {
    const missing = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ image: join(root, `no-${i}.jpg`), captions: ["x"] }));
    const most = [...samples.slice(0, 4), ...missing(5)];
    await expect(load({ batchSize: 3 }, { data: most })).rejects.toThrow(
      /5 of 9 images cannot be used, more than half are; repair or remove them, for example:\n.*no-\d\.jpg does not exist/,
    );
    await expect(load({ batchSize: 3 }, { data: [...samples.slice(0, 2), ...missing(2)] })).rejects.toThrow(
      "2 of 4 images cannot be used, too few are left for a batch of 3",
    );
  });

  it("says that a thread died or that it was closed, instead of waiting for ever", async () => {
    const threads: Worker[] = [];
    const note = (worker: Worker) => threads.push(worker);
    process.on("worker", note);
    await using loader = new DataLoader(samples, { ...base, workers: 2 });
    await take(loader, 0, 1);
    process.off("worker", note);
    await threads[1]!.terminate();
    await expect(take(loader, 0, 6)).rejects.toThrow("a data worker failed: the worker thread ended");

    const closed = new DataLoader(samples, base);
    const waiting = closed.batches({ toStep: 1 }).next();
    await Promise.all([
      expect(waiting).rejects.toThrow("a data worker failed: the worker thread ended"),
      closed[Symbol.asyncDispose](),
    ]);
    await expect(take(closed, 0, 1)).rejects.toThrow("a data worker failed: the worker thread ended");
  });

  it("refuses options that make no sense before it starts a thread", () => {
    expect(() => new DataLoader(samples, { ...base, batchSize: 15 })).toThrow("lower batchSize to at most 14");
    expect(() => new DataLoader(samples, { ...base, workers: 0 })).toThrow("workers is 0; it must be a whole number");
    expect(() => new DataLoader(samples, { ...base, prefetch: 1.5 })).toThrow("prefetch is 1.5");
  });

  it.each([
    ["it is closed after leaving the loop early", "await loader[Symbol.asyncDispose]();"],
    ["it is merely forgotten", ""],
  ])("lets the process end when %s", async (_, ending) => {
    const script = join(root, `early-${ending.length}.mts`);
    const at = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
    await writeFile(
      script,
      `import { DataLoader } from ${at("./loader.ts")};
       import { ClipTokenizer } from ${at("../../../inputs/text/tokenizer.ts")};
       const { samples, options } = ${JSON.stringify({ samples, options: { ...base, tokenizer: undefined } })};
       const loader = new DataLoader(samples, { ...options, workers: 2, tokenizer: new ClipTokenizer([]) });
       for await (const { step } of loader.batches({ toStep: 1e6 })) if (step === 2) break;
       ${ending}
       console.log("left");`,
    );
    const child = spawn(process.execPath, ["--import", "tsx", script], { stdio: ["ignore", "pipe", "inherit"] });
    let printed = "";
    child.stdout.on("data", (text: Buffer) => (printed += text.toString()));
    expect(await once(child, "close")).toEqual([0, null]);
    expect(printed).toBe("left\n");
  });
});
