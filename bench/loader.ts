/**
 * How many samples a second the data side of training makes: `npx tsx bench/loader.ts [--json]`.
 *
 * Decoding, augmentation, tokenising and the way to the main thread, with 1 and 2 threads and nobody using the batches:
 * drawings of 96 pixels to 64, in the first epoch (decoded) and in later ones (cached), and photos to 224, each decoded; both also
 * from shards, which are packed first. Beside them stands what a training step of a model for such images takes in: of pictograms with
 * batches of 512, of ViT-B/32 with batches of 8.
 */
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { readIconSet } from "../scripts/pictograms/drawings.ts";
import { svgDocument } from "../scripts/pictograms/redraw.ts";
import { Random } from "../src/core/random.ts";
import { readModel } from "../src/model/pretrained/model-folder.ts";
import { pictogramModel } from "../src/model/hub/pictograms.ts";
import { type AugmentConfig, photoAugment } from "../src/inputs/image/augment.ts";
import { clipPreprocess } from "../src/inputs/image/preprocess-config.ts";
import { type ClipConfig } from "../src/model/towers/config.ts";
import { clipConfigs } from "../src/model/towers/configs.ts";
import { ClipTokenizer } from "../src/inputs/text/tokenizer.ts";
import { DataLoader, type DataLoaderOptions, type TrainingBatch } from "../src/learning/train/batches/loader.ts";
import { packShards } from "../src/inputs/data/pack.ts";
import { readPairs } from "../src/inputs/data/pairs.ts";
import type { Sample } from "../src/inputs/data/sources/samples.ts";
import { RandomTraining, secondsOf } from "./random-training.ts";

const rounds = 3;
const threadCounts = [1, 2];
const caption = "a photo of a dog, running beside a red bicycle";
const drawingAugment: AugmentConfig = {
  geometry: { kind: "randomPlacement", background: "random", scale: [0.6, 1], shift: 0.1, rotation: 15, warp: 0 },
  blur: 1,
  brightness: 0.2,
  contrast: 0.2,
  saturation: 0.2,
  grayscale: 0.05,
  erase: 0,
};

/** Noto's drawings as PNG with transparency. */
async function renderDrawings(folder: string, count: number): Promise<Sample[]> {
  return Promise.all(
    readIconSet("noto")
      .drawings.slice(0, count)
      .map(async (drawing, i) => {
        const image = join(folder, `${i}.png`);
        await sharp(Buffer.from(svgDocument(drawing, drawing.body, 96))).toFile(image);
        return { image, captions: [caption] };
      }),
  );
}

/** COCO's photos where ../shared is, else 20 JPEGs of soft shapes with grain. */
async function findPhotos(folder: string): Promise<{ source: string; samples: Sample[] }> {
  const coco = fileURLToPath(new URL("../../shared/data/coco/images/", import.meta.url));
  if (existsSync(coco)) {
    const samples = readdirSync(coco).map((file) => ({ image: join(coco, file), captions: [caption] }));
    return { source: "COCO 2017", samples };
  }
  const samples = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const random = new Random(1, i);
      const coarse = Uint8Array.from({ length: 16 * 12 * 3 }, () => random.integer(256));
      const soft = sharp(coarse, { raw: { width: 16, height: 12, channels: 3 } }).resize(640, 480, { kernel: "cubic" });
      const grain = (await soft.raw().toBuffer()).map((level) => level + 12 * random.uniform(-1, 1));
      const image = join(folder, `${i}.jpg`);
      await sharp(grain, { raw: { width: 640, height: 480, channels: 3 } })
        .jpeg({ quality: 90 })
        .toFile(image);
      return { image, captions: [caption] };
    }),
  );
  return { source: "made up, as ../shared is not there", samples };
}

/** Samples a second over `epochs` epochs, after `epochsBefore` that are not counted. */
async function measure(samples: readonly Sample[], options: DataLoaderOptions, epochsBefore: number, epochs: number) {
  await using loader = new DataLoader(samples, options);
  const fromStep = Math.max(1, epochsBefore * loader.stepsPerEpoch);
  await drain(loader.batches({ toStep: fromStep })); // the first batch also waits for the threads to start
  const start = performance.now();
  const made = await drain(loader.batches({ fromStep, toStep: (epochsBefore + epochs) * loader.stepsPerEpoch }));
  return (1000 * made) / (performance.now() - start);
}

async function drain(batches: AsyncIterable<TrainingBatch>): Promise<number> {
  let made = 0;
  for await (const { samples } of batches) made += samples.length;
  return made;
}

/** The same pairs out of shards. */
async function pack(samples: readonly Sample[], folder: string): Promise<readonly Sample[]> {
  for await (const { path } of packShards({ samples, skipped: [] }, folder, [], { shardSize: 512 })) void path;
  return (await readPairs(folder)).samples;
}

const folder = await mkdtemp(join(tmpdir(), "clip-ts-bench-"));
const drawings = await renderDrawings(folder, 2048);
const photos = await findPhotos(folder);
const packed = {
  drawings: await pack(drawings, join(folder, "drawings")),
  photos: await pack(photos.samples, join(folder, "photos")),
};
const shared = { seed: 1, tokenizer: await ClipTokenizer.published(), contextLength: 77 };
const forDrawings = {
  ...shared,
  batchSize: 64,
  preprocess: { ...clipPreprocess, imageSize: 64 },
  augment: drawingAugment,
};
const forPhotos = { ...shared, batchSize: 8, preprocess: clipPreprocess, augment: photoAugment, cacheBytes: 0 };

const cases: Record<string, (workers: number) => Promise<number>> = {
  "drawings to 64 pixels, decoded": (workers) => measure(drawings, { ...forDrawings, workers }, 0, 1),
  "drawings in shards, decoded": (workers) => measure(packed.drawings, { ...forDrawings, workers }, 0, 1),
  "drawings to 64 pixels, cached": (workers) => measure(drawings, { ...forDrawings, workers }, 1, 3),
  "photos to 224 pixels, decoded": (workers) => measure(photos.samples, { ...forPhotos, workers }, 0, 4),
  "photos in shards, decoded": (workers) => measure(packed.photos, { ...forPhotos, workers }, 0, 4),
};

/** Samples a second that training steps take in, as a median of some after the first two. */
async function consumption(config: ClipConfig, batchSize: number): Promise<number> {
  await using training = await RandomTraining.create(config, batchSize);
  const seconds: number[] = [];
  for (let step = 0; step < 5; step++) seconds.push(await secondsOf(() => training.step()));
  return batchSize / seconds.slice(2).sort((a, b) => a - b)[1]!;
}
const { config: inTheBox } = await readModel(pictogramModel);
const steps = {
  drawings: { name: "a step of pictograms takes", rate: await consumption(inTheBox, 512) },
  photos: {
    name: "a step of ViT-B/32 takes",
    rate: await consumption(clipConfigs["ViT-B-32-quickgelu"], 8),
  },
};

const samplesPerSecond = [];
for (const [name, run] of Object.entries(cases)) {
  const { rate } = steps[name.startsWith("drawings") ? "drawings" : "photos"];
  for (const workers of threadCounts) {
    const figures: number[] = [];
    for (let round = 0; round < rounds; round++) figures.push(Math.round(await run(workers)));
    figures.sort((a, b) => a - b);
    const median = figures[rounds >> 1]!;
    samplesPerSecond.push({ name, workers, min: figures[0]!, median, max: figures.at(-1)!, toStep: median / rate });
  }
}
await rm(folder, { recursive: true });

const machine = `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}`;
const versions = { node: process.version, sharp: sharp.versions.sharp, vips: sharp.versions.vips };
if (process.argv.includes("--json")) {
  const data = { drawings: drawings.length, photos: photos.samples.length, photoSource: photos.source };
  console.log(JSON.stringify({ samplesPerSecond, steps, rounds, data, machine, versions }, null, 2));
} else {
  console.log(`${drawings.length} drawings; ${photos.samples.length} photos (${photos.source}); ${rounds} rounds`);
  console.log(`${machine}, Node ${versions.node}, sharp ${versions.sharp}\n`);
  const line = (label: string, columns: readonly string[]) =>
    console.log(label.padEnd(44), columns.map((column) => column.padStart(9)).join(""));
  line("samples/s", ["min", "median", "max", "× step"]);
  for (const { name, workers, min, median, max, toStep } of samplesPerSecond) {
    const label = `${name}, ${workers} ${workers === 1 ? "thread" : "threads"}`;
    line(label, [...[min, median, max].map(String), toStep.toFixed(1)]);
  }
  for (const { name, rate } of Object.values(steps)) line(name, ["", rate.toFixed(1)]);
}
